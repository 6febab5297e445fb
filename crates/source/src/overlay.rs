//! The change source of an image that stands on another one: what lies above the disk before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{
    ByteRange, ChangeSet, ChangeSource, Diagnostic, Diagnostics, Error, Limits, Loaded, OpenGate,
    Precision, RangeSet, ReadAt, Result,
};

use crate::chain::Chain;
use crate::copies;
use crate::file::RawFile;
use crate::format::Format;
use crate::identity::Identity;
use crate::image::Image;
use crate::num::usize_of;
use crate::open::{Given, Top, from_file, open};
use crate::qcow2;
use crate::two_images::TwoImages;

/// An image over what it stands on, or its active state over an internal snapshot.
#[derive(Clone, Debug)]
pub struct ImageOverlay {
    /// The top image.
    pub path: PathBuf,
    /// The disk before. One that is in the image's chain is taken as that layer of it: all that
    /// lies above it is change. Where the image's own parent can't be opened, this takes its
    /// place; an image that names none holds all of its disk, and is compared with this one.
    pub base: Option<Given>,
    /// What an image is compared with that names no parent, where no base is given.
    pub or_base: Option<Given>,
    /// The internal snapshot, by id or name, that is the disk before; the chain is then part of
    /// both.
    pub snapshot: Option<String>,
    /// The persistent bitmap of a qcow2 image that says what changed. The disk before is then
    /// `base`, and not known where none is given.
    pub bitmap: Option<String>,
}

impl ImageOverlay {
    /// The image at `path` over what it names itself.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            base: None,
            or_base: None,
            snapshot: None,
            bitmap: None,
        }
    }

    fn open(&self, top: Top<'_>, chain: &mut Chain<'_>) -> Result<Arc<Image>> {
        let file = RawFile::open(&self.path)?;
        let format = Format::of(&file);
        from_file(file, &self.path, format, chain, top)
    }
}

/// The disk before, and what of the disk after is not in it.
struct Before {
    disk: Option<Arc<dyn ReadAt>>,
    ranges: RangeSet,
    name: Option<String>,
}

impl ChangeSource for ImageOverlay {
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        let found = Diagnostics::new();
        if let Some(name) = &self.bitmap {
            return self.by_bitmap(name, limits, gate, &found);
        }
        let own = self.open(Top::default(), &mut Chain::new(limits, gate, &found));
        let (top, before) = match (own, &self.base) {
            (Ok(top), None) => {
                if let (None, None, Some(base)) = (&top.below, &self.snapshot, &self.or_base) {
                    return self.compared(base, limits, gate);
                }
                let layer = top.below.clone();
                let before = self.above(&top, layer, None, &found);
                (top, before)
            }
            (Ok(top), Some(base)) => {
                if top.below.is_none() {
                    if self.snapshot.is_some() {
                        let name = self.path.display();
                        let text =
                            format!("{name} stands on no other image that a base could replace");
                        return Err(Error::unsupported(top.format.structure(), text));
                    }
                    return self.compared(base, limits, gate);
                }
                let layer = self.layer_of(&top, base, limits, gate, &found)?;
                let name = Some(base.path.as_path());
                let before = self.above(&top, Some(layer), name, &found);
                (top, before)
            }
            // What it names itself can't be had, or is not what it was made for.
            (Err(error), base) => {
                let Some(base) = base.as_ref() else {
                    return Err(error);
                };
                let _ = found.take();
                let options = Top {
                    base: Some(base),
                    snapshot: None,
                };
                let top = self.open(options, &mut Chain::new(limits, gate, &found))?;
                let layer = top.below.clone();
                let before = self.above(&top, layer, Some(&base.path), &found);
                (top, before)
            }
        };
        let before = match &self.snapshot {
            Some(name) => self.snapshot(&top, name, limits, gate, &found)?,
            None => before,
        };
        let ranges = match &before.disk {
            Some(disk) => with_ends(before.ranges, &top, &**disk),
            None => before.ranges,
        };
        if !top.layer.is_unmoved() {
            let text = format!(
                "{} changed while it was read (its tables lie elsewhere now): what is said of it \
                 may be wrong; run it again",
                self.path.display()
            );
            found.push(Diagnostic::warning("image-moved", text).losing());
        }
        Ok(Loaded {
            changes: ChangeSet {
                ranges,
                block_size: u32::try_from(top.layer.unit())
                    .map_err(|_| Error::corrupt("image").message("blocks of 4 GiB and more"))?,
                candidates: false,
                // A block may have been written with what it held before.
                precision: Precision::Over,
                diagnostics: found.take(),
            },
            base: before.disk,
            merged: Some(top),
            overlay_name: Some(self.path.display().to_string()),
            base_name: before.name,
        })
    }
}

