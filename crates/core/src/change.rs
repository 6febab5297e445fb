//! Changed blocks and where they come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Diagnostic, Limits, RangeSet, ReadAt, Result};

/// How far the list of changed ranges can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// Exactly what changed.
    Exact,
    /// Everything that changed, and perhaps more.
    Over,
    /// The list was damaged: something that changed may be missing.
    MayMiss,
}

impl Precision {
    /// The word the report uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Over => "over",
            Self::MayMiss => "may-miss",
        }
    }
}

/// The changed ranges of a disk.
#[derive(Clone, Debug)]
pub struct ChangeSet {
    /// Changed bytes of the disk, in multiples of `block_size` but for the end of the disk.
    pub ranges: RangeSet,
    /// The unit in which changes were recorded, in bytes.
    pub block_size: u32,
    /// Whether `ranges` are only where the disks may differ, as for two images that were not
    /// compared yet: of them, the blocks that do differ are the changed ones.
    pub candidates: bool,
    /// How far the list can be trusted.
    pub precision: Precision,
    /// What was odd about it.
    pub diagnostics: Vec<Diagnostic>,
}

impl ChangeSet {
    /// Number of changed blocks; a piece of one counts as one.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        let unit = u64::from(self.block_size.max(1));
        self.ranges.aligned_out(unit).len() / unit
    }
}

/// A change set with the disks it is about.
#[derive(Clone)]
pub struct Loaded {
    /// What changed.
    pub changes: ChangeSet,
    /// The disk before, where it is known.
    pub base: Option<Arc<dyn ReadAt>>,
    /// The disk after, where it is known.
    pub merged: Option<Arc<dyn ReadAt>>,
    /// What the user called the change set: a path, as it was given.
    pub overlay_name: Option<String>,
    /// What the user called the base.
    pub base_name: Option<String>,
}

/// Decides whether a file that an *image* names (a parent, a backing file) may be opened. What
/// the user named on the command line needs no leave.
pub trait OpenGate: Send + Sync {
    /// The path to open for `named`, which stands in the image at `by`.
    ///
    /// # Errors
    /// With the reason, when it may not be opened.
    fn allow(&self, named: &Path, by: &Path) -> Result<PathBuf>;

    /// Whether to go on, which is asked now and then where a list of changes is long.
    ///
    /// # Errors
    /// [`Cancelled`](crate::ErrorKind::Cancelled), when not.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Where changed blocks come from: an overlay, an image with a backing file, a list of extents.
pub trait ChangeSource: Send + Sync {
    /// Reads the change set and opens the disks.
    ///
    /// # Errors
    /// With the path of the file that can't be used.
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded>;
}
