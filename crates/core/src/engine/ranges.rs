//! The ranges of change records: where the data of changed files lies in changed blocks.

use std::sync::Arc;

use super::packed::{Offset, Packed, PackedClaim};
use super::pairing::Pair;
use super::refine::{Counter, Differences};
use super::run::Run;
use super::volume::OpenVolume;
use crate::report::{Change, ChangedRange};
use crate::{Attributes, ByteRange, FileKey, RangeCursor, RangeSet, RawName, Result, Role, View};

/// Unit of the ranges in change records.
const BLOCK: u64 = 4096;

/// A file's data, as a claim says, kept small: there may be millions.
#[derive(PartialEq, Eq)]
struct Data {
    range: ByteRange,
    file_offset: Offset,
    /// Index of the file.
    file: u32,
    /// Index of the stream and one; 0 for the unnamed content. [`ENCODED`] is no part of it.
    stream: u32,
}

const ENCODED: u32 = 1 << 31;

impl Data {
    fn is_encoded(&self) -> bool {
        self.stream & ENCODED != 0
    }
}

/// The data that lies in changed blocks of one view, by file.
#[derive(Default, PartialEq, Eq)]
pub(super) struct FileData {
    data: Vec<Data>,
    /// Sorted.
    files: Vec<FileKey>,
    streams: Vec<RawName>,
}

impl FileData {
    /// Takes the data from the claims of a view.
    pub(super) fn of(run: &Run<'_>, claims: &Packed) -> Self {
        let of_files = || {
            let claims_of_files = run.until_cancelled(claims.iter());
            let data = claims_of_files.filter(|c| claims.role(c) == Some(Role::Data));
            data.filter_map(|claim: &PackedClaim| Some((claim.file()?, claim)))
        };
        let mut files: Vec<FileKey> = Vec::new();
        for (file, _) in of_files() {
            // Of one file come many in a row.
            if files.last() != Some(&file) {
                files.push(file);
            }
        }
        files.sort_unstable();
        files.dedup();
        let data = of_files().filter_map(|(file, claim)| {
            Some(Data {
                range: claim.range,
                file_offset: claim.file_offset,
                // More claims than that are not kept.
                file: u32::try_from(files.binary_search(&file).ok()?).ok()?,
                stream: claim.stream | if claim.encoded { ENCODED } else { 0 },
            })
        });
        let mut data: Vec<Data> = data.collect();
        run.sort(&mut data, |a, b| {
            let place = |d: &Data| (d.file, d.range, d.file_offset, d.stream);
            place(a).cmp(&place(b))
        });
        Self {
            data,
            files,
            streams: claims.streams().to_vec(),
        }
    }

    fn of_file(&self, file: FileKey) -> &[Data] {
        let Some(file) = self.files.binary_search(&file).ok() else {
            return &[];
        };
        let from = self.data.partition_point(|d| (d.file as usize) < file);
        let behind = self.data.get(from..).unwrap_or_default();
        let count = behind.partition_point(|d| d.file as usize == file);
        behind.get(..count).unwrap_or_default()
    }

    fn stream(&self, data: &Data) -> Option<&RawName> {
        let index = (data.stream & !ENCODED).checked_sub(1)?;
        self.streams.get(index as usize)
    }
}

/// Where the data of changed files lies in changed blocks.
pub(super) struct Ranges<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) pair: Pair<'a>,
    pub(super) differences: &'a Differences,
    pub(super) merged: Arc<FileData>,
    pub(super) base: Arc<FileData>,
}

/// A file with its attributes, in a volume.
type Located<'l> = ((FileKey, &'l Attributes), &'l OpenVolume);