impl ImageOverlay {
    /// What the bitmap `name` says that changed.
    fn by_bitmap(
        &self,
        name: &str,
        limits: &Limits,
        gate: &dyn OpenGate,
        found: &Diagnostics,
    ) -> Result<Loaded> {
        let file = RawFile::open(&self.path)?;
        let path = self.path.display();
        if Format::of(&file) != Format::Qcow2 {
            let text = format!("{path}: only qcow2 images have bitmaps");
            return Err(Error::unsupported("image", text));
        }
        let top = self.open(Top::default(), &mut Chain::new(limits, gate, found))?;
        let in_file = |e: Error| {
            let name = path.to_string();
            Error::new(e.kind(), "qcow2 image").message(name).source(e)
        };
        let dirty = qcow2::bitmap(&file, name, top.len(), limits.ranges).map_err(in_file)?;
        if dirty.in_use {
            let text = format!(
                "the bitmap {name} of {path} was not closed (a crash, or a program that is using it): \
                 changed blocks may be missing from it"
            );
            found.push(Diagnostic::warning("bitmap-in-use", text));
        }
        let base = match &self.base {
            Some(base) => Some(open(base, &mut Chain::new(limits, gate, found))?),
            None => None,
        };
        let base_name = self
            .base
            .as_ref()
            .map(|base| base.path.display().to_string());
        Ok(Loaded {
            changes: ChangeSet {
                ranges: dirty.ranges,
                block_size: u32::try_from(dirty.granularity).unwrap_or(1 << 31),
                candidates: false,
                precision: match dirty.in_use {
                    true => Precision::MayMiss,
                    false => Precision::Over,
                },
                diagnostics: found.take(),
            },
            base: base.map(|base| {
                let disk: Arc<dyn ReadAt> = base;
                disk
            }),
            merged: Some(top),
            overlay_name: Some(format!("{path} bitmap {name}")),
            base_name,
        })
    }

    /// An image that stands on nothing reads as zeros where it holds nothing, and not as the base:
    /// it is compared with it.
    fn compared(&self, base: &Given, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        TwoImages::new(base.clone(), &self.path).load(limits, gate)
    }

    /// What the layers of `top` above `layer` hold.
    fn above(
        &self,
        top: &Arc<Image>,
        layer: Option<Arc<Image>>,
        name: Option<&Path>,
        found: &Diagnostics,
    ) -> Before {
        let mut ranges = RangeSet::new();
        let mut shortest = u64::MAX;
        for image in top.chain() {
            if layer
                .as_ref()
                .is_some_and(|layer| std::ptr::eq(&**layer, image))
            {
                break;
            }
            shortest = shortest.min(image.len());
            ranges = ranges.union(&image.held(ByteRange::new(0, image.len()), found));
        }
        // A layer between that is shorter than the disk hides what is behind its end.
        let hidden = ByteRange::new(shortest, top.len());
        if let Some(layer) = &layer {
            ranges = ranges.union(&layer.data_in(hidden));
        }
        let name = name.or(layer.as_ref().map(|layer| layer.real.as_path()));
        Before {
            name: name.map(|path| path.display().to_string()),
            disk: layer.map(|layer| {
                let disk: Arc<dyn ReadAt> = layer;
                disk
            }),
            ranges,
        }
    }

