//! Threads that passes share.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;

use crate::{Error, ErrorKind, Result};

/// A number of threads, started once, on which the units of scans run.
#[derive(Debug)]
pub struct Threads(rayon::ThreadPool);

impl Threads {
    /// `count` threads; 0 for one a core.
    ///
    /// # Errors
    /// When the system can't start them.
    pub fn new(count: usize) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        pool.map(Self).map_err(|e| Error::io("threads", e))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Does `work` on each of `items`, and `settle` with what came of it on the calling thread, in
    /// the order of the items. Of the results no more than `ahead` wait for their turn. On one of
    /// these threads, which would wait for itself, one item is done after another.
    ///
    /// # Errors
    /// The first of `settle`, after which no further item is begun.
    pub fn in_turn<I: Sync, O: Send, E: From<Error>>(
        &self,
        items: &[I],
        ahead: usize,
        work: impl Fn(&I) -> O + Sync,
        mut settle: impl FnMut(&I, O) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        match self.0.current_thread_index() {
            Some(_) => items.iter().try_for_each(|item| settle(item, work(item))),
            None => in_turn(&self.0, items, ahead, &work, settle),
        }
    }

    /// The pool itself.
    pub(crate) fn pool(&self) -> &rayon::ThreadPool {
        &self.0
    }
}

/// See [`Threads::in_turn`].
pub(crate) fn in_turn<I: Sync, O: Send, E: From<Error>>(
    pool: &rayon::ThreadPool,
    items: &[I],
    ahead: usize,
    work: &(impl Fn(&I) -> O + Sync),
    mut settle: impl FnMut(&I, O) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let (sender, done) = mpsc::channel();
    pool.in_place_scope(|scope| {
        let mut coming = items.iter().enumerate();
        let mut start = || {
            if let Some((at, item)) = coming.next() {
                let sender = sender.clone();
                scope.spawn(move |_| {
                    let outcome = catch_unwind(AssertUnwindSafe(|| work(item)));
                    // No one listens any more once an error ended the whole.
                    let _ = sender.send((at, outcome));
                });
            }
        };
        (0..ahead.max(1)).for_each(|_| start());
        let mut waiting = HashMap::new();
        for (turn, item) in items.iter().enumerate() {
            let outcome = loop {
                if let Some(outcome) = waiting.remove(&turn) {
                    break outcome;
                }
                let Ok((at, outcome)) = done.recv() else {
                    return Err(Error::new(ErrorKind::Cancelled, "threads").into());
                };
                waiting.insert(at, outcome);
            };
            start();
            settle(item, outcome.unwrap_or_else(|panic| resume_unwind(panic)))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_their_order_and_few_wait() {
        let threads = Threads::new(3).unwrap();
        let items: Vec<usize> = (0..200).collect();
        let (begun, mut settled) = (AtomicUsize::new(0), Vec::new());
        let work = |item: &usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            if item.is_multiple_of(7) {
                std::thread::yield_now();
            }
            item * 2
        };
        let settle = |item: &usize, double| {
            assert!(begun.load(Ordering::SeqCst) <= settled.len() + 1 + 5);
            settled.push((*item, double));
            Ok::<_, Error>(())
        };
        threads.in_turn(&items, 5, work, settle).unwrap();
        assert!(
            settled
                .iter()
                .copied()
                .eq(items.iter().map(|n| (*n, n * 2)))
        );
    }

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        let threads = Threads::new(1).unwrap();
        let mut settled = 0;
        threads
            .pool()
            .install(|| {
                let settle = |_: &i32, double: i32| {
                    settled += double;
                    Ok::<_, Error>(())
                };
                threads.in_turn(&[1, 2, 3], 2, |item| item * 2, settle)
            })
            .unwrap();
        assert_eq!(settled, 12);
    }

    #[test]
    fn an_error_ends_the_whole() {
        let threads = Threads::new(2).unwrap();
        let items: Vec<usize> = (0..100).collect();
        let begun = AtomicUsize::new(0);
        let work = |_: &usize| begun.fetch_add(1, Ordering::SeqCst);
        let settle = |item: &usize, _| match item {
            4 => Err(Error::limit("test", "enough")),
            _ => Ok(()),
        };
        let error = threads.in_turn(&items, 3, work, settle).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(begun.load(Ordering::SeqCst) <= 4 + 1 + 3);
    }
}