impl Ranges<'_> {
    /// Sets the ranges of a change, and counts the bytes that differ in them.
    ///
    /// # Errors
    /// When the run was cancelled.
    pub(super) fn add_to(
        &self,
        change: &mut Change,
        base: Option<FileKey>,
        merged: Option<FileKey>,
    ) -> Result<()> {
        let pair = self.pair;
        let mut out = Vec::new();
        let counter = self.differences.counter();
        let now = merged.zip(change.merged.as_ref()).zip(pair.merged);
        if let Some(((key, attributes), volume)) = now {
            let nothing = RangeSet::new();
            let side = (View::Merged, volume);
            out = self.collect(side, (key, attributes.size), &counter, &nothing);
        }
        let then = base.zip(change.base.as_ref()).zip(pair.base);
        let then = then.filter(|then| !now.is_some_and(|now| self.lie_alike(*then, now)));
        if let Some(((key, attributes), volume)) = then {
            // What the file still has there is told once.
            let kept: RangeSet = self.run.until_cancelled(on_disk(&out)).collect();
            let side = (View::Base, volume);
            let mut before = self.collect(side, (key, attributes.size), &counter, &kept);
            out.append(&mut before);
        }
        let places: RangeSet = self.run.until_cancelled(on_disk(&out)).collect();
        let places = self.run.until_cancelled(&places);
        change.changed_bytes = places.map(|r| counter.count(r)).sum();
        change.ranges = out;
        self.run.check()
    }

    /// Whether all data of a file lies where it lay.
    fn lie_alike(&self, then: Located<'_>, now: Located<'_>) -> bool {
        let (((base, before), was), ((merged, after), is)) = (then, now);
        Arc::ptr_eq(&self.base, &self.merged)
            && (base, before.size) == (merged, after.size)
            && was.map == is.map
    }

    /// The ranges of a file of some size that differ, but for those that share a byte with
    /// `without`.
    fn collect(
        &self,
        (view, volume): (View, &OpenVolume),
        (file, size): (FileKey, u64),
        counter: &Counter<'_>,
        without: &RangeSet,
    ) -> Vec<ChangedRange> {
        let without = RangeCursor::new(without);
        let differing = RangeCursor::new(counter.ranges());
        let of_view = match view {
            View::Base => &self.base,
            View::Merged => &self.merged,
        };
        let mut found = Vec::new();
        for data in self.run.until_cancelled(of_view.of_file(file)) {
            let stream = of_view.stream(data);
            let range = match (data.file_offset.get(), data.is_encoded(), stream) {
                // Bytes behind the end of the file are its space and not its content.
                (Some(offset), false, None) => {
                    let length = size.saturating_sub(offset).min(data.range.len());
                    ByteRange::new(data.range.start(), data.range.start() + length)
                }
                _ => data.range,
            };
            let offset = data.file_offset.get().filter(|_| !data.is_encoded());
            for part in volume.map.pieces(range) {
                let before = part.volume.start() - range.start();
                for (copy, device) in part.on_device().enumerate() {
                    differing_blocks((&differing, counter), device, |piece| {
                        if without.overlaps(piece) {
                            return;
                        }
                        let skipped = before + (piece.start() - device.start());
                        let changed = ChangedRange {
                            view,
                            stream: stream.cloned(),
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
        self.run.sort(&mut found, |(m, a), (n, b)| {
            (&a.stream, m, place(a)).cmp(&(&b.stream, n, place(b)))
        });
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
        self.run.sort(&mut found, |a, b| place(a).cmp(&place(b)));
        found
    }
}

/// The parts of `device` within each block of 4 KiB, where they differ: the same whatever the unit
/// in which changes were recorded.
fn differing_blocks(
    (differing, counter): (&RangeCursor<'_>, &Counter<'_>),
    device: ByteRange,
    mut each: impl FnMut(ByteRange),
) {
    let mut done = device.start();
    for range in differing.overlapping(device) {
        let mut at = range.start().max(done) / BLOCK * BLOCK;
        while at < range.end() {
            let block = ByteRange::new(at, at.saturating_add(BLOCK));
            if block.end() > done
                && let Some(part) = block.intersection(&device)
                && counter.any(part)
            {
                each(part);
            }
            at = block.end();
            done = done.max(at);
        }
    }
}

/// The order in which ranges of a file are told.
fn place(range: &ChangedRange) -> (&Option<RawName>, Option<u64>, u64, u64) {
    let ChangedRange {
        stream,
        file_offset,
        disk_offset,
        length,
        ..
    } = range;
    (stream, *file_offset, *disk_offset, *length)
}

/// Where they lie on the disk.
pub(super) fn on_disk(ranges: &[ChangedRange]) -> impl Iterator<Item = ByteRange> {
    ranges
        .iter()
        .filter_map(|r| ByteRange::at(r.disk_offset, r.length))
}
