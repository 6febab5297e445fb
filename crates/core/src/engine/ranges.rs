//! The ranges of change records: where the data of changed files lies in changed blocks.

use super::gather::Claims;
use super::layout::OpenVolume;
use super::pairing::Pair;
use super::refine::Differences;
use super::run::Run;
use crate::report::{Change, ChangedRange};
use crate::{ByteRange, FileKey, Owner, RangeSet, RawName, Role, View};

/// Unit of the ranges in change records.
const BLOCK: u64 = 4096;

/// A file's data, as a claim says, kept small.
struct Data {
    file: FileKey,
    range: ByteRange,
    file_offset: Option<u64>,
    stream: Option<RawName>,
    encoded: bool,
}

/// The data that lies in changed blocks of one view, by file.
#[derive(Default)]
pub(super) struct FileData(Vec<Data>);

impl FileData {
    /// Takes the data from the claims of a view.
    pub(super) fn of(run: &Run<'_>, claims: &Claims) -> Self {
        let data = claims.iter().filter(|c| c.role == Role::Data);
        let data = data.filter_map(|claim| match claim.owner {
            Owner::File(file) => Some(Data {
                file,
                range: claim.range,
                file_offset: claim.file_offset,
                stream: claim.stream.clone(),
                encoded: claim.encoded,
            }),
            _ => None,
        });
        let mut data: Vec<Data> = data.collect();
        run.sort(&mut data, |a, b| {
            let place = |d: &Data| (d.file, d.range, d.file_offset);
            (place(a), &a.stream).cmp(&(place(b), &b.stream))
        });
        Self(data)
    }

    fn of_file(&self, file: FileKey) -> &[Data] {
        let from = self.0.partition_point(|d| d.file < file);
        let behind = self.0.get(from..).unwrap_or_default();
        let count = behind.partition_point(|d| d.file == file);
        behind.get(..count).unwrap_or_default()
    }
}

/// Where the data of changed files lies in changed blocks.
pub(super) struct Ranges<'a> {
    pub(super) pair: Pair<'a>,
    pub(super) differences: &'a Differences,
    pub(super) merged: FileData,
    pub(super) base: FileData,
}

impl Ranges<'_> {
    /// Sets the ranges of a change, and counts the bytes that differ in them.
    pub(super) fn add_to(
        &self,
        change: &mut Change,
        base: Option<FileKey>,
        merged: Option<FileKey>,
    ) {
        let pair = self.pair;
        let mut out = Vec::new();
        let now = merged.zip(change.merged.as_ref()).zip(pair.merged);
        if let Some(((key, attributes), volume)) = now {
            let data = self.merged.of_file(key);
            out = self.collect(View::Merged, volume, data, attributes.size);
        }
        let then = base.zip(change.base.as_ref()).zip(pair.base);
        if let Some(((key, attributes), volume)) = then {
            let kept: RangeSet = on_disk(&out).collect();
            let data = self.base.of_file(key);
            let mut before = self.collect(View::Base, volume, data, attributes.size);
            // What the file still has there is told once.
            before.retain(|r| {
                ByteRange::at(r.disk_offset, r.length).is_some_and(|r| !kept.overlaps(r))
            });
            out.append(&mut before);
        }
        let places: RangeSet = on_disk(&out).collect();
        change.changed_bytes = places.iter().map(|r| self.differences.count(r)).sum();
        change.ranges = out;
    }

    fn collect(
        &self,
        view: View,
        volume: &OpenVolume,
        data: &[Data],
        size: u64,
    ) -> Vec<ChangedRange> {
        let mut found = Vec::new();
        for data in data {
            let range = match (data.file_offset, data.encoded, &data.stream) {
                // Bytes behind the end of the file are its space and not its content.
                (Some(offset), false, None) => {
                    let length = size.saturating_sub(offset).min(data.range.len());
                    ByteRange::new(data.range.start(), data.range.start() + length)
                }
                _ => data.range,
            };
            let offset = data.file_offset.filter(|_| !data.encoded);
            for part in volume.map.pieces(range) {
                let before = part.volume.start() - range.start();
                for (copy, device) in part.on_device().enumerate() {
                    self.differing_blocks(device, |piece| {
                        let skipped = before + (piece.start() - device.start());
                        let changed = ChangedRange {
                            view,
                            stream: data.stream.clone(),
                            file_offset: offset.map(|o| o.saturating_add(skipped)),
                            length: piece.len(),
                            disk_offset: piece.start(),
                            disk: None,
                        };
                        found.push((copy, changed));
                    });
                }
            }
        }
        // What follows each other does so in one copy.
        found.sort_by(|(m, a), (n, b)| (&a.stream, m, place(a)).cmp(&(&b.stream, n, place(b))));
        found.dedup_by(|(copy, next), (kept_copy, kept)| {
            let follows = copy == kept_copy
                && kept.stream == next.stream
                && kept.disk_offset + kept.length == next.disk_offset
                && kept.file_offset.map(|o| o.saturating_add(kept.length)) == next.file_offset;
            if follows {
                kept.length += next.length;
            }
            follows
        });
        let mut found: Vec<ChangedRange> = found.into_iter().map(|(_, range)| range).collect();
        found.sort_by(|a, b| place(a).cmp(&place(b)));
        found
    }

    /// The parts of `device` within each block of 4 KiB, where they differ: the same whatever the
    /// unit in which changes were recorded.
    fn differing_blocks(&self, device: ByteRange, mut each: impl FnMut(ByteRange)) {
        let mut done = device.start();
        for range in self.differences.ranges().overlapping(device) {
            let mut at = range.start().max(done) / BLOCK * BLOCK;
            while at < range.end() {
                let block = ByteRange::new(at, at.saturating_add(BLOCK));
                if block.end() > done
                    && let Some(part) = block.intersection(&device)
                    && self.differences.any(part)
                {
                    each(part);
                }
                at = block.end();
                done = done.max(at);
            }
        }
    }
}

/// The order in which ranges of a file are told.
fn place(range: &ChangedRange) -> (&Option<RawName>, Option<u64>, u64) {
    (&range.stream, range.file_offset, range.disk_offset)
}

/// Where they lie on the disk.
pub(super) fn on_disk(ranges: &[ChangedRange]) -> impl Iterator<Item = ByteRange> {
    ranges
        .iter()
        .filter_map(|r| ByteRange::at(r.disk_offset, r.length))
}
