//! The places of data in the report, held against FIEMAP.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Result;

use super::disk::BLOCK;
use super::report::Range;
use super::tree::{Extent, Record, Tree};

/// Places unknown, not yet allocated, or shared with other data that is packed with them.
const NO_PLACE: u64 = 0x2 | 0x4;
/// Within the inode.
const INLINE: u64 = 0x200;
/// Allocated and never written.
const UNWRITTEN: u64 = 0x800;

/// What the comparison gave.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Pieces that were looked for or looked up.
    pub(crate) extents: u64,
    /// What did not agree.
    pub(crate) complaints: Vec<String>,
}

/// The disks and what was found of them.
pub(crate) struct Disks<'a> {
    pub(crate) base: &'a Path,
    pub(crate) merged: &'a Path,
    /// Byte of the disk at which the volume starts.
    pub(crate) start: u64,
    /// Blocks that differ.
    pub(crate) differing: &'a [u64],
    pub(crate) trees: [&'a Tree; 2],
}

impl Disks<'_> {
    /// Each piece of data that the kernel places in a differing block, of a file that changed,
    /// must be in the ranges of the report; and each range must be where the kernel says.
    pub(crate) fn check(&self, records: &[Record], ranges: &[Range]) -> Result<Checked> {
        let mut checked = Checked::default();
        self.look_for(records, ranges, &mut checked)?;
        for range in ranges {
            self.look_up(range, &mut checked);
        }
        Ok(checked)
    }

    fn look_for(&self, records: &[Record], ranges: &[Range], checked: &mut Checked) -> Result<()> {
        let changed: BTreeSet<&[u8]> = records.iter().map(|r| r.path.as_slice()).collect();
        let (before, after) = (File::open(self.base)?, File::open(self.merged)?);
        let [_, merged] = self.trees;
        for (path, node) in merged
            .iter()
            .filter(|(path, _)| changed.contains(path.as_slice()))
        {
            let mine: Vec<&Range> = ranges
                .iter()
                .filter(|range| range.merged && range.paths.contains(path))
                .collect();
            let extents = node.extents.iter().flatten();
            for extent in extents.filter(|e| e.flags & (NO_PLACE | INLINE | UNWRITTEN) == 0) {
                for (disk, file, length) in self.pieces(extent, node.size) {
                    let (mut x, mut y) = (vec![0; length], vec![0; length]);
                    before.read_exact_at(&mut x, disk)?;
                    after.read_exact_at(&mut y, disk)?;
                    if x == y {
                        continue;
                    }
                    checked.extents += 1;
                    let missing = (0..length).filter(|n| x[*n] != y[*n]).find(|n| {
                        let (at, offset) = (disk + *n as u64, file + *n as u64);
                        !mine.iter().any(|range| {
                            (range.disk_offset..range.disk_offset + range.length).contains(&at)
                                && at - range.disk_offset + range.file_offset == offset
                        })
                    });
                    if let Some(n) = missing {
                        let path = path.escape_ascii();
                        checked.complaints.push(format!(
                            "missing data: {path} offset {file}+{n} at {disk}+{n}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// The pieces of an extent in differing blocks: place on the disk, in the file, length.
    fn pieces(&self, extent: &Extent, size: u64) -> impl Iterator<Item = (u64, u64, usize)> {
        let start = self.start + extent.physical;
        let data = extent.length.min(size.saturating_sub(extent.logical));
        let (end, logical) = (start + data, extent.logical);
        let block = BLOCK as u64;
        let first = self.differing.partition_point(|b| (b + 1) * block <= start);
        self.differing[first..]
            .iter()
            .take_while(move |b| **b * block < end)
            .map(move |b| {
                let from = start.max(b * block);
                let to = end.min((b + 1) * block);
                (from, logical + (from - start), (to - from) as usize)
            })
    }

    fn look_up(&self, range: &Range, checked: &mut Checked) {
        checked.extents += 1;
        let tree = self.trees[usize::from(range.merged)];
        let Some(node) = range.paths.iter().find_map(|path| tree.get(path)) else {
            // A renamed file's ranges in base are under the path it has in merged.
            if range.merged {
                checked.complaints.push(format!("no such file: {range:?}"));
            }
            return;
        };
        let Some(extents) = &node.extents else {
            return;
        };
        // Where inline data lie is not always told.
        if extents
            .iter()
            .any(|e| e.flags & INLINE != 0 && e.physical == 0)
        {
            return;
        }
        let mut at = range.file_offset;
        let end = range.file_offset + range.length;
        for extent in extents.iter().filter(|e| e.flags & NO_PLACE == 0) {
            let place = self.start + extent.physical;
            let there = (extent.logical..extent.logical + extent.length).contains(&at);
            if there
                && place + (at - extent.logical) == range.disk_offset + (at - range.file_offset)
            {
                at = extent.logical + extent.length;
            }
        }
        if at < end {
            let paths: Vec<String> = range
                .paths
                .iter()
                .map(|p| p.escape_ascii().to_string())
                .collect();
            checked.complaints.push(format!(
                "wrong place: {} offset {} length {} at {} (merged {}): not in an extent from {at}",
                paths.join(" "),
                range.file_offset,
                range.length,
                range.disk_offset,
                range.merged,
            ));
        }
    }
}
