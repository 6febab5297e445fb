//! Parents of an archive: opening them, and finding in them what a block refers to.

use hexz_resolve::{ByteRange, Error, Result, check_bounds};

use super::Archive;
use super::index::{Block, HashIndex, Kind};
use crate::num::usize_of;

fn prefix(hash: &[u8; 32]) -> u64 {
    let (front, _) = hash.split_first_chunk().unwrap_or((&[0; 8], &[]));
    u64::from_be_bytes(*front)
}

impl Archive {
    /// Fills `out` with `piece` of the disk, which this archive leaves to its parents: as the
    /// parent reference `block`, or because its index ends before.
    pub(super) fn read_from_parent(
        &self,
        block: Option<&Block>,
        piece: ByteRange,
        out: &mut [u8],
    ) -> Result<()> {
        let missing = |why: String| Error::corrupt("hxz block").message(why);
        let hash = block.and_then(Block::hash);
        if let (Some(block), Some(hash)) = (block, hash) {
            for holder in &self.lineage {
                let found = holder.find(block.range, hash);
                if let Some(found) = found.map_err(|e| holder.named(e))? {
                    let skip = piece.start().saturating_sub(block.range.start());
                    let start = found.range.start().saturating_add(skip);
                    let there = ByteRange::at(start, piece.len()).unwrap_or_default();
                    let read = holder.read_piece(Some(&found), there, out);
                    return read.map_err(|e| holder.named(e));
                }
            }
            if self.by_hash_only {
                return Err(missing("no parent holds the block".into()));
            }
        }
        for parent in &self.parents {
            if check_bounds(piece.start(), out.len(), parent.size).is_err() {
                continue;
            }
            let same_range = block.and_then(|block| parent.block_at(block.range).ok().flatten());
            let other = same_range.as_ref().and_then(Block::hash);
            if hash.is_some() && other.is_some() && hash != other {
                return Err(missing(format!(
                    "{} holds other data there than the parent it was made with",
                    parent.name
                )));
            }
            return parent.read_range(piece.start(), out);
        }
        Err(missing("no parent holds these bytes".into()))
    }

    /// All its stored blocks by their hashes.
    fn hash_index(&self) -> Result<HashIndex> {
        let mut all = Vec::new();
        for number in 0..self.pages.len() {
            let page = self.page(number)?;
            for (at, block) in page.blocks.iter().enumerate() {
                let stored = matches!(block.kind, Kind::Stored { .. });
                let place = u32::try_from(number).ok().zip(u32::try_from(at).ok());
                if let (true, Some(hash), Some((number, at))) = (stored, block.hash(), place) {
                    all.push((prefix(hash), number, at));
                }
            }
        }
        all.sort_unstable();
        Ok(HashIndex(all))
    }

    /// The block of exactly `range`.
    fn block_at(&self, range: ByteRange) -> Result<Option<Block>> {
        let after = self
            .pages
            .partition_point(|page| page.start <= range.start());
        let Some(number) = after.checked_sub(1) else {
            return Ok(None);
        };
        let page = self.page(number)?;
        let at = page
            .blocks
            .partition_point(|b| b.range.start() < range.start());
        Ok(page.blocks.get(at).filter(|b| b.range == range).copied())
    }

    /// The block of this archive in which the content with `hash` is stored: mostly at the same
    /// place of the disk.
    fn find(&self, range: ByteRange, hash: &[u8; 32]) -> Result<Option<Block>> {
        let fits = |block: &Block| {
            let stored = matches!(block.kind, Kind::Stored { .. });
            stored && block.hash() == Some(hash) && block.range.len() == range.len()
        };
        if let Some(block) = self.block_at(range)?.filter(fits) {
            return Ok(Some(block));
        }
        let hashes = self
            .hashes
            .get_or_init(|| self.hash_index().map_err(|e| e.chain()))
            .as_ref()
            .map_err(|e| Error::corrupt("hxz index").message(e.clone()))?;
        let wanted = prefix(hash);
        let from = hashes.0.partition_point(|(found, ..)| *found < wanted);
        let rest = hashes.0.iter().skip(from);
        for (_, number, at) in rest.take_while(|(found, ..)| *found == wanted) {
            let page = self.page(usize_of(u64::from(*number)))?;
            let block = page.blocks.get(usize_of(u64::from(*at)));
            if let Some(block) = block.filter(|block| fits(block)) {
                return Ok(Some(*block));
            }
        }
        Ok(None)
    }
}
