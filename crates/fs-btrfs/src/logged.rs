//! What replaying the log trees gave, beside the files: where their data lie, and what else is
//! in blocks that no extent tree knows.

use std::collections::{BTreeMap, BTreeSet};

use hexz_resolve::{ByteRange, FileKey, FileKind, FileSet, RangeSet, Result};

use crate::node::Item;
use crate::ondisk::{ExtentKind, FileExtent, InodeItem, Key, item};
use crate::overlay::{Overlay, Stored};
use crate::refs::{Share, part_of};
use crate::replay::Outcome;

/// Inline data that a file has in a block of a log tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inline {
    /// Logical addresses.
    pub(crate) range: ByteRange,
    pub(crate) owner: FileKey,
    pub(crate) file_offset: u64,
    pub(crate) encoded: bool,
    /// Whether it is the target of a symlink.
    pub(crate) symlink: bool,
}

/// A data extent to which a log added references.
#[derive(Clone, Debug)]
pub(crate) struct LoggedExtent {
    /// Logical addresses.
    pub(crate) range: ByteRange,
    pub(crate) shares: Vec<Share>,
}

/// All that the log trees of a filesystem hold.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    /// Logical addresses of the blocks of log trees.
    pub(crate) blocks: RangeSet,
    /// How many trees were replayed.
    pub(crate) replayed: u64,
    /// Whether there are logs of which nothing is known: what the extent tree has free may be
    /// theirs.
    pub(crate) unknown: bool,
    gone: BTreeSet<FileKey>,
    files: Vec<FileKey>,
    overlays: BTreeMap<u64, Overlay>,
    extents: BTreeMap<u64, LoggedExtent>,
    /// Checksums of data: where each run begins, and its bytes; by rising address.
    sums: Vec<(u64, Vec<u8>)>,
    inline: Vec<Inline>,
    /// Bytes of the longest extent in `extents`.
    longest: u64,
}

impl Logged {
    /// What the log of a subvolume changed of its tree.
    pub(crate) fn overlay(&self, subvolume: u64) -> Option<&Overlay> {
        self.overlays.get(&subvolume)
    }

    /// Whether the tree of a subvolume has no longer at `key` what lies there.
    pub(crate) fn hides(&self, subvolume: u64, key: Key) -> bool {
        self.overlay(subvolume)
            .is_some_and(|overlay| overlay.hides(key))
    }

    /// Whether a file lost its last name, so that a mount deletes it.
    pub(crate) fn is_gone(&self, file: FileKey) -> bool {
        self.gone.contains(&file)
    }

    /// The files of which something changed.
    pub(crate) fn files(&self) -> FileSet {
        self.files.iter().copied().collect()
    }

    /// The references that logs added to the extent that begins at a logical address.
    pub(crate) fn shares(&self, bytenr: u64) -> &[Share] {
        self.extents
            .get(&bytenr)
            .map_or(&[], |extent| extent.shares.as_slice())
    }

    /// The extents with references from logs that share a byte with `range`, rising.
    pub(crate) fn extents(&self, range: ByteRange) -> impl Iterator<Item = &LoggedExtent> {
        let first = range.start().saturating_sub(self.longest);
        let near = self.extents.range(first..range.end().max(first));
        near.map(|(_, extent)| extent)
            .filter(move |extent| extent.range.overlaps(&range))
    }

    /// Inline data in the blocks of logs.
    pub(crate) fn inline(&self) -> &[Inline] {
        &self.inline
    }

    /// The run of checksums that reaches furthest up to `logical`.
    pub(crate) fn sums(&self, logical: u64) -> Option<(u64, &[u8])> {
        let at = self.sums.partition_point(|(start, _)| *start <= logical);
        let (start, sums) = at.checked_sub(1).and_then(|at| self.sums.get(at))?;
        Some((*start, sums))
    }

    /// Adds what the log of a subvolume gave.
    pub(crate) fn add(&mut self, subvolume: u64, outcome: Outcome) -> Result<()> {
        let Outcome {
            overlay,
            files,
            gone,
            sums,
        } = outcome;
        let key = |number| FileKey { subvolume, number };
        self.files.extend(files.into_iter().map(key));
        self.gone.extend(gone.into_iter().map(key));
        for (key, stored) in overlay.items() {
            if key.kind == item::EXTENT_DATA {
                self.add_extent(subvolume, &overlay, key, stored)?;
            }
        }
        self.sums.extend(sums);
        self.sums.sort_unstable();
        self.overlays.insert(subvolume, overlay);
        self.replayed = self.replayed.saturating_add(1);
        Ok(())
    }

    fn add_extent(
        &mut self,
        subvolume: u64,
        overlay: &Overlay,
        key: Key,
        stored: &Stored,
    ) -> Result<()> {
        let found = stored.item(key);
        let extent = FileExtent::parse(&found.fields)?;
        if extent.kind == ExtentKind::Inline {
            self.inline
                .extend(inline(subvolume, overlay, &found, &extent)?);
            return Ok(());
        }
        let range = ByteRange::at(extent.disk_bytenr, extent.disk_num_bytes);
        let Some(range) = range.filter(|r| extent.disk_bytenr != 0 && !r.is_empty()) else {
            return Ok(());
        };
        let Some(share) = part_of(range.start(), &found)? else {
            return Ok(());
        };
        self.longest = self.longest.max(range.len());
        let shares = &mut self
            .extents
            .entry(range.start())
            .or_insert_with(|| LoggedExtent {
                range,
                shares: Vec::new(),
            })
            .shares;
        shares.push(Share {
            root: subvolume,
            ..share
        });
        Ok(())
    }
}

/// The inline data in an item that lies in a log; `None` where it was put together in memory.
fn inline(
    subvolume: u64,
    overlay: &Overlay,
    found: &Item<'_>,
    extent: &FileExtent,
) -> Result<Option<Inline>> {
    let header = u64::try_from(FileExtent::HEADER).unwrap_or_default();
    let Some(range) = crate::node::inline_range(found, header) else {
        return Ok(None);
    };
    let number = found.key.objectid;
    let inode = overlay.get(Key::new(number, item::INODE_ITEM, 0)).flatten();
    let mode = inode.map(|inode| InodeItem(inode.fields()).mode());
    let mode = mode.transpose()?.and_then(|mode| mode.try_into().ok());
    let kind = mode.and_then(FileKind::from_mode);
    Ok(Some(Inline {
        range,
        owner: FileKey { subvolume, number },
        file_offset: found.key.offset,
        encoded: !extent.is_plain(),
        symlink: kind == Some(FileKind::Symlink),
    }))
}
