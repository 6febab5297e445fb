//! What an image that maps its blocks by a table may hold data in.

use hexz_resolve::{ByteRange, RangeSet};

/// Most runs that are told apart; past them all may be data. A table in which every other block
/// is a hole must not take up all memory.
const MOST_RUNS: usize = 4 << 20;

/// Where a piece of a disk lies in the file that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: it reads as zeros.
    Hole,
    /// As it is, from this byte.
    At(u64),
    /// Compressed with the rest of its block, which starts at this byte.
    Packed(u64),
    /// The table has an entry that means nothing.
    Bad(u64),
}

/// Collects the pieces of a range in their order.
pub(crate) struct DataIn {
    range: ByteRange,
    runs: Vec<ByteRange>,
    /// Up to where pieces were added.
    told: u64,
}

impl DataIn {
    pub(crate) fn new(range: ByteRange) -> Self {
        Self {
            range,
            runs: Vec::new(),
            told: range.start(),
        }
    }

    /// Adds the next piece. Gives whether there is room for more.
    pub(crate) fn add(&mut self, piece: ByteRange, place: Place) -> bool {
        self.told = piece.end();
        if place == Place::Hole {
            return true;
        }
        match self.runs.last_mut() {
            Some(last) if last.end() == piece.start() => {
                *last = ByteRange::new(last.start(), piece.end());
            }
            _ => self.runs.push(piece),
        }
        self.runs.len() < MOST_RUNS
    }

    /// The pieces with data, and all that was not added.
    pub(crate) fn finish(mut self) -> RangeSet {
        if self.told < self.range.end() {
            self.runs.push(ByteRange::new(self.told, self.range.end()));
        }
        self.runs.into_iter().collect()
    }
}
