//! How much to try, and what went wrong.

use std::time::Duration;

use hexz_resolve::{JournalMode, Limits};

/// How much to try.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of all that is random.
    pub seed: u64,
    /// Threads of the run with several.
    pub threads: usize,
    /// Random parts of the disk, and as many sets of files, that are asked about.
    pub subsets: usize,
    /// Pairs of differing views.
    pub views: usize,
    /// Places where a read is made to fail.
    pub faults: usize,
    /// Lengths the image is cut to.
    pub truncations: usize,
    /// Damages to metadata.
    pub damages: usize,
    /// How long one damaged image may take.
    pub patience: Duration,
    /// How much the peak memory of the process may grow, in bytes.
    pub memory: u64,
    /// Claims, links and files that one pass may give before it is stopped.
    pub items: usize,
    /// Whether the link count of a file is the number of its links in directories.
    pub link_counts: bool,
    /// Whether journals are replayed.
    pub journal: JournalMode,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            threads: 4,
            subsets: 24,
            views: 16,
            faults: 60,
            truncations: 24,
            damages: 2000,
            patience: Duration::from_secs(20),
            memory: 512 << 20,
            items: 1_000_000,
            link_counts: true,
            journal: JournalMode::Replay,
        }
    }
}

impl Options {
    /// The same, `factor` times as thorough.
    #[must_use]
    pub fn times(mut self, factor: usize) -> Self {
        self.subsets *= factor;
        self.views *= factor;
        self.faults *= factor;
        self.truncations *= factor;
        self.damages *= factor;
        self
    }

    pub(super) fn limits(&self) -> Limits {
        Limits::default().with(|limits| {
            limits.claims = self.items;
            limits.links = self.items;
            limits.files = self.items;
            limits.journal_bytes = 64 << 20;
        })
    }
}

/// What went wrong in one check; the check's name comes first.
pub(crate) type Failures = Vec<String>;
