//! The blocks of a file: extent trees, and the direct and indirect blocks before them.

use std::collections::BTreeSet;

use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{Diagnostic, Error, ReadAt, Result};

use crate::checksum::{crc, inode_seed};
use crate::geometry::Geometry;
use crate::ondisk::{RawInode, i_flags, ro_compat};

/// What blocks are to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mapped {
    Data,
    /// Allocated, and reads as zeros.
    Unwritten,
    /// A block of the map itself.
    Node(&'static str),
}

/// Blocks that follow each other in the file and in the filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Piece {
    pub(crate) mapped: Mapped,
    /// First block of the file; 0 for a node.
    pub(crate) logical: u64,
    /// First block of the filesystem.
    pub(crate) physical: u64,
    pub(crate) length: u64,
}

/// Largest `eh_depth`.
const MAX_DEPTH: u16 = 5;
const EXTENT_MAGIC: u16 = 0xF30A;

/// Reads maps. A budget of blocks keeps a hostile image, in which many files share one large map,
/// from being read for ever: on a sound one no block of a map has two owners.
pub(crate) struct Mapper<'a> {
    geometry: &'a Geometry,
    reader: &'a dyn ReadAt,
    diagnose: &'a dyn Fn(Diagnostic),
    budget: u64,
}

struct Walk<'w> {
    number: u64,
    seed: Option<u32>,
    seen: BTreeSet<u64>,
    pending: Option<Piece>,
    visit: &'w mut dyn FnMut(Piece) -> Result<()>,
}

impl Walk<'_> {
    fn put(&mut self, piece: Piece) -> Result<()> {
        if let Some(last) = &mut self.pending {
            let follows = last.mapped == piece.mapped
                && !matches!(last.mapped, Mapped::Node(_))
                && last.logical.checked_add(last.length) == Some(piece.logical)
                && last.physical.checked_add(last.length) == Some(piece.physical);
            if follows {
                last.length = last.length.saturating_add(piece.length);
                return Ok(());
            }
        }
        match self.pending.replace(piece) {
            Some(done) => (self.visit)(done),
            None => Ok(()),
        }
    }
}

impl<'a> Mapper<'a> {
    pub(crate) fn new(
        geometry: &'a Geometry,
        reader: &'a dyn ReadAt,
        diagnose: &'a dyn Fn(Diagnostic),
    ) -> Self {
        let budget = geometry.volume.checked_div(geometry.block()).unwrap_or(0);
        Self {
            geometry,
            reader,
            diagnose,
            budget,
        }
    }

    /// Hands out the pieces of an inode's map. What of it is damaged is a finding and left out.
    pub(crate) fn walk(
        &mut self,
        inode: &RawInode<'_>,
        number: u64,
        visit: &mut dyn FnMut(Piece) -> Result<()>,
    ) -> Result<()> {
        let root = inode.i_block()?;
        let extents = inode.i_flags()? & i_flags::EXTENTS != 0;
        let seed = (extents && self.geometry.sb.ro_compat(ro_compat::METADATA_CSUM))
            .then(|| inode.i_generation().ok())
            .flatten()
            .map(|g| inode_seed(self.geometry.sb.checksum_seed(), number, g));
        let mut walk = Walk {
            number,
            seed,
            seen: BTreeSet::new(),
            pending: None,
            visit,
        };
        let result = if extents {
            self.extent_node(&mut walk, root, None)
        } else {
            self.indirect_root(&mut walk, root)
        };
        if let Some(last) = walk.pending.take() {
            (walk.visit)(last)?;
        }
        result.or_else(|error| self.tolerate(error, number))
    }

    /// Tells what is wrong with an inode beside its map.
    pub(crate) fn finding(&self, error: &Error) {
        (self.diagnose)(Diagnostic::from(error));
    }

    /// Makes damage a finding, so that what was found before it stands.
    fn tolerate(&self, error: Error, number: u64) -> Result<()> {
        if error.ends_scan() {
            return Err(error);
        }
        let mut finding = Diagnostic::from(&error.layer("ext4"));
        finding
            .message
            .push_str(&format!("; part of the map of inode {number} is left out"));
        (self.diagnose)(finding);
        Ok(())
    }

    fn node(&mut self, walk: &mut Walk<'_>, block: u64, name: &'static str) -> Result<Vec<u8>> {
        let range = self
            .geometry
            .blocks(block, 1)
            .filter(|_| block != 0)
            .ok_or_else(|| {
                Error::corrupt(name)
                    .expected(format_args!(
                        "a block below {}",
                        self.geometry.sb.s_blocks_count
                    ))
                    .found(block)
            })?;
        if !walk.seen.insert(block) {
            return Err(Error::corrupt(name)
                .at(range.start())
                .message("the block is in the map of the file already"));
        }
        self.budget = self.budget.checked_sub(1).ok_or_else(|| {
            Error::corrupt(name)
                .at(range.start())
                .message("files share the blocks of their maps")
        })?;
        read(
            self.reader,
            name,
            range.start(),
            to_usize(range.len()).unwrap_or(0),
        )
    }

