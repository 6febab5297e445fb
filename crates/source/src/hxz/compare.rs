//! Where two archives may differ, told by their indexes alone.

use std::ops::ControlFlow;
use std::sync::Arc;

use hexz_resolve::{ByteRange, RangeSet, Result};

use super::Archive;
use super::index::{Block, Kind, Page};
use crate::layer::{Layer as _, Place};

/// The pieces of the disk in which `a` and `b` may differ: all but those that are holes in both,
/// and those whose blocks have the same hash.
pub(crate) fn candidates(a: &Archive, b: &Archive) -> Result<RangeSet> {
    let (mut left, mut right) = (Blocks::new(a), Blocks::new(b));
    let mut out = RangeSet::new();
    while let (Some(x), Some(y)) = (left.peek()?, right.peek()?) {
        if let Some(both) = x.range.intersection(&y.range).filter(|_| !same(&x, &y)) {
            out.insert(both);
        }
        if x.range.end() <= y.range.end() {
            left.advance();
        }
        if y.range.end() <= x.range.end() {
            right.advance();
        }
    }
    // What one index does not reach, and what only the longer disk has.
    let reached = left.start.min(right.start);
    for archive in [a, b] {
        let rest = ByteRange::new(reached, archive.size);
        let _ = archive.pieces(rest, &mut |piece, place| {
            if !matches!(place, Place::Zero) {
                out.insert(piece);
            }
            ControlFlow::Continue(())
        });
    }
    Ok(out)
}

fn same(x: &Block, y: &Block) -> bool {
    let holes = x.kind == Kind::Sparse && y.kind == Kind::Sparse;
    holes || x.range == y.range && same_hash(x, y)
}

/// Whether two blocks of one length have the same content.
fn same_hash(x: &Block, y: &Block) -> bool {
    x.hash().is_some() && x.hash() == y.hash()
}

/// The parts of the first `size` bytes from a byte of `a` and from a byte of `b` on that may
/// differ: all but those that are holes in both, and those whose blocks have the same hash.
pub(crate) fn differing(a: (&Archive, u64), b: (&Archive, u64), size: u64) -> Result<RangeSet> {
    let mut out = Vec::new();
    let mut at = 0u64;
    while at < size {
        let blocks = [a, b].map(|(archive, start)| {
            let block = archive.block_of(start.saturating_add(at))?;
            Ok(block.map(|block| (block, start)))
        });
        let [x, y]: [Result<Option<(Block, u64)>>; 2] = blocks;
        let (Some((x, x_start)), Some((y, y_start))) = (x?, y?) else {
            // What one index does not reach.
            out.push(ByteRange::new(at, size));
            break;
        };
        // One past the last byte of each block, as the two contents count.
        let end = |block: &Block, start: u64| block.range.end().saturating_sub(start);
        let next = end(&x, x_start).min(end(&y, y_start)).min(size);
        let from = |block: &Block, other: u64| block.range.start().checked_add(other);
        let holes = x.kind == Kind::Sparse && y.kind == Kind::Sparse;
        let aligned = from(&x, y_start).is_some() && from(&x, y_start) == from(&y, x_start);
        let equal = aligned && x.range.len() == y.range.len() && same_hash(&x, &y);
        if !holes && !equal {
            out.push(ByteRange::new(at, next));
        }
        at = next.max(at.saturating_add(1));
    }
    Ok(out.into_iter().collect())
}

/// The blocks of an archive, one after the other, with one page held.
struct Blocks<'a> {
    archive: &'a Archive,
    page: Option<Arc<Page>>,
    number: usize,
    at: usize,
    /// Where the next block starts.
    start: u64,
}

impl<'a> Blocks<'a> {
    fn new(archive: &'a Archive) -> Self {
        Self {
            archive,
            page: None,
            number: 0,
            at: 0,
            start: 0,
        }
    }

    fn peek(&mut self) -> Result<Option<Block>> {
        loop {
            let page = match &self.page {
                Some(page) => page,
                None if self.number >= self.archive.pages.len() => return Ok(None),
                None => self.page.insert(self.archive.page(self.number)?),
            };
            if let Some(block) = page.blocks.get(self.at) {
                self.start = block.range.start();
                return Ok(Some(*block));
            }
            self.start = page.blocks.last().map_or(self.start, |b| b.range.end());
            self.page = None;
            self.number = self.number.saturating_add(1);
            self.at = 0;
        }
    }

    fn advance(&mut self) {
        self.at = self.at.saturating_add(1);
    }
}
