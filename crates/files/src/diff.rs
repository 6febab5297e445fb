//! What happened to which files.

use std::path::PathBuf;

use hexz_resolve::report::{DiffEnd, DiffVisitor, Report};
use hexz_resolve::{
    ByteRange, ChangeSet, ChangeSource as _, Diagnostics, Error, Loaded, Precision, RangeSet,
    ReadAt, Result, engine,
};
use hexz_source::{ChangesOptions, ExtentList, Given, TwoImages};

use crate::changes::{BLOCK, Inner};
use crate::settings::Watched;
use crate::{Changes, Image, Settings};

/// What happened to which files between two states of a disk: [`base`](Self::base) before it
/// changed, [`merged`](Self::merged) after; or an [`overlay`](Self::overlay), which is the disk
/// after over the disk before.
///
/// ```
/// use hexz_files::{Changes, Diff, Image};
///
/// let before = vec![0; 8192];
/// let mut after = before.clone();
/// after[5000] = 1;
/// let report = Diff::new()
///     .base(Image::reader(before))
///     .merged(Image::reader(after))
///     .changes(Changes::blocks([1], 4096))
///     .run()?;
/// // No filesystem is there, so nothing is known of the byte but where it is.
/// assert_eq!(report.summary.changed, 1);
/// assert_eq!(report.unresolved[0].start, 4096);
/// assert!(!report.summary.complete);
/// # Ok::<(), hexz_files::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Diff {
    base: Option<Image>,
    merged: Option<Image>,
    overlay: Option<PathBuf>,
    snapshot: Option<String>,
    bitmap: Option<String>,
    changes: Option<Changes>,
    settings: Settings,
}

impl Diff {
    /// A question without disks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk before.
    #[must_use]
    pub fn base(mut self, image: impl Into<Image>) -> Self {
        self.base = Some(image.into());
        self
    }

    /// The disk after.
    #[must_use]
    pub fn merged(mut self, image: impl Into<Image>) -> Self {
        self.merged = Some(image.into());
        self
    }

    /// What changed, and the disk after in one: an overlay of hexz with its index beside it (over
    /// [`base`](Self::base)), or an image over what it stands on.
    #[must_use]
    pub fn overlay(mut self, path: impl Into<PathBuf>) -> Self {
        self.overlay = Some(path.into());
        self
    }

    /// The disk before is this internal snapshot of the overlay, a qcow2 image.
    #[must_use]
    pub fn snapshot(mut self, name: impl Into<String>) -> Self {
        self.snapshot = Some(name.into());
        self
    }

    /// What changed is in this persistent bitmap of the overlay, a qcow2 image.
    #[must_use]
    pub fn bitmap(mut self, name: impl Into<String>) -> Self {
        self.bitmap = Some(name.into());
        self
    }

    /// Where the disk changed. By default both disks are compared wherever they may differ.
    #[must_use]
    pub fn changes(mut self, changes: impl Into<Changes>) -> Self {
        self.changes = Some(changes.into());
        self
    }

    /// How the question is answered.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Answers the question in one piece.
    ///
    /// # Errors
    /// When there is no answer at all: a disk is missing or can't be opened, no volume has the name
    /// that was asked for, or the run was cancelled. All else is in the report.
    pub fn run(&self) -> Result<Report> {
        engine::diff(&self.load()?, &self.settings.options())
    }

    /// Answers the question piece by piece: memory does not grow with the number of changes.
    ///
    /// # Errors
    /// As [`run`](Self::run), and when `out` wants no more.
    pub fn visit<V: DiffVisitor>(&self, out: &mut V) -> Result<DiffEnd> {
        engine::diff_to(&self.load()?, &self.settings.options(), out)
    }

    /// The blocks that changed, without looking at what is in them. Where that is not known, the
    /// disks are compared.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn changed(&self) -> Result<RangeSet> {
        Ok(engine::compare(&self.load()?, &self.settings.options())?.ranges)
    }

    /// Opens the disks.
    fn load(&self) -> Result<Loaded> {
        let (limits, gate) = (&self.settings.limits, &Watched(&self.settings));
        if let Some(overlay) = &self.overlay {
            if self.merged.is_some() || self.changes.is_some() {
                return Err(wrong(
                    "an overlay says what changed, and is the disk after: give neither beside it",
                ));
            }
            let options = ChangesOptions {
                base: self.base.as_ref().map(by_path).transpose()?,
                or_base: None,
                snapshot: self.snapshot.clone(),
                bitmap: self.bitmap.clone(),
            };
            return hexz_source::open_changes(overlay, options)?.load(limits, gate);
        }
        if self.snapshot.is_some() || self.bitmap.is_some() {
            return Err(wrong(
                "a snapshot or a bitmap is one of an overlay: give that",
            ));
        }
        let (Some(base), Some(merged)) = (&self.base, &self.merged) else {
            return Err(wrong("both the disk before and the disk after are needed"));
        };
        let anywhere = Changes::anywhere();
        let inner = &self.changes.as_ref().unwrap_or(&anywhere).0;
        if let (Inner::Anywhere, Some(a), Some(b)) = (inner, base.given(), merged.given()) {
            return TwoImages::new(a.clone(), b.clone()).load(limits, gate);
        }
        let findings = Diagnostics::new();
        let before = base.open(&self.settings, &findings)?;
        let after = merged.open(&self.settings, &findings)?;
        let disk = ByteRange::new(0, before.len().max(after.len()));
        let mut changes = match inner {
            Inner::Anywhere => {
                let ranges = may_differ(&*before).union(&may_differ(&*after));
                set(whole_blocks(&ranges, BLOCK, disk), BLOCK, true)
            }
            Inner::Ranges { ranges, block } => {
                set(whole_blocks(ranges, *block, disk), *block, false)
            }
            Inner::List { file, format, unit } => {
                let list = ExtentList {
                    file: file.clone(),
                    format: *format,
                    unit: *unit,
                    base: None,
                    merged: None,
                };
                list.changes(Some(disk.len()), gate, &findings)?
            }
        };
        changes.diagnostics.splice(0..0, findings.take());
        Ok(Loaded {
            changes,
            base: Some(before),
            merged: Some(after),
            overlay_name: merged.name(),
            base_name: base.name(),
        })
    }
}

/// Where a disk may hold other bytes than zero: elsewhere two disks are equal.
fn may_differ(disk: &dyn ReadAt) -> RangeSet {
    disk.data_in(ByteRange::new(0, disk.len()))
}

/// The blocks of `size` that `ranges` lie in; the last block of the disk may be a shorter one.
fn whole_blocks(ranges: &RangeSet, size: u32, disk: ByteRange) -> RangeSet {
    let blocks = ranges.aligned_out(u64::from(size)).clipped(disk);
    // What was asked for beyond the disk stays, so that it is told.
    blocks.union(&ranges.difference(&disk.into()))
}

fn set(ranges: RangeSet, block_size: u32, candidates: bool) -> ChangeSet {
    ChangeSet {
        ranges,
        block_size,
        candidates,
        precision: Precision::Exact,
        diagnostics: Vec::new(),
    }
}

fn by_path(image: &Image) -> Result<Given> {
    let given = image.given().cloned();
    given.ok_or_else(|| wrong("the base of an overlay is given by its path"))
}

fn wrong(text: &str) -> Error {
    Error::unsupported("question", text)
}