    fn extent_node(
        &mut self,
        walk: &mut Walk<'_>,
        f: Fields<'_>,
        parent_depth: Option<u16>,
    ) -> Result<()> {
        let magic = f.le16(0)?;
        if magic != EXTENT_MAGIC {
            let found = format_args!("{magic:#06x}");
            return Err(f.corrupt(0).expected("magic 0xf30a").found(found));
        }
        let (entries, depth) = (usize::from(f.le16(2)?), f.le16(6)?);
        match parent_depth {
            Some(parent) if parent.checked_sub(1) != Some(depth) => {
                let expected = format_args!("eh_depth {}", parent.saturating_sub(1));
                return Err(f.corrupt(6).expected(expected).found(depth));
            }
            None if depth > MAX_DEPTH => {
                return Err(f.corrupt(6).expected("eh_depth up to 5").found(depth));
            }
            _ => {}
        }
        let room = (f.len().saturating_sub(12)) / 12;
        if entries > room {
            return Err(f
                .corrupt(2)
                .expected(format_args!("up to {room} entries"))
                .found(entries));
        }
        if parent_depth.is_some() {
            self.check_extent_block(walk, f)?;
        }
        for n in 0..entries {
            let at = n.saturating_mul(12).saturating_add(12);
            if depth == 0 {
                let entry = f.sub("extent", at, 12)?;
                if let Err(error) = self.extent(walk, entry) {
                    self.tolerate(error, walk.number)?;
                }
                continue;
            }
            let entry = f.sub("extent index", at, 12)?;
            let child = u64::from(entry.le16(8)?) << 32 | u64::from(entry.le32(4)?);
            let name = if depth == 1 {
                "extent leaf"
            } else {
                "extent index node"
            };
            let detail = if depth == 1 {
                "extent-leaf"
            } else {
                "extent-index"
            };
            let below = self.node(walk, child, name).and_then(|bytes| {
                walk.put(Piece {
                    mapped: Mapped::Node(detail),
                    logical: 0,
                    physical: child,
                    length: 1,
                })?;
                let offset = child.saturating_mul(self.geometry.block());
                self.extent_node(walk, Fields::new(name, offset, &bytes), Some(depth))
            });
            if let Err(error) = below {
                self.tolerate(error, walk.number)?;
            }
        }
        Ok(())
    }

    fn check_extent_block(&self, walk: &Walk<'_>, f: Fields<'_>) -> Result<()> {
        let Some(seed) = walk.seed else { return Ok(()) };
        let end = usize::from(f.le16(4)?)
            .saturating_mul(12)
            .saturating_add(12);
        if let (Ok(body), Ok(stored)) = (f.bytes(0, end), f.le32(end))
            && crc(seed, body) != stored
        {
            let text = format!(
                "{} of inode {} does not match its checksum",
                f.structure(),
                walk.number
            );
            (self.diagnose)(Diagnostic::warning("ext4-checksum", text).at(f.offset()));
        }
        Ok(())
    }

    fn extent(&mut self, walk: &mut Walk<'_>, f: Fields<'_>) -> Result<()> {
        let (ee_block, ee_len) = (f.le32(0)?, f.le16(4)?);
        let physical = u64::from(f.le16(6)?) << 32 | u64::from(f.le32(8)?);
        // A length above 0x8000 says that the extent is not written.
        let (mapped, length) = match ee_len.checked_sub(0x8000) {
            Some(length @ 1..) => (Mapped::Unwritten, length),
            _ => (Mapped::Data, ee_len),
        };
        let length = u64::from(length);
        if physical == 0 || self.geometry.blocks(physical, length).is_none() {
            let expected = format_args!("blocks below {}", self.geometry.sb.s_blocks_count);
            let found = format_args!("{physical}+{length}");
            return Err(f.corrupt(8).expected(expected).found(found));
        }
        walk.put(Piece {
            mapped,
            logical: ee_block.into(),
            physical,
            length,
        })
    }

    fn indirect_root(&mut self, walk: &mut Walk<'_>, f: Fields<'_>) -> Result<()> {
        let per_block = self.geometry.block() / 4;
        let mut logical = 0;
        for n in 0..15usize {
            let level = u32::try_from(n.saturating_sub(11)).unwrap_or(0);
            let block = u64::from(f.le32(n.saturating_mul(4))?);
            let below = self.indirect(walk, block, level, logical);
            if let Err(error) = below {
                self.tolerate(error.at(f.offset_of(n.saturating_mul(4))), walk.number)?;
            }
            logical = logical.saturating_add(per_block.saturating_pow(level));
        }
        Ok(())
    }

    /// The blocks below `block`, which is `level` indirections above data.
    fn indirect(
        &mut self,
        walk: &mut Walk<'_>,
        block: u64,
        level: u32,
        logical: u64,
    ) -> Result<()> {
        if block == 0 {
            return Ok(());
        }
        if level == 0 {
            if self.geometry.blocks(block, 1).is_none() {
                return Err(Error::corrupt("block pointer")
                    .expected(format_args!(
                        "a block below {}",
                        self.geometry.sb.s_blocks_count
                    ))
                    .found(block));
            }
            return walk.put(Piece {
                mapped: Mapped::Data,
                logical,
                physical: block,
                length: 1,
            });
        }
        let bytes = self.node(walk, block, "indirect block")?;
        walk.put(Piece {
            mapped: Mapped::Node("indirect"),
            logical: 0,
            physical: block,
            length: 1,
        })?;
        let below = level.saturating_sub(1);
        let step = (self.geometry.block() / 4).saturating_pow(below);
        let mut logical = logical;
        for pointer in bytes.chunks_exact(4) {
            let pointer = pointer.try_into().map_or(0, u32::from_le_bytes);
            if pointer == 0 {
                logical = logical.saturating_add(step);
                continue;
            }
            if let Err(error) = self.indirect(walk, pointer.into(), below, logical) {
                self.tolerate(error, walk.number)?;
            }
            logical = logical.saturating_add(step);
        }
        Ok(())
    }
}
