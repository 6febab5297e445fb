//! The change source of a qcow2 overlay: what its top image holds itself.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use hexz_resolve::{
    ByteRange, ChangeSet, ChangeSource, Diagnostics, Error, Limits, Loaded, OpenGate, Precision,
    Progress, RangeSet, ReadAt, Result, Silent,
};

use super::header::Header;
use super::tables::Place;
use super::{Options, Qcow2};
use crate::chain::Chain;
use crate::file::RawFile;
use crate::image::{Given, Opened};
use crate::ranges::Ranges;
use crate::tail::past_end;
use crate::two_images::TwoImages;

/// A qcow2 image over its backing chain, or its active state over an internal snapshot.
#[derive(Clone)]
pub struct Qcow2Overlay {
    /// The top image.
    pub path: PathBuf,
    /// Takes the place of the backing file that the image names. An image that names none holds
    /// all of its disk, and is compared with this one.
    pub base: Option<Given>,
    /// What an image is compared with that names no backing file, where no base is given.
    pub or_base: Option<Given>,
    /// The internal snapshot, by id or name, that is the disk before; the backing chain is then
    /// part of both.
    pub snapshot: Option<String>,
    /// Told of what is compared.
    pub progress: Arc<dyn Progress>,
}

impl fmt::Debug for Qcow2Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qcow2Overlay")
            .field("path", &self.path)
            .field("base", &self.base)
            .field("or_base", &self.or_base)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}

impl Qcow2Overlay {
    /// The image at `path` over what it names itself.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            base: None,
            or_base: None,
            snapshot: None,
            progress: Arc::new(Silent),
        }
    }
}

impl ChangeSource for Qcow2Overlay {
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        if let Some(two) = self.whole()? {
            return two.load(limits, gate);
        }
        let found = Diagnostics::new();
        let top = self.open(None, limits, gate, &found)?;
        let (ranges, base, base_name) = match &self.snapshot {
            Some(name) => {
                // What is odd about the file was said when it was opened first.
                let before = self.open(Some(name), limits, gate, &Diagnostics::new())?;
                let ranges = differing(&top, &before, &found);
                let base: Arc<dyn ReadAt> = Arc::new(before);
                let title = format!("{} snapshot {name}", self.path.display());
                (ranges, Some(base), Some(title))
            }
            None => {
                let base = top.backing();
                let title = self.base.as_ref().map(|given| given.path.clone());
                let title = title.or_else(|| base.map(|base| base.real.clone()));
                let title = title.map(|path| path.display().to_string());
                let ranges = top.allocated(ByteRange::new(0, top.len()), &found);
                (ranges, base.map(Opened::reader), title)
            }
        };
        let ranges = match &base {
            Some(base) => with_ends(ranges, &top, &**base, limits.ranges, &found),
            None => ranges,
        };
        let block_size = u32::try_from(top.unit())
            .map_err(|_| Error::corrupt("qcow2 header").message("cluster size"))?;
        Ok(Loaded {
            changes: ChangeSet {
                ranges,
                block_size,
                // A cluster may have been written with what it held before.
                precision: Precision::Over,
                diagnostics: found.take(),
            },
            base,
            merged: Some(Arc::new(top)),
            overlay_name: Some(self.path.display().to_string()),
            base_name,
        })
    }
}

impl Qcow2Overlay {
    /// What to compare, where the image stands on nothing and a base is given: such an image reads
    /// as zeros where it holds nothing, and not as the base.
    fn whole(&self) -> Result<Option<TwoImages>> {
        let header = Header::read(&RawFile::open(&self.path)?, &self.path)?;
        if header.backing_file.is_some() {
            return Ok(None);
        }
        if self.snapshot.is_some() {
            let name = self.path.display();
            let message = format!("{name} stands on no other image that a base could replace");
            let given = self.base.as_ref();
            return given.map_or(Ok(None), |_| {
                Err(Error::unsupported("qcow2 image", message))
            });
        }
        let base = self.base.as_ref().or(self.or_base.as_ref());
        Ok(base.map(|base| TwoImages {
            progress: Arc::clone(&self.progress),
            ..TwoImages::new(base.clone(), &self.path)
        }))
    }

    fn open(
        &self,
        snapshot: Option<&str>,
        limits: &Limits,
        gate: &dyn OpenGate,
        found: &Diagnostics,
    ) -> Result<Qcow2> {
        let mut chain = Chain::new(limits, gate, found);
        let options = Options {
            base: self.base.as_ref(),
            snapshot,
        };
        let file = RawFile::open(&self.path)?;
        Qcow2::open(file, &self.path, &mut chain, options)
    }
}

/// `changed`, and what only the longer disk has, in whole units.
fn with_ends(
    changed: RangeSet,
    top: &Qcow2,
    base: &dyn ReadAt,
    most: usize,
    found: &Diagnostics,
) -> RangeSet {
    let (start, longer): (u64, &dyn ReadAt) = if top.len() < base.len() {
        (top.len(), base)
    } else {
        (base.len(), top)
    };
    let tail = past_end(longer, start, top.unit(), most, found).changed;
    let whole = ByteRange::new(0, longer.len());
    changed.union(&tail).aligned_out(top.unit()).clipped(whole)
}

/// Where the active state and a snapshot of one file have their bytes in different places, up to
/// the end of the shorter. What both have in one place is shared, and equal.
fn differing(active: &Qcow2, before: &Qcow2, found: &Diagnostics) -> RangeSet {
    let mut all = Ranges::new(active.most_ranges);
    let end = active.len().min(before.len());
    let mut at = 0;
    while at < end {
        let window = active.tables.window(at);
        let window = ByteRange::new(at, window.end().min(end));
        let table = active.tables.l2_offset(at);
        // One table for both: nothing in it differs.
        if table != before.tables.l2_offset(at) {
            let places = |image| places(image, window, found);
            let (old, new) = (places(before), places(active));
            unequal(&new, &old)
                .into_iter()
                .for_each(|range| all.add(range));
        }
        at = window.end();
    }
    all.within(ByteRange::new(0, end))
}

/// The pieces of one window; what is left to the backing file is left out, where there is none
/// it is zeros as everywhere.
fn places(image: &Qcow2, range: ByteRange, found: &Diagnostics) -> Vec<(ByteRange, Place)> {
    let mut all = Vec::new();
    let zeros = image.backing.is_none();
    let Ok(()) = image.walk(range, |piece, place| {
        image.tell_damage(piece, place, found);
        match place {
            Place::Backing if zeros => all.push((piece, Place::Zero)),
            place => all.push((piece, place)),
        }
        Ok::<_, Infallible>(())
    });
    all
}

/// What of `new` is not in the same place in `old`. Both are rising, and without gaps, from one
/// place to another.
fn unequal(new: &[(ByteRange, Place)], old: &[(ByteRange, Place)]) -> Vec<ByteRange> {
    let mut out = Vec::new();
    let mut old = old.iter().peekable();
    for (range, place) in new {
        let mut at = range.start();
        while at < range.end() {
            while old.next_if(|(before, _)| before.end() <= at).is_some() {}
            let Some((before, was)) = old.peek() else {
                out.push(ByteRange::new(at, range.end()));
                break;
            };
            let end = before.end().min(range.end());
            let here = place.after(at.saturating_sub(range.start()));
            let known = !matches!(here, Place::Damaged(_));
            if !known || here != was.after(at.saturating_sub(before.start())) {
                out.push(ByteRange::new(at, end));
            }
            at = end;
        }
    }
    out
}
