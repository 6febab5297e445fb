//! An open image: a layer of some format, over what it stands on.

use std::fmt;
use std::ops::{ControlFlow, Deref};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{
    ByteRange, Diagnostic, Diagnostics, Error, RangeSet, ReadAt, ReadError, check_bounds,
};

use crate::chain::canonical;
use crate::directory::Disk;
use crate::format::Format;
use crate::hxz::Archive;
use crate::identity::Identity;
use crate::layer::{Joined, Layer, Packed, Place, Visit};
use crate::num::{take_front, u64_of};
use crate::ranges::Ranges;

/// Pieces from this length on are looked at for holes of the file that they lie in.
const WORTH_LOOKING: u64 = 1 << 20;

/// What an image has of its own, without what it stands on.
pub(crate) enum Own {
    Disk(Box<dyn Layer>),
    /// Two of them are compared by the hashes of their blocks.
    Archive(Box<Archive>),
    /// A set of files, and no disk.
    Files(Box<Disk>),
}

impl Own {
    /// The archive, where it is one.
    pub(crate) fn archive(&self) -> Option<&Archive> {
        match self {
            Self::Archive(archive) => Some(archive),
            _ => None,
        }
    }

    /// The set of files, where it is one.
    pub(crate) fn directory(&self) -> Option<&Disk> {
        match self {
            Self::Files(files) => Some(files),
            _ => None,
        }
    }
}

impl Deref for Own {
    type Target = dyn Layer;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Disk(layer) => &**layer,
            Self::Archive(archive) => &**archive,
            Self::Files(files) => &**files,
        }
    }
}

/// Reads as the disk it holds.
pub(crate) struct Image {
    pub(crate) layer: Own,
    /// What it stands on.
    pub(crate) below: Option<Arc<Image>>,
    pub(crate) format: Format,
    /// Links followed.
    pub(crate) real: PathBuf,
    /// Where it was opened: what it names is looked for from there.
    path: PathBuf,
    identity: Identity,
    /// How many ranges are collected.
    most_ranges: usize,
}

impl Image {
    pub(crate) fn new(
        layer: Own,
        below: Option<Arc<Self>>,
        format: Format,
        path: &Path,
        most_ranges: usize,
    ) -> Self {
        Self {
            layer,
            below,
            format,
            real: canonical(path),
            path: path.to_owned(),
            identity: Identity::of(path),
            most_ranges,
        }
    }

    /// It and what it stands on, the top first.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |image| image.below.as_deref())
    }

    /// Whether both are of one file.
    pub(crate) fn is_of_same_file(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Whether both are one file, read in one way, over what is one disk in turn.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        // What a file names may depend on where it was opened.
        let paths = self.format == Format::Raw || self.path == other.path;
        if self.format != other.format || !self.is_of_same_file(other) || !paths {
            return false;
        }
        match (&self.below, &other.below) {
            (Some(a), Some(b)) => a.is_same(b),
            (None, None) => true,
            _ => false,
        }
    }

    /// Hands `visit` the pieces of `range` as far as the disk goes, neighbours joined.
    pub(crate) fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let disk = ByteRange::new(0, self.layer.size());
        let Some(range) = range.intersection(&disk) else {
            return ControlFlow::Continue(());
        };
        let mut joined = Joined::new(visit);
        self.layer
            .pieces(range, &mut |piece, place| joined.add(piece, place))?;
        joined.finish()
    }

    /// What of `range` this image holds itself, zeros included; more where it is in very many
    /// pieces. What its tables do not tell is among it, and `found` says why.
    pub(crate) fn held(&self, range: ByteRange, found: &Diagnostics) -> RangeSet {
        let mut all = Ranges::new(self.most_ranges);
        let _ = self.pieces(range, &mut |piece, place| {
            if let Place::Damaged(error) = &place {
                self.say_damaged(piece, error, found);
            }
            if !matches!(place, Place::Below) {
                all.add(piece);
            }
            ControlFlow::Continue(())
        });
        all.within(range)
    }

    fn say_damaged(&self, piece: ByteRange, error: &Error, found: &Diagnostics) {
        let text = format!(
            "{}: {}: {} bytes of the disk can't be read, and count as changed",
            self.path.display(),
            error.chain(),
            piece.len()
        );
        found.push(Diagnostic::error("image-damaged", text).at(piece.start()));
    }

    /// Where this image and `other`, which is of the same file and stands on the same, have their
    /// bytes in different places, up to the end of the shorter. What both have in one place is
    /// shared, and equal.
    pub(crate) fn places_apart(&self, other: &Self, found: &Diagnostics) -> RangeSet {
        /// As much as is looked at at a time.
        const WINDOW: u64 = 1 << 30;
        let end = self.layer.size().min(other.layer.size());
        let mut all = Ranges::new(self.most_ranges);
        let mut at = 0u64;
        while at < end {
            let window = ByteRange::new(at, at.saturating_add(WINDOW).min(end));
            let [new, old] = [self, other].map(|image| image.places(window, found));
            unequal(&new, &old)
                .into_iter()
                .for_each(|range| all.add(range));
            at = window.end();
        }
        all.within(ByteRange::new(0, end))
    }

    fn places(&self, window: ByteRange, found: &Diagnostics) -> Vec<(ByteRange, Place)> {
        let mut all = Vec::new();
        let zeros = self.below.is_none();
        let _ = self.pieces(window, &mut |piece, place| {
            match place {
                Place::Below if zeros => all.push((piece, Place::Zero)),
                Place::Damaged(error) => {
                    self.say_damaged(piece, &error, found);
                    all.push((piece, Place::Damaged(error)));
                }
                place => all.push((piece, place)),
            }
            ControlFlow::Continue(())
        });
        all
    }

    fn read_piece(&self, piece: ByteRange, place: &Place, out: &mut [u8]) -> Result<(), ReadError> {
        let damaged = |reason: &str| ReadError::Damaged {
            offset: piece.start(),
            reason: format!("{}: {reason}", self.path.display()),
        };
        match *place {
            Place::Zero => out.fill(0),
            Place::Below => match &self.below {
                Some(below) => below.read_padded(piece.start(), out)?,
                None => out.fill(0),
            },
            Place::At { file, offset } => {
                let read = match self.layer.file(file) {
                    Some(file) => file.read_exact_at(offset, out),
                    None => return Err(damaged("a file that is not there")),
                };
                match read {
                    Ok(()) => {}
                    Err(error) if self.format == Format::Raw => return Err(error),
                    Err(error) => return Err(damaged(&error.to_string())),
                }
            }
            Place::Packed {
                file,
                offset,
                length,
            } => {
                let packed = Packed {
                    file,
                    offset,
                    length,
                };
                let read = self.layer.read_packed(packed, piece, out);
                read.map_err(|error| damaged(&error.chain()))?;
            }
            Place::Damaged(ref error) => return Err(damaged(&error.chain())),
        }
        Ok(())
    }

    /// Fills `out` for an image that stands on this one: what this one does not reach, being
    /// shorter, is zeros there.
    fn read_padded(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let mut rest = out;
        let front = take_front(&mut rest, self.len().saturating_sub(offset));
        if !front.is_empty() {
            self.read_exact_at(offset, front)?;
        }
        rest.fill(0);
        Ok(())
    }
}

