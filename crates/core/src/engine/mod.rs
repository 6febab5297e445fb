//! The engine: detection, refinement, the two passes, paths, the two-view join and the accounting.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::report::{LayoutReport, OwnerReport, Report};
use crate::{JournalMode, Limits, Loaded, Progress, RangeSet, ReadAt, Registry, Result};

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
    /// Told how far the run is.
    pub progress: &'a dyn Progress,
    /// Ends the run when set.
    pub cancel: Option<&'a AtomicBool>,
}

/// Names the files that changed.
///
/// # Errors
/// When nothing can be reported at all: no view could be read, or the run was cancelled. All else
/// is in the report.
pub fn diff(loaded: &Loaded, options: &Options<'_>) -> Result<Report> {
    let _ = (loaded, options);
    Err(crate::Error::unsupported("engine", "not written yet"))
}

/// Names the owners of `wanted`, in bytes of `disk`.
///
/// # Errors
/// As [`diff`].
pub fn owners(
    disk: &Arc<dyn ReadAt>,
    wanted: &RangeSet,
    options: &Options<'_>,
) -> Result<OwnerReport> {
    let _ = (disk, wanted, options);
    Err(crate::Error::unsupported("engine", "not written yet"))
}

/// Lists partitions and filesystems of `disk`.
///
/// # Errors
/// As [`diff`].
pub fn layout(disk: &Arc<dyn ReadAt>, options: &Options<'_>) -> Result<LayoutReport> {
    let _ = (disk, options);
    Err(crate::Error::unsupported("engine", "not written yet"))
}
