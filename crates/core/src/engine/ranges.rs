//! The ranges of change records: where the data of changed files lies in changed blocks.

use std::collections::BTreeMap;

use super::gather::Claims;
use super::join::Joined;
use super::layout::OpenVolume;
use super::pairing::Pair;
use super::refine::Differences;
use crate::report::ChangedRange;
use crate::{ByteRange, Claim, FileKey, Owner, RangeSet, Role, View};

/// Unit of the ranges in change records.
const BLOCK: u64 = 4096;

/// Where the data of changed files lies in changed blocks.
pub(super) struct Ranges<'a> {
    pair: Pair<'a>,
    differences: &'a Differences,
    merged: BTreeMap<FileKey, Vec<&'a Claim>>,
    base: BTreeMap<FileKey, Vec<&'a Claim>>,
}

impl<'a> Ranges<'a> {
    pub(super) fn new(
        pair: Pair<'a>,
        differences: &'a Differences,
        merged: &'a Claims,
        base: &'a Claims,
    ) -> Self {
        Self {
            pair,
            differences,
            merged: by_file(merged),
            base: by_file(base),
        }
    }

    /// The ranges of a change.
    pub(super) fn of(&self, joined: &Joined) -> Vec<ChangedRange> {
        let pair = self.pair;
        let mut out = Vec::new();
        let now = joined
            .merged
            .zip(joined.change.merged.as_ref())
            .zip(pair.merged);
        if let Some(((key, attributes), volume)) = now {
            let claims = self.merged.get(&key).map_or(&[][..], Vec::as_slice);
            self.collect(&mut out, View::Merged, volume, claims, attributes.size);
        }
        let then = joined.base.zip(joined.change.base.as_ref()).zip(pair.base);
        if let Some(((key, attributes), volume)) = then {
            let kept: RangeSet = ranges_on_disk(&out);
            let mut before = Vec::new();
            let claims = self.base.get(&key).map_or(&[][..], Vec::as_slice);
            self.collect(&mut before, View::Base, volume, claims, attributes.size);
            // What the file still has there is told once.
            before.retain(|r| {
                ByteRange::at(r.disk_offset, r.length).is_some_and(|r| !kept.overlaps(r))
            });
            out.append(&mut before);
        }
        out
    }

    fn collect(
        &self,
        out: &mut Vec<ChangedRange>,
        view: View,
        volume: &OpenVolume,
        claims: &[&Claim],
        size: u64,
    ) {
        let from = out.len();
        for claim in claims {
            let content = match (claim.file_offset, claim.encoded, &claim.stream) {
                // Bytes behind the end of the file are its space and not its content.
                (Some(offset), false, None) => {
                    let length = size.saturating_sub(offset).min(claim.range.len());
                    ByteRange::new(claim.range.start(), claim.range.start() + length)
                }
                _ => claim.range,
            };
            let Some(content) = claim.clipped(content) else {
                continue;
            };
            for device in volume.map.to_device(content.range) {
                for piece in self.differing_blocks(device) {
                    let back = volume.map.to_volume(&piece.into()).bounds();
                    let skipped =
                        back.map_or(0, |b| b.start().saturating_sub(content.range.start()));
                    out.push(ChangedRange {
                        view,
                        stream: content.stream.clone(),
                        file_offset: content
                            .file_offset
                            .filter(|_| !content.encoded)
                            .map(|o| o.saturating_add(skipped)),
                        length: piece.len(),
                        disk_offset: piece.start(),
                    });
                }
            }
        }
        let mut found = out.split_off(from);
        found.sort_by(|a, b| {
            (&a.stream, a.file_offset, a.disk_offset).cmp(&(
                &b.stream,
                b.file_offset,
                b.disk_offset,
            ))
        });
        found.dedup_by(|next, kept| {
            let follows = kept.stream == next.stream
                && kept.disk_offset + kept.length == next.disk_offset
                && kept.file_offset.map(|o| o.saturating_add(kept.length)) == next.file_offset;
            if follows {
                kept.length += next.length;
            }
            follows
        });
        out.append(&mut found);
    }

    /// The parts of `device` within each block of 4 KiB, where they differ: the same whatever the
    /// unit in which changes were recorded.
    fn differing_blocks(&self, device: ByteRange) -> Vec<ByteRange> {
        let mut out = Vec::new();
        let differing = self.differences.ranges().clipped(device).aligned_out(BLOCK);
        for range in &differing {
            let mut at = range.start();
            while at < range.end() {
                let block = ByteRange::new(at, at.saturating_add(BLOCK));
                if let Some(part) = block.intersection(&device)
                    && self.differences.count(part) > 0
                {
                    out.push(part);
                }
                at = block.end();
            }
        }
        out
    }
}

/// Where they lie on the disk.
pub(super) fn ranges_on_disk(ranges: &[ChangedRange]) -> RangeSet {
    ranges
        .iter()
        .filter_map(|r| ByteRange::at(r.disk_offset, r.length))
        .collect()
}

fn by_file(claims: &Claims) -> BTreeMap<FileKey, Vec<&Claim>> {
    let mut by_file: BTreeMap<FileKey, Vec<&Claim>> = BTreeMap::new();
    for claim in claims.iter().filter(|c| c.role == Role::Data) {
        if let Owner::File(key) = claim.owner {
            by_file.entry(key).or_default().push(claim);
        }
    }
    by_file
}
