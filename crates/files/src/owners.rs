//! Whose the bytes of a disk are, and what is on it.

use std::sync::Arc;

use hexz_resolve::report::{
    FileNames, Header, LayoutReport, OwnerEnd, OwnerRecord, OwnerReport, OwnerVisitor, VolumeRecord,
};
use hexz_resolve::{
    ByteRange, Diagnostic, Diagnostics, RangeSet, ReadAt, Result, Severity, engine,
};

use crate::{Image, Settings};

/// Bytes of a sector, as disks and the kernel's log count them.
const SECTOR: u64 = 512;

/// Whose the bytes in given places of a disk are.
///
/// ```no_run
/// let report = hexz_files::Owners::of("disk.img").sectors([1_953_514]).run()?;
/// for piece in &report.owners {
///     println!("{} {} owners", piece.class.as_str(), piece.owners.len());
/// }
/// # Ok::<(), hexz_files::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Owners {
    image: Image,
    wanted: Vec<ByteRange>,
    settings: Settings,
}

impl Owners {
    /// Of `image`, of which no place was asked about yet.
    #[must_use]
    pub fn of(image: impl Into<Image>) -> Self {
        Self {
            image: image.into(),
            wanted: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// Asks about these bytes too. What lies past the end of the disk is a finding.
    #[must_use]
    pub fn ranges(mut self, ranges: impl IntoIterator<Item = ByteRange>) -> Self {
        self.wanted.extend(ranges);
        self
    }

    /// Asks about these sectors of 512 bytes too. A sector beyond 64 bits is left out.
    #[must_use]
    pub fn sectors(self, numbers: impl IntoIterator<Item = u64>) -> Self {
        let range = |n: u64| ByteRange::at(n.checked_mul(SECTOR)?, SECTOR);
        self.ranges(numbers.into_iter().filter_map(range))
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
    /// When there is no answer at all: the disk can't be opened, no volume has the name that was
    /// asked for, or the run was cancelled. All else is in the report.
    pub fn run(&self) -> Result<OwnerReport> {
        collect(&self.image, &self.settings, |_| {
            self.wanted.iter().copied().collect()
        })
    }

    /// Answers the question piece by piece, in bounded memory.
    ///
    /// # Errors
    /// As [`run`](Self::run), and when `out` wants no more.
    pub fn visit<V: OwnerVisitor>(&self, out: &mut V) -> Result<OwnerEnd> {
        visit(&self.image, &self.settings, out, |_| {
            self.wanted.iter().copied().collect()
        })
    }
}

/// Whose all bytes of a disk are.
#[derive(Clone, Debug)]
pub struct Map {
    image: Image,
    settings: Settings,
}

impl Map {
    /// Of `image`.
    #[must_use]
    pub fn of(image: impl Into<Image>) -> Self {
        Self {
            image: image.into(),
            settings: Settings::default(),
        }
    }

    /// How the question is answered.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Answers the question piece by piece, in bounded memory: by start, without a gap.
    ///
    /// # Errors
    /// As [`Owners::visit`].
    pub fn visit<V: OwnerVisitor>(&self, out: &mut V) -> Result<OwnerEnd> {
        visit(&self.image, &self.settings, out, everything)
    }

    /// Answers the question in one piece, which takes memory for every piece of the disk.
    ///
    /// # Errors
    /// As [`Owners::run`].
    pub fn run(&self) -> Result<OwnerReport> {
        collect(&self.image, &self.settings, everything)
    }
}

/// Which partitions and filesystems a disk has.
#[derive(Clone, Debug)]
pub struct Layout {
    image: Image,
    settings: Settings,
}

impl Layout {
    /// Of `image`.
    #[must_use]
    pub fn of(image: impl Into<Image>) -> Self {
        Self {
            image: image.into(),
            settings: Settings::default(),
        }
    }

    /// How the question is answered.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Answers the question.
    ///
    /// # Errors
    /// As [`Owners::run`].
    pub fn run(&self) -> Result<LayoutReport> {
        let (disk, findings) = open(&self.image, &self.settings)?;
        let mut report = engine::layout(&disk, &self.settings.options())?;
        report.header.base = self.image.name();
        tell(&mut report.diagnostics, findings);
        Ok(report)
    }
}

fn open(image: &Image, settings: &Settings) -> Result<(Arc<dyn ReadAt>, Vec<Diagnostic>)> {
    let findings = Diagnostics::new();
    let disk = image.open(settings, &findings)?;
    Ok((disk, findings.take()))
}

/// Puts what was found while opening before the others. Gives whether the answer may be whole.
fn tell(all: &mut Vec<Diagnostic>, before: Vec<Diagnostic>) -> bool {
    let whole = before.iter().all(|d| d.severity != Severity::Error);
    all.splice(0..0, before);
    whole
}

fn everything(disk: &dyn ReadAt) -> RangeSet {
    ByteRange::new(0, disk.len()).into()
}

fn collect(
    image: &Image,
    settings: &Settings,
    wanted: impl FnOnce(&dyn ReadAt) -> RangeSet,
) -> Result<OwnerReport> {
    let (disk, findings) = open(image, settings)?;
    let mut report = engine::owners(&disk, &wanted(&*disk), &settings.options())?;
    report.header.base = image.name();
    report.summary.complete &= tell(&mut report.diagnostics, findings);
    Ok(report)
}

fn visit<V: OwnerVisitor>(
    image: &Image,
    settings: &Settings,
    out: &mut V,
    wanted: impl FnOnce(&dyn ReadAt) -> RangeSet,
) -> Result<OwnerEnd> {
    let (disk, findings) = open(image, settings)?;
    let mut named = Named { image, out };
    let wanted = wanted(&*disk);
    let mut end = engine::visit_owners(&disk, &wanted, &settings.options(), &mut named)?;
    end.summary.complete &= tell(&mut end.diagnostics, findings);
    Ok(end)
}

/// Puts the name of the image into the header.
struct Named<'a, V> {
    image: &'a Image,
    out: &'a mut V,
}

impl<V: OwnerVisitor> OwnerVisitor for Named<'_, V> {
    type Made = V::Made;

    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> Result<()> {
        let mut header = header.clone();
        header.base = self.image.name();
        self.out.begin(&header, volumes)
    }

    fn names(&self, names: &FileNames) -> Result<()> {
        self.out.names(names)
    }

    fn make(&self, records: &[OwnerRecord]) -> Self::Made {
        self.out.make(records)
    }

    fn take(&self, made: Self::Made) -> Result<()> {
        self.out.take(made)
    }
}
