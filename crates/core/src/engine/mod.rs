//! The engine: detection, refinement, the two passes, paths, the two-view join and the accounting.
//!
//! Accounting starts with every changed byte unresolved; claims subtract from it. A missing,
//! failing or panicking plugin leaves bytes unresolved, with a reason, and the rest stands.

mod account;
mod briefs;
mod content;
mod copies;
mod detect;
mod detector;
mod diff;
mod disk;
mod evidence;
mod fields;
mod free;
mod gather;
mod gone;
mod groups;
mod labels;
mod layout;
mod links;
mod matching;
mod measure;
mod memory;
mod named;
mod names;
mod open;
mod options;
mod owners;
mod packed;
mod pair;
mod pairing;
mod pieces;
mod plan;
mod ranges;
mod records;
mod refine;
mod run;
mod side;
mod spill;
mod teller;
mod touched;
mod volume;
mod waiting;
mod words;
mod writer;

use std::sync::Arc;

pub use self::open::{Answered, OpenDisk, OpenedVolume};
pub use self::options::{Detection, Forced, Options};
pub use crate::memo::Memo;
use crate::report::{
    DiffEnd, DiffVisitor, LayoutReport, OwnerEnd, OwnerReport, OwnerVisitor, Report,
};
use crate::{ChangeSet, Loaded, RangeSet, ReadAt, Result, View};

/// Names the files that changed. Needs both views of `loaded`.
///
/// # Errors
/// When nothing can be reported at all: a view is missing, no volume has the name asked for, or
/// the run was cancelled. All else is in the report.
pub fn diff(loaded: &Loaded, options: &Options<'_>) -> Result<Report> {
    diff::diff(loaded, options)
}

/// [`diff()`], told to `out` as it is found: memory does not grow with the size of the report.
///
/// # Errors
/// As [`diff()`], and when `out` wants no more.
pub fn diff_to<V: DiffVisitor>(
    loaded: &Loaded,
    options: &Options<'_>,
    out: &mut V,
) -> Result<DiffEnd> {
    diff::diff_to(loaded, options, out)
}

/// The changed blocks of `loaded`. Where these are not known yet, but only where the disks may
/// differ ([`ChangeSet::candidates`]), the disks are compared there; else they are given as they
/// are.
///
/// # Errors
/// When the run was cancelled.
pub fn compare(loaded: &Loaded, options: &Options<'_>) -> Result<ChangeSet> {
    diff::compare(loaded, options)
}

/// Names the owners of `wanted`, in bytes of `disk`. What of it lies past the end of the disk is
/// a diagnostic. Memory is bounded whatever the size of `wanted`: the answer is told to `out` as
/// it is found.
///
/// # Errors
/// When no volume has the name asked for, when the run was cancelled, or when `out` wants no more.
pub fn visit_owners(
    disk: &Arc<dyn ReadAt>,
    wanted: &RangeSet,
    options: &Options<'_>,
    out: &mut impl OwnerVisitor,
) -> Result<OwnerEnd> {
    owners::owners(disk, wanted, options, out)
}

/// [`visit_owners`] into one report, for small questions.
///
/// # Errors
/// As [`visit_owners`].
pub fn owners(
    disk: &Arc<dyn ReadAt>,
    wanted: &RangeSet,
    options: &Options<'_>,
) -> Result<OwnerReport> {
    owners::collect(disk, wanted, options)
}

/// Lists partitions and filesystems of `disk`.
///
/// # Errors
/// When no volume has the name asked for, or the run was cancelled.
pub fn layout(disk: &Arc<dyn ReadAt>, options: &Options<'_>) -> Result<LayoutReport> {
    owners::layout(disk, options)
}

/// Opens `disk` as `view` for whoever wants its files.
///
/// # Errors
/// When no volume has the name asked for, or the run was cancelled.
pub fn open<'a>(
    disk: &Arc<dyn ReadAt>,
    view: View,
    options: &'a Options<'a>,
) -> Result<OpenDisk<'a>> {
    open::open(disk, view, options)
}
