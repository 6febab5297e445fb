//! Threads that passes share.

use crate::{Error, Result};

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

    /// The pool itself.
    pub(crate) fn pool(&self) -> &rayon::ThreadPool {
        &self.0
    }
}
