//! Fast commits, applied in memory: what they say of inodes, maps and names is written into the
//! blocks that it concerns.
//!
//! A record says what changed, and not which bytes: the new blocks need not be those that a mount
//! would write, but the tree they hold is the same.

mod directory;
mod disk;
mod extents;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use hexz_ondisk::Fields;
use hexz_resolve::{ByteRange, RangeSet, ReadAt, Result};

use self::directory::Directory;
use self::disk::{Disk, set_deleted, set_i_block, set_links};
use self::extents::{Extent, Map};
use super::fast_commit::{Change, Entry};
use crate::geometry::Geometry;
use crate::ondisk::{RawInode, i_flags};

/// Where `i_generation` lies: behind `i_block`.
const BEHIND_I_BLOCK: usize = 0x64;
const I_BLOCK: usize = 0x28;

/// What came of it.
pub(crate) struct Applied {
    /// The blocks that were changed.
    pub(crate) blocks: Vec<(u64, Arc<[u8]>)>,
    /// Changes that could not be applied.
    pub(crate) left_out: u64,
    /// Why the first of them could not.
    pub(crate) reason: Option<String>,
}

/// Applies `changes`, in order, to the filesystem on `volume`.
///
/// # Errors
/// `Limit`, when they take too much memory.
pub(crate) fn apply(
    changes: &[Change],
    geometry: &Geometry,
    volume: Arc<dyn ReadAt>,
    limit: usize,
) -> Result<Applied> {
    let mut replay = Replay {
        disk: Disk::new(geometry, volume, limit),
        avoid: places(changes),
    };
    let (mut left_out, mut reason) = (0u64, None);
    let mut rest = changes;
    while let Some((change, later)) = rest.split_first() {
        rest = later;
        if let Err(error) = replay.change(change, later) {
            if error.ends_scan() {
                return Err(error);
            }
            left_out = left_out.saturating_add(1);
            reason.get_or_insert_with(|| error.chain());
        }
    }
    let blocks = replay.disk.into_blocks();
    Ok(Applied {
        blocks: blocks
            .map(|(number, bytes)| (number, Arc::from(bytes)))
            .collect(),
        left_out,
        reason,
    })
}

/// The blocks that the changes give to files, which nothing else may take.
fn places(changes: &[Change]) -> RangeSet {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::AddRange { extent, .. } => {
                let extent = Extent::parse(&Fields::new("extent", 0, extent)).ok()?;
                ByteRange::at(extent.physical, u64::from(extent.length))
            }
            _ => None,
        })
        .collect()
}

struct Replay<'a> {
    disk: Disk<'a>,
    /// In blocks, not in bytes.
    avoid: RangeSet,
}

