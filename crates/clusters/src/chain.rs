//! Following a chain.

use std::collections::HashMap;
use std::ops::Range;

use crate::format::Entry;
use crate::heap::Heap;
use crate::table::{Next, Table};

/// The clusters of a chain, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Clusters that follow each other both in the chain and on the volume.
    pub runs: Vec<Range<u32>>,
    /// How it ends.
    pub end: ChainEnd,
}

/// How a chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainEnd {
    /// With a cluster that is marked as its last.
    Marked,
    /// With one that the table says is free.
    Free(u32),
    /// With one that is marked as bad.
    Bad(u32),
    /// With one whose entry could not be read.
    Unknown(u32),
    /// It leads to a cluster that does not exist.
    Outside(u32),
    /// It leads back to one of its own clusters.
    Cycle(u32),
    /// It was not followed any further: too many chains share their clusters.
    TooLong,
}

/// How many runs may still be followed. The chains of a sound volume share nothing, so that all of
/// them together have no more runs than the table.
#[derive(Debug)]
pub struct Steps(usize);

impl Steps {
    /// Enough for all chains of a sound `table`, and for a good deal of damage.
    #[must_use]
    pub fn of(table: &Table) -> Self {
        Self(table.len().saturating_mul(8).saturating_add(1 << 20))
    }

    fn take(&mut self) -> bool {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}

impl Table {
    /// The chain that starts with `first`.
    #[must_use]
    pub fn chain(&self, first: u32, steps: &mut Steps) -> Chain {
        let mut runs: Vec<Range<u32>> = Vec::new();
        // For each run of the table that was entered: the first of its clusters that was.
        let mut entered: HashMap<usize, u32> = HashMap::new();
        let mut at = first;
        let end = loop {
            let Some(run) = self.run(at) else {
                break ChainEnd::Outside(at);
            };
            if !steps.take() {
                break ChainEnd::TooLong;
            }
            let alone = match run.next {
                Next::Free => Some(ChainEnd::Free(at)),
                Next::Bad => Some(ChainEnd::Bad(at)),
                Next::Unknown => Some(ChainEnd::Unknown(at)),
                Next::End | Next::To(_) => None,
            };
            if let Some(end) = alone {
                push(&mut runs, at..at.saturating_add(1));
                break end;
            }
            if let Some(before) = entered.get(&run.index) {
                if *before > at {
                    push(&mut runs, at..*before);
                    break ChainEnd::Cycle(*before);
                }
                break ChainEnd::Cycle(at);
            }
            entered.insert(run.index, at);
            push(&mut runs, at..run.end);
            match run.next {
                Next::To(next) => at = next,
                _ => break ChainEnd::Marked,
            }
        };
        Chain { runs, end }
    }
}

/// Adds clusters, joined with those before where they follow them.
fn push(runs: &mut Vec<Range<u32>>, clusters: Range<u32>) {
    match runs.last_mut() {
        Some(last) if last.end == clusters.start => last.end = clusters.end,
        _ => runs.push(clusters),
    }
}

/// The clusters of a file.
pub(crate) fn clusters_of(
    entry: &Entry,
    (heap, table): (&Heap, &Table),
    steps: &mut Steps,
) -> Chain {
    if !entry.contiguous {
        return table.chain(entry.first, steps);
    }
    let count = heap.clusters_for(entry.size);
    let last = u64::from(entry.first).checked_add(count);
    let (end, how) = match last.filter(|last| *last <= u64::from(heap.end())) {
        Some(last) => (u32::try_from(last).unwrap_or(heap.end()), ChainEnd::Marked),
        None => (heap.end(), ChainEnd::Outside(heap.end())),
    };
    match heap.has(entry.first) {
        true => Chain {
            runs: std::iter::once(entry.first..end)
                .filter(|run| !run.is_empty())
                .collect(),
            end: how,
        },
        false => Chain {
            runs: Vec::new(),
            end: ChainEnd::Outside(entry.first),
        },
    }
}
