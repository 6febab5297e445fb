//! The map of a file, changed as a list and written back as a tree.

use hexz_ondisk::Fields;
use hexz_resolve::{Error, RangeSet, Result};

use crate::checksum::crc;
use crate::ondisk::{RawInode, ro_compat};

use super::disk::{Disk, I_BLOCK_SIZE, put, set_i_block};

/// `eh_magic`.
const MAGIC: u16 = 0xF30A;
/// Bytes of a header, of an extent, of an index.
const ENTRY: usize = 12;
/// The longest written extent; one that was never written is a block shorter.
const LONGEST: u32 = 32768;

/// Nodes of a tree that is changed here.
const MOST_NODES: usize = 4096;

/// Blocks of a file that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// First block, in the file.
    pub(super) logical: u32,
    pub(super) length: u32,
    /// First block, in the filesystem.
    pub(super) physical: u64,
    pub(super) unwritten: bool,
}

impl Extent {
    /// The twelve bytes of an extent.
    pub(super) fn parse(f: &Fields<'_>) -> Result<Self> {
        let length = u32::from(f.le16(4)?);
        let unwritten = length > LONGEST;
        Ok(Self {
            logical: f.le32(0)?,
            length: if unwritten {
                length.saturating_sub(LONGEST)
            } else {
                length
            },
            physical: u64::from(f.le16(6)?) << 32 | u64::from(f.le32(8)?),
            unwritten,
        })
    }

    fn bytes(&self) -> [u8; ENTRY] {
        let extra = if self.unwritten { LONGEST } else { 0 };
        let length = u16::try_from(self.length.saturating_add(extra)).unwrap_or(u16::MAX);
        entry(
            self.logical,
            &[length.to_le_bytes(), high(self.physical)].concat(),
            self.physical,
        )
    }

    fn end(&self) -> u32 {
        self.logical.saturating_add(self.length)
    }

    /// The part of it from `from` up to `to`.
    pub(super) fn part(&self, from: u32, to: u32) -> Option<Self> {
        let logical = self.logical.max(from);
        let length = self.end().min(to).checked_sub(logical).filter(|n| *n > 0)?;
        let skipped = logical.saturating_sub(self.logical);
        Some(Self {
            logical,
            length,
            physical: self.physical.saturating_add(u64::from(skipped)),
            unwritten: self.unwritten,
        })
    }

    /// Both as one, where `next` goes on where this one ends.
    fn joined(&self, next: &Self) -> Option<Self> {
        let length = self.length.checked_add(next.length)?;
        let goes_on = self.end() == next.logical
            && self.physical.checked_add(u64::from(self.length)) == Some(next.physical)
            && self.unwritten == next.unwritten
            && length < LONGEST;
        goes_on.then_some(Self { length, ..*self })
    }
}

/// Four bytes, four bytes, the low half of a block number: the order that an extent has. An index
/// has the block number in the middle, and is made where an index is.
fn entry(first: u32, middle: &[u8], block: u64) -> [u8; ENTRY] {
    let [a, b, c, d] = first.to_le_bytes();
    let [i, j, k, l, ..] = block.to_le_bytes();
    match middle {
        [e, f, g, h] => [a, b, c, d, *e, *f, *g, *h, i, j, k, l],
        _ => [0; ENTRY],
    }
}

fn high(block: u64) -> [u8; 2] {
    let [_, _, _, _, a, b, ..] = block.to_le_bytes();
    [a, b]
}

/// A file's map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// By logical block, not overlapping.
    pub(super) extents: Vec<Extent>,
    /// The blocks that the tree lies in.
    pub(super) nodes: Vec<u64>,
}

impl Map {
    /// Reads the map of an inode that has extents.
    pub(super) fn read(disk: &mut Disk<'_>, raw: &[u8]) -> Result<Self> {
        let mut map = Self::default();
        let inode = RawInode::new(Fields::new("inode", 0, raw));
        map.read_node(disk, &inode.i_block()?, None)?;
        // Maps are read whole for each change.
        disk.spend(u64::try_from(map.extents.len()).unwrap_or(u64::MAX) >> 5)?;
        if map.extents.windows(2).any(|pair| match pair {
            [a, b] => a.end() > b.logical,
            _ => false,
        }) {
            return Err(Error::corrupt("extent tree").message("extents that overlap"));
        }
        Ok(map)
    }