    /// The layer of the chain below `top` that `base` is, or is a copy of.
    fn layer_of(
        &self,
        top: &Arc<Image>,
        base: &Given,
        limits: &Limits,
        gate: &dyn OpenGate,
        found: &Diagnostics,
    ) -> Result<Arc<Image>> {
        let below = || std::iter::successors(top.below.clone(), |image| image.below.clone());
        let wanted = Identity::of(&base.path);
        let named = below().find(|image| {
            let read_alike = !base.raw || image.format == Format::Raw;
            read_alike && Identity::of(&image.real) == wanted
        });
        if let Some(layer) = named {
            return Ok(layer);
        }
        let given = open(base, &mut Chain::new(limits, gate, found))?;
        for layer in below() {
            if copies::agree(&layer, &given, top)? {
                found.push(Diagnostic::info(
                    "base-is-copy",
                    format!(
                        "{} is taken for a copy of {}, which {} stands on",
                        base.path.display(),
                        layer.real.display(),
                        self.path.display()
                    ),
                ));
                return Ok(layer);
            }
        }
        let chain: Vec<String> = top
            .chain()
            .map(|image| image.real.display().to_string())
            .collect();
        Err(Error::unsupported(
            "chain of images",
            format!(
                "{} is none of the images that {} stands on, and holds another disk than they; \
                 the chain is {}: give one of these as --base, or leave --base out",
                base.path.display(),
                self.path.display(),
                chain.join(" over ")
            ),
        ))
    }

    /// The state that `name` kept, and where the active one has its bytes elsewhere.
    fn snapshot(
        &self,
        top: &Image,
        name: &str,
        limits: &Limits,
        gate: &dyn OpenGate,
        found: &Diagnostics,
    ) -> Result<Before> {
        let options = Top {
            base: None,
            snapshot: Some(name),
        };
        // What is odd about the file was said when it was opened first.
        let silent = Diagnostics::new();
        let before = self.open(options, &mut Chain::new(limits, gate, &silent))?;
        Ok(Before {
            ranges: top.places_apart(&before, found),
            name: Some(format!("{} snapshot {name}", self.path.display())),
            disk: Some(before),
        })
    }
}

/// `changed`, and what only the longer disk has, in whole units. The shorter one reads as zeros
/// there, so that zeros of the longer one are no change, however they are stored.
fn with_ends(changed: RangeSet, top: &Image, base: &dyn ReadAt) -> RangeSet {
    let (start, longer): (u64, &dyn ReadAt) = if top.len() < base.len() {
        (top.len(), base)
    } else {
        (base.len(), top)
    };
    let whole = ByteRange::new(0, longer.len());
    let unit = top.layer.unit();
    let data = longer.data_in(ByteRange::new(start, longer.len()));
    let mut tail = Vec::new();
    let mut bytes = Vec::new();
    for block in data.iter().flat_map(|data| blocks(data, unit)) {
        bytes.resize(usize_of(block.len()), 0);
        // What can't be read is changed, for all that is known.
        let read = longer.read_exact_at(block.start(), &mut bytes);
        if read.is_err() || bytes.iter().any(|byte| *byte != 0) {
            tail.push(block);
        }
    }
    let tail: RangeSet = tail.into_iter().collect();
    changed.union(&tail).aligned_out(unit).clipped(whole)
}

/// `range` in pieces that end at multiples of `size`.
fn blocks(range: ByteRange, size: u64) -> impl Iterator<Item = ByteRange> {
    let mut at = range.start();
    std::iter::from_fn(move || {
        let end = at.saturating_add(1).checked_next_multiple_of(size);
        let piece = ByteRange::new(at, end.unwrap_or(u64::MAX).min(range.end()));
        at = piece.end();
        (!piece.is_empty()).then_some(piece)
    })
}
