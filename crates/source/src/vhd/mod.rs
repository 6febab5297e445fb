//! VHD images (qemu's `vpc`), read-only: fixed, dynamic, differencing. `docs/formats/vhd.md` has
//! what is read.

mod blocks;
mod changes;
mod footers;
mod ondisk;
mod parent;

use std::fmt;
use std::path::Path;

use hexz_ondisk::Guid;
use hexz_resolve::{
    ByteRange, Diagnostic, Error, RangeSet, ReadAt, ReadError, Result, check_bounds,
};

use crate::chain::Chain;
use crate::file::RawFile;
use crate::image::{Given, Opened};
use crate::num::{take_front, u64_of};
use blocks::{Blocks, Place};
use ondisk::{DiskType, Footer};

pub use changes::VhdOverlay;
pub(crate) use footers::{recognised, unfit};

/// An open image: reads as the disk it holds.
pub(crate) struct Vhd {
    file: RawFile,
    name: String,
    footer: Footer,
    disk_size: u64,
    /// `None` in a fixed disk, which lies at the start of the file.
    blocks: Option<Blocks>,
    /// There in a differencing disk.
    parent: Option<Opened>,
}

impl Vhd {
    /// Opens the image in `file`, which lies at `path`, and its parents as far as the gate of
    /// `chain` allows. `base` takes the place of the parent that a differencing disk names.
    pub(crate) fn open(
        file: RawFile,
        path: &Path,
        chain: &mut Chain<'_>,
        base: Option<&Given>,
    ) -> Result<Self> {
        let name = path.display().to_string();
        let in_file = |e: Error| {
            Error::new(e.kind(), "vhd image")
                .message(name.clone())
                .source(e)
        };
        let found = footers::find(&file).map_err(in_file)?;
        let footer = found.footer;
        if let Some(odd) = found.odd {
            let finding = Diagnostic::warning("vhd-footer", format!("{name}: {odd}"));
            chain.diagnostics.push(finding.at(found.at));
        }
        if footer.disk_type == DiskType::Fixed {
            let disk_size = fixed_size(&footer, found.at).map_err(in_file)?;
            return Ok(Self {
                file,
                name,
                footer,
                disk_size,
                blocks: None,
                parent: None,
            });
        }
        let disk_size = footer.disk_size();
        let header = footers::header(&file, &footer).map_err(in_file)?;
        let cache_bytes = chain.cache_bytes() >> 1;
        let blocks = Blocks::load(&file, &header, disk_size, cache_bytes).map_err(in_file)?;
        chain.enter(path)?;
        let parent = match (footer.disk_type, base) {
            (DiskType::Fixed | DiskType::Dynamic, _) => None,
            (DiskType::Differencing, Some(base)) => {
                let base = Opened::open(base, chain)?;
                if let Err(other) = parent::check_id(&base, &header) {
                    let text = format!("{name}: {}", other.chain());
                    chain
                        .diagnostics
                        .push(Diagnostic::warning("vhd-parent", text));
                }
                Some(base)
            }
            (DiskType::Differencing, None) => {
                Some(parent::open(&file, &header, path, chain).map_err(in_file)?)
            }
        };
        chain.leave();
        Ok(Self {
            file,
            name,
            footer,
            disk_size,
            blocks: Some(blocks),
            parent,
        })
    }

    /// What tells the image from others, to those that stand on it.
    fn unique_id(&self) -> Guid {
        self.footer.unique_id
    }

    /// The image behind this one.
    pub(crate) fn parent(&self) -> Option<&Opened> {
        self.parent.as_ref()
    }

    /// What of the disk this image holds itself. Of a damaged block all counts as held, and
    /// `damaged` is told why.
    pub(crate) fn allocated(&self, mut damaged: impl FnMut(ByteRange, Error)) -> RangeSet {
        let whole = ByteRange::new(0, self.disk_size);
        let Some(blocks) = &self.blocks else {
            return whole.into();
        };
        let mut held = blocks.ranges();
        for (piece, place) in blocks.pieces(&self.file, whole) {
            match place {
                Ok(Place::Absent) => continue,
                Ok(Place::Data(_)) => {}
                Err(error) => damaged(piece, error),
            }
            held.push(piece);
        }
        held.finish()
    }

    fn damaged(&self, offset: u64, reason: &str) -> ReadError {
        ReadError::Damaged {
            offset,
            reason: format!("{}: {reason}", self.name),
        }
    }
}

/// Bytes of a fixed disk whose footer lies at `at`.
fn fixed_size(footer: &Footer, at: u64) -> Result<u64> {
    let sizes = [footer.disk_size(), footer.current_size];
    let fitting = sizes.into_iter().find(|size| *size <= at);
    fitting.ok_or_else(|| {
        let error = Error::corrupt("vhd footer").at(at);
        let found = format!("a disk of {} bytes", footer.current_size);
        error.expected(format!("at most {at} bytes")).found(found)
    })
}

impl ReadAt for Vhd {
    fn len(&self) -> u64 {
        self.disk_size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.disk_size)?;
        let range = ByteRange::new(offset, offset.saturating_add(u64_of(buf.len())));
        let Some(blocks) = &self.blocks else {
            return self.file.read_exact_at(offset, buf);
        };
        let mut rest = buf;
        for (piece, place) in blocks.pieces(&self.file, range) {
            let out = take_front(&mut rest, piece.len());
            match (place, &self.parent) {
                (Ok(Place::Data(host)), _) => self
                    .file
                    .read_exact_at(host, out)
                    .map_err(|e| self.damaged(piece.start(), &e.to_string()))?,
                (Ok(Place::Absent), Some(parent)) => parent.read_padded(piece.start(), out)?,
                (Ok(Place::Absent), None) => out.fill(0),
                (Err(error), _) => return Err(self.damaged(piece.start(), &error.chain())),
            }
        }
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let Some(range) = range.intersection(&ByteRange::new(0, self.disk_size)) else {
            return RangeSet::new();
        };
        let Some(blocks) = &self.blocks else {
            return self.file.data_in(range);
        };
        let mut data = blocks.ranges();
        for (piece, place) in blocks.pieces(&self.file, range) {
            match (place, &self.parent) {
                (Ok(Place::Absent), None) => {}
                (Ok(Place::Absent), Some(parent)) => {
                    parent.data_in(piece).iter().for_each(|of| data.push(of));
                }
                _ => data.push(piece),
            }
        }
        data.finish()
    }
}

impl fmt::Debug for Vhd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vhd")
            .field("name", &self.name)
            .field("size", &self.disk_size)
            .field("parent", &self.parent)
            .finish_non_exhaustive()
    }
}
