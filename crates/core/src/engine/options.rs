//! How a run is made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::memo::Memo;
use crate::{Disks, JournalMode, Limits, Progress, Registry, Scratch};

/// What the user says of the formats on a disk.
#[derive(Clone, Debug, Default)]
pub struct Detection {
    /// By the name of a volume, what it is.
    pub formats: BTreeMap<String, Forced>,
    /// Bytes of a sector in which partition tables count, where that is not to be found out.
    pub sector_size: Option<u64>,
    /// Whether to note what was thought of at each place, and why one format won.
    pub explain: bool,
}

/// What a volume is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forced {
    /// Of the format with this id, or this name.
    Format(String),
    /// Nothing: what was there before is gone.
    Nothing,
    /// Unknown: its bytes come out raw.
    Raw,
}

/// How to run.
#[derive(Clone)]
pub struct Options<'a> {
    /// The plugins.
    pub registry: &'a Registry,
    /// Bounds to keep.
    pub limits: Limits,
    /// Whether journals are replayed.
    pub journal: JournalMode,
    /// Number of threads; 0 for one a core.
    pub threads: usize,
    /// Look only at the volume with this name.
    pub volume: Option<String>,
    /// What the user says of the formats on the disk.
    pub detection: Detection,
    /// Which disks there are in the space of offsets, where there are several.
    pub disks: Disks,
    /// What other runs found out about the base, where there are more of them.
    pub memo: Option<&'a Memo>,
    /// Told how far the run is.
    pub progress: &'a dyn Progress,
    /// Where lists go that outgrow [`Limits::memory`]; without it they stay in memory.
    pub scratch: Option<Arc<dyn Scratch>>,
    /// Ends the run when set.
    pub cancel: Option<&'a AtomicBool>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("registry", &self.registry)
            .field("journal", &self.journal)
            .field("threads", &self.threads)
            .field("volume", &self.volume)
            .finish_non_exhaustive()
    }
}