impl ReadAt for Image {
    fn len(&self) -> u64 {
        self.layer.size()
    }

    fn sector_size(&self) -> Option<u64> {
        match self.format {
            // A device tells it.
            Format::Raw => ReadAt::sector_size(self.layer.file(0)?),
            _ => self.layer.sector_size(),
        }
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len())?;
        let range = ByteRange::new(offset, offset.saturating_add(u64_of(buf.len())));
        let mut rest = buf;
        let mut outcome = Ok(());
        let _ = self.pieces(range, &mut |piece, place| {
            let out = take_front(&mut rest, piece.len());
            outcome = self.read_piece(piece, &place, out);
            match outcome {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        outcome?;
        if rest.is_empty() {
            return Ok(());
        }
        let reason = format!("{}: its tables leave a gap", self.path.display());
        Err(ReadError::Damaged { offset, reason })
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let mut data = Ranges::new(self.most_ranges);
        let _ = self.pieces(range, &mut |piece, place| {
            match (place, &self.below) {
                (Place::Zero, _) | (Place::Below, None) => {}
                (Place::Below, Some(below)) => {
                    let runs = below.data_in(piece);
                    runs.iter().for_each(|run| data.add(run));
                }
                (Place::At { file, offset }, _) if piece.len() >= WORTH_LOOKING => {
                    let in_file = ByteRange::at(offset, piece.len()).zip(self.layer.file(file));
                    // What lies past the end of the file is lost, and not zeros.
                    let within = in_file.filter(|(range, file)| range.end() <= file.len());
                    match within {
                        Some((range, file)) => file.data_in(range).iter().for_each(|run| {
                            let start = piece
                                .start()
                                .saturating_add(run.start().saturating_sub(offset));
                            data.add(ByteRange::new(start, start.saturating_add(run.len())));
                        }),
                        None => data.add(piece),
                    }
                }
                _ => data.add(piece),
            }
            ControlFlow::Continue(())
        });
        data.within(range)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("path", &self.path)
            .field("format", &self.format)
            .field("size", &self.layer.size())
            .field("below", &self.below)
            .finish_non_exhaustive()
    }
}

/// What of `new` is not in the same place in `old`. Both are rising and without gaps, over one
/// window.
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
            if !here.is_same(&was.after(at.saturating_sub(before.start()))) {
                out.push(ByteRange::new(at, end));
            }
            at = end;
        }
    }
    out
}
