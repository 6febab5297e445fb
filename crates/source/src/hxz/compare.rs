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
    holes || x.range == y.range && x.hash().is_some() && x.hash() == y.hash()
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