impl Replay<'_> {
    /// Applies `change`, which `later` ones follow.
    fn change(&mut self, change: &Change, later: &[Change]) -> Result<()> {
        match change {
            Change::Inode { inode, raw } => self.inode(*inode, raw),
            Change::AddRange { inode, extent } => {
                let extent = Extent::parse(&Fields::new("extent", 0, extent))?;
                self.add_range(*inode, extent, later)
            }
            Change::DelRange {
                inode,
                block,
                length,
            } => self.del_range(*inode, *block, block.saturating_add(*length)),
            Change::Create(entry) => self.create(entry),
            Change::Link(entry) => self.link(entry).map(drop),
            Change::Unlink(entry) => self.unlink(entry),
        }
    }

    /// The inode as it was, but for its map of blocks, which is told apart.
    fn inode(&mut self, inode: u32, new: &[u8]) -> Result<()> {
        let mut raw = self.disk.inode(inode)?;
        let given = Fields::new("fast commit inode", 0, new);
        let fields = RawInode::new(given);
        let (flags, kind) = (fields.i_flags()?, fields.i_mode()? & 0xF000);
        let behind = given.rest(BEHIND_I_BLOCK)?;
        disk::put(&mut raw, 0, given.bytes(0, I_BLOCK)?)?;
        disk::put(&mut raw, BEHIND_I_BLOCK, behind)?;
        if kind == 0x4000 {
            self.keep_shape(inode, &mut raw)?;
        }
        let i_block = fields.i_block()?.as_bytes();
        if flags & i_flags::EXTENTS != 0 {
            let old = Fields::new("inode", 0, &raw).le16(I_BLOCK)?;
            if old != 0xF30A {
                // What lies there is of an earlier file.
                let mut empty = vec![0; disk::I_BLOCK_SIZE];
                disk::put(&mut empty, 0, &[0x0A, 0xF3, 0, 0, 4, 0])?;
                set_i_block(&mut raw, &empty)?;
            }
        } else if flags & i_flags::INLINE_DATA != 0 || !matches!(kind, 0x8000 | 0x4000) {
            // Inline data, a short target, a device number: no map.
            set_i_block(&mut raw, i_block)?;
        }
        self.disk.write_inode(inode, raw)?;
        self.disk.mark_inode(inode, true)
    }

    /// A directory has the blocks that it has here, and not those that it had grown by when the
    /// fast commit was made: its size and whether it is a hash tree stay.
    fn keep_shape(&self, inode: u32, raw: &mut [u8]) -> Result<()> {
        let old = self.disk.inode(inode)?;
        let (was, is) = (Fields::new("inode", 0, &old), Fields::new("inode", 0, raw));
        let (before, now) = (RawInode::new(was), RawInode::new(is));
        let same = before.i_generation()? == now.i_generation()?
            && before.i_mode()? & 0xF000 == 0x4000
            && before.i_flags()? & i_flags::EXTENTS == now.i_flags()? & i_flags::EXTENTS
            && before.i_size()? != 0;
        if same {
            let flags = now.i_flags()? & !i_flags::INDEX | before.i_flags()? & i_flags::INDEX;
            disk::put(raw, 0x20, &flags.to_le_bytes())?;
            disk::put(raw, 4, was.bytes(4, 4)?)?;
        }
        Ok(())
    }

    fn add_range(&mut self, inode: u32, extent: Extent, later: &[Change]) -> Result<()> {
        let mut raw = self.disk.inode(inode)?;
        let flags = RawInode::new(Fields::new("inode", 0, &raw)).i_flags()?;
        if flags & i_flags::EXTENTS == 0 {
            // Its content was in the inode before; the inode that has a map comes later.
            let next = later.iter().find_map(|change| match change {
                Change::Inode { inode: n, raw } if *n == inode => Some(raw),
                _ => None,
            });
            if let Some(next) = next {
                self.inode(inode, next)?;
                raw = self.disk.inode(inode)?;
            }
        }
        let mut map = Map::read(&mut self.disk, &raw)?;
        let before = map.clone();
        let freed = map.insert(extent);
        if map == before {
            return Ok(());
        }
        for old in freed {
            self.disk
                .mark_blocks(old.physical, u64::from(old.length), false)?;
        }
        let (at, length) = (extent.physical, u64::from(extent.length));
        self.disk.mark_blocks(at, length, true)?;
        map.write(&mut self.disk, inode, &mut raw, &self.avoid)?;
        self.disk.write_inode(inode, raw)
    }

    fn del_range(&mut self, inode: u32, from: u32, to: u32) -> Result<()> {
        let mut raw = self.disk.inode(inode)?;
        let mut map = Map::read(&mut self.disk, &raw)?;
        let freed = map.remove(from, to);
        if freed.is_empty() {
            return Ok(());
        }
        for old in freed {
            self.disk
                .mark_blocks(old.physical, u64::from(old.length), false)?;
        }
        map.write(&mut self.disk, inode, &mut raw, &self.avoid)?;
        self.disk.write_inode(inode, raw)
    }

    fn create(&mut self, entry: &Entry) -> Result<()> {
        self.disk.mark_inode(entry.inode, true)?;
        if self.kind(entry.inode)? == 0x4000 && !self.is_inline(entry.inode)? {
            let mut new = Directory::open(&mut self.disk, entry.inode)?;
            new.start(entry.parent, &self.avoid)?;
        }
        if self.name(entry)? && self.kind(entry.inode)? == 0x4000 {
            // Its `..`; the inode of the directory above is not told.
            self.count_subdirectory(entry.parent, 1)?;
        }
        Ok(())
    }

    /// Whether the content is in the inode, and so came with it.
    fn is_inline(&self, inode: u32) -> Result<bool> {
        let raw = self.disk.inode(inode)?;
        let flags = RawInode::new(Fields::new("inode", 0, &raw)).i_flags()?;
        Ok(flags & i_flags::INLINE_DATA != 0)
    }

    fn kind(&self, inode: u32) -> Result<u16> {
        let raw = self.disk.inode(inode)?;
        Ok(RawInode::new(Fields::new("inode", 0, &raw)).i_mode()? & 0xF000)
    }

    /// Puts the name into its directory.
    fn name(&mut self, entry: &Entry) -> Result<bool> {
        // `file_type` of an entry, by the kind of file.
        let kind = match self.kind(entry.inode)? {
            0x8000 => 1,
            0x4000 => 2,
            0x2000 => 3,
            0x6000 => 4,
            0x1000 => 5,
            0xC000 => 6,
            0xA000 => 7,
            _ => 0,
        };
        let mut parent = Directory::open(&mut self.disk, entry.parent)?;
        parent.link(&entry.name, entry.inode, kind, &self.avoid)
    }

    fn link(&mut self, entry: &Entry) -> Result<()> {
        if self.name(entry)? {
            self.count_links(entry.inode, 1)?;
        }
        Ok(())
    }

    fn unlink(&mut self, entry: &Entry) -> Result<()> {
        let mut parent = Directory::open(&mut self.disk, entry.parent)?;
        match parent.unlink(&entry.name)? {
            Some(inode) if inode == entry.inode => {
                if self.kind(inode)? == 0x4000 {
                    self.count_subdirectory(entry.parent, -1)?;
                }
                self.count_links(inode, -1)
            }
            _ => Ok(()),
        }
    }

    /// Counts the `..` of a directory that came or went.
    fn count_subdirectory(&mut self, parent: u32, by: i16) -> Result<()> {
        let mut raw = self.disk.inode(parent)?;
        let links = RawInode::new(Fields::new("inode", 0, &raw)).i_links_count()?;
        // A directory with one link has more than can be counted.
        if links < 2 {
            return Ok(());
        }
        set_links(&mut raw, links.saturating_add_signed(by).max(2))?;
        self.disk.write_inode(parent, raw)
    }

    /// Counts a link that came or went. A file without links is gone, and so is a directory with
    /// one: its own.
    fn count_links(&mut self, inode: u32, by: i16) -> Result<()> {
        let mut raw = self.disk.inode(inode)?;
        let links = RawInode::new(Fields::new("inode", 0, &raw)).i_links_count()?;
        let links = links.saturating_add_signed(by);
        let own = u16::from(self.kind(inode)? == 0x4000);
        if links > own {
            set_links(&mut raw, links)?;
            return self.disk.write_inode(inode, raw);
        }
        let flags = RawInode::new(Fields::new("inode", 0, &raw)).i_flags()?;
        if flags & i_flags::EXTENTS != 0 {
            let map = Map::read(&mut self.disk, &raw)?;
            for extent in &map.extents {
                self.disk
                    .mark_blocks(extent.physical, u64::from(extent.length), false)?;
            }
            let empty = Map {
                extents: Vec::new(),
                nodes: map.nodes,
            };
            empty.write(&mut self.disk, inode, &mut raw, &self.avoid)?;
        }
        set_deleted(&mut raw)?;
        self.disk.write_inode(inode, raw)?;
        self.disk.mark_inode(inode, false)
    }
}