    fn read_node(
        &mut self,
        disk: &mut Disk<'_>,
        node: &Fields<'_>,
        above: Option<u16>,
    ) -> Result<()> {
        let (magic, entries, depth) = (node.le16(0)?, node.le16(2)?, node.le16(6)?);
        // Depth falls by one, so that a tree ends; five levels map all there can be.
        let right = above.map_or(depth <= 5, |above| above.checked_sub(1) == Some(depth));
        if magic != MAGIC || !right {
            return Err(Error::corrupt("extent tree").found(format_args!("depth {depth}")));
        }
        for n in 0..usize::from(entries) {
            let at = n.saturating_add(1).saturating_mul(ENTRY);
            let entry = node.sub("extent", at, ENTRY)?;
            if depth == 0 {
                self.extents.push(Extent::parse(&entry)?);
                continue;
            }
            let child = u64::from(entry.le16(8)?) << 32 | u64::from(entry.le32(4)?);
            if self.nodes.contains(&child) || self.nodes.len() >= MOST_NODES {
                let message = "a node that is met again, or very many of them";
                return Err(Error::corrupt("extent tree").message(message));
            }
            disk.spend(1)?;
            self.nodes.push(child);
            let bytes = disk.read(child)?;
            self.read_node(disk, &Fields::new("extent node", 0, &bytes), Some(depth))?;
        }
        Ok(())
    }

    /// Takes out what maps `from` up to `to`, and gives it.
    pub(super) fn remove(&mut self, from: u32, to: u32) -> Vec<Extent> {
        let old = std::mem::take(&mut self.extents);
        let removed = old.iter().filter_map(|e| e.part(from, to)).collect();
        for extent in old {
            self.extents.extend(extent.part(0, from));
            self.extents.extend(extent.part(to, u32::MAX));
        }
        removed
    }

    /// Maps as `extent` says, and gives what was mapped there before.
    pub(super) fn insert(&mut self, extent: Extent) -> Vec<Extent> {
        let removed = self.remove(extent.logical, extent.end());
        let at = self.extents.partition_point(|e| e.logical < extent.logical);
        self.extents.insert(at, extent);
        let mut joined: Vec<Extent> = Vec::with_capacity(self.extents.len());
        for extent in self.extents.drain(..) {
            match joined
                .last_mut()
                .and_then(|last| Some((last.joined(&extent)?, last)))
            {
                Some((both, last)) => *last = both,
                None => joined.push(extent),
            }
        }
        self.extents = joined;
        removed
    }

    /// The block that `logical` lies in.
    pub(super) fn block(&self, logical: u32) -> Option<u64> {
        let extent = self
            .extents
            .iter()
            .find_map(|e| e.part(logical, logical.checked_add(1)?));
        extent.map(|e| e.physical)
    }

    /// Writes the map to its inode, and to as many nodes as it takes.
    pub(super) fn write(
        mut self,
        disk: &mut Disk<'_>,
        inode: u32,
        raw: &mut [u8],
        avoid: &RangeSet,
    ) -> Result<()> {
        let seed = disk.inode_seed(inode, raw)?;
        let room = disk
            .block_size()
            .saturating_sub(ENTRY)
            .checked_div(ENTRY)
            .unwrap_or(0);
        let mut depth = 0u16;
        let mut level: Vec<(u32, [u8; ENTRY])> = self
            .extents
            .iter()
            .map(|e| (e.logical, e.bytes()))
            .collect();
        let old = std::mem::take(&mut self.nodes);
        let mut spare = old.into_iter();
        let in_inode = (I_BLOCK_SIZE / ENTRY).saturating_sub(1);
        while level.len() > in_inode {
            let mut above = Vec::new();
            for entries in level.chunks(room.max(1)) {
                let block = match spare.next() {
                    Some(block) => block,
                    None => disk.allocate(avoid)?,
                };
                let mut bytes = node(entries, room, depth, disk.block_size())?;
                if disk.superblock.ro_compat(ro_compat::METADATA_CSUM) {
                    let end = room.saturating_add(1).saturating_mul(ENTRY);
                    let sum = crc(seed, bytes.get(..end).unwrap_or_default());
                    put(&mut bytes, end, &sum.to_le_bytes())?;
                }
                disk.write(block, bytes)?;
                let first = entries.first().map_or(0, |(first, _)| *first);
                let [a, b, c, d] = first.to_le_bytes();
                let [e, f, g, h, i, j, ..] = block.to_le_bytes();
                above.push((first, [a, b, c, d, e, f, g, h, i, j, 0, 0]));
            }
            level = above;
            depth = depth.saturating_add(1);
        }
        for unused in spare {
            disk.mark_blocks(unused, 1, false)?;
        }
        set_i_block(raw, &node(&level, in_inode, depth, I_BLOCK_SIZE)?)
    }
}

/// A node of `size` bytes with room for `room` entries.
fn node(entries: &[(u32, [u8; ENTRY])], room: usize, depth: u16, size: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes();
    put(&mut bytes, 0, &MAGIC.to_le_bytes())?;
    put(&mut bytes, 2, &count(entries.len()))?;
    put(&mut bytes, 4, &count(room))?;
    put(&mut bytes, 6, &depth.to_le_bytes())?;
    for (n, (_, entry)) in entries.iter().enumerate() {
        put(&mut bytes, n.saturating_add(1).saturating_mul(ENTRY), entry)?;
    }
    Ok(bytes)
}
