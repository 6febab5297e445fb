//! Which chains come past a wanted cluster.

use hexz_resolve::RangeSet;

use crate::Heap;
use crate::table::{Next, Table};

/// For each run of a table whether a wanted cluster may be reached from it. Each run is looked at
/// once, so that finding out about all chains costs as much as following each of them once.
pub(crate) struct Reach<'a> {
    table: &'a Table,
    runs: Vec<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    No,
    Yes,
}

impl<'a> Reach<'a> {
    /// Whether the clusters of `wanted` are reached.
    pub(crate) fn new(table: &'a Table, heap: &Heap, wanted: &RangeSet) -> Self {
        let mut runs = vec![State::Open; table.len()];
        for range in wanted {
            let clusters = heap.clusters_in(range);
            let mut at = table.run(clusters.start).filter(|_| !clusters.is_empty());
            while let Some(run) = at.filter(|run| run.start < clusters.end) {
                if let Some(state) = runs.get_mut(run.index) {
                    *state = State::Yes;
                }
                at = run.index.checked_add(1).and_then(|next| table.shown(next));
            }
        }
        Self { table, runs }
    }

    /// Whether the chain from `first` on comes past a run with a wanted cluster.
    pub(crate) fn reaches(&mut self, first: u32) -> bool {
        let mut path = Vec::new();
        let mut at = first;
        let answer = loop {
            let Some(run) = self.table.run(at) else {
                break State::No;
            };
            match self.runs.get_mut(run.index) {
                Some(open @ State::Open) => {
                    // Taken for one that does not, so that a cycle ends here.
                    *open = State::No;
                    path.push(run.index);
                }
                Some(known) => break *known,
                None => break State::No,
            }
            match run.next {
                Next::To(next) => at = next,
                _ => break State::No,
            }
        };
        for index in path {
            if let Some(state) = self.runs.get_mut(index) {
                *state = answer;
            }
        }
        answer == State::Yes
    }
}
