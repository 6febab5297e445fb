//! VMDK images, read-only: one file with its description within, or a description that names
//! files, flat or with grain tables. `docs/formats/qcow2.md` has what is read.

mod descriptor;
mod header;
mod sparse;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use hexz_ondisk::read;
use hexz_resolve::{
    ByteRange, Error, ErrorKind, RangeSet, ReadAt, ReadError, Result, check_bounds,
};

use crate::chain::Chain;
use crate::file::RawFile;
use crate::holes::DataIn;
use crate::num::{take_front, u64_of, usize_of};
use descriptor::{Extent, Holds};
use sparse::Sparse;

/// Bytes of a sector: what everything is counted in.
const SECTOR: u64 = 512;

/// An open image: reads as the disk it holds.
pub(crate) struct Vmdk {
    name: String,
    /// In the order of the disk, without gaps.
    extents: Vec<(ByteRange, Source)>,
}

/// What holds a stretch of the disk.
enum Source {
    Zeros,
    Flat { file: RawFile, skip: u64 },
    Sparse(Box<Sparse>),
}

impl Vmdk {
    /// Opens the image in `file`, which lies at `path`. The files that it names are opened as the
    /// gate of `chain` allows.
    pub(crate) fn open(file: RawFile, path: &Path, chain: &Chain<'_>) -> Result<Self> {
        let name = path.display().to_string();
        let in_file = |e: Error| {
            Error::new(e.kind(), "vmdk image")
                .message(name.clone())
                .source(e)
        };
        let mut opening = Opening::new(path, chain);
        let text = read(&file, "vmdk image", 0, 1).map_err(in_file)? == b"#";
        let extents = if text {
            opening.described(&file)
        } else {
            opening.alone(file)
        };
        let extents = extents.map_err(in_file)?;
        Ok(Self { name, extents })
    }

    /// The extents that `range` touches, with what of each it does.
    fn touched(&self, range: ByteRange) -> impl Iterator<Item = (ByteRange, u64, &Source)> {
        let first = self
            .extents
            .partition_point(|(e, _)| e.end() <= range.start());
        let rest = self.extents.get(first..).unwrap_or_default();
        rest.iter().map_while(move |(extent, source)| {
            let piece = extent
                .intersection(&range)
                .filter(|piece| !piece.is_empty())?;
            Some((piece, extent.start(), source))
        })
    }
}

/// What is known while an image is opened.
struct Opening<'a> {
    path: &'a Path,
    chain: &'a Chain<'a>,
    /// Bytes that grain directories may still take.
    memory: u64,
}

impl<'a> Opening<'a> {
    fn new(path: &'a Path, chain: &'a Chain<'a>) -> Self {
        let memory = u64_of(chain.limits.cache_bytes);
        Self {
            path,
            chain,
            memory,
        }
    }

    fn sparse(&mut self, file: RawFile, cache_bytes: usize) -> Result<Sparse> {
        Sparse::open(file, &mut self.memory, cache_bytes)
    }

    /// A file with grain tables, and with its description within.
    fn alone(&mut self, file: RawFile) -> Result<Vec<(ByteRange, Source)>> {
        let sparse = self.sparse(file, self.chain.cache_bytes() >> 1)?;
        // Only the description tells of a parent and of further extents.
        let text = sparse.descriptor(descriptor::MAX_BYTES)?.ok_or_else(|| {
            let message = "a file of an image without its descriptor: open the image by that";
            Error::unsupported("vmdk header", message)
        })?;
        if descriptor::parse(&text)?.len() > 1 {
            let message = "a descriptor within an image that names other files";
            return Err(Error::unsupported("vmdk descriptor", message));
        }
        let whole = ByteRange::new(0, sparse.len());
        Ok(vec![(whole, Source::Sparse(Box::new(sparse)))])
    }

    /// Files that a description names.
    fn described(&mut self, file: &RawFile) -> Result<Vec<(ByteRange, Source)>> {
        if file.len() > descriptor::MAX_BYTES {
            let message = format!("a descriptor of {} bytes", file.len());
            return Err(Error::limit("vmdk descriptor", message));
        }
        let text = read(file, "vmdk descriptor", 0, usize_of(file.len()))?;
        let described = descriptor::parse(&text)?;
        // They share the cache.
        let cache_bytes = (self.chain.cache_bytes() >> 1)
            .checked_div(described.len())
            .unwrap_or(0);
        let mut extents = Vec::new();
        let mut at = 0u64;
        for extent in described.iter().filter(|extent| extent.bytes > 0) {
            let range = ByteRange::at(at, extent.bytes).ok_or_else(|| {
                Error::corrupt("vmdk descriptor").message("a disk past 64 bits of bytes")
            })?;
            extents.push((range, self.extent(extent, cache_bytes)?));
            at = range.end();
        }
        if at == 0 {
            return Err(Error::corrupt("vmdk descriptor").message("a disk without extents"));
        }
        Ok(extents)
    }

    fn extent(&mut self, extent: &Extent, cache_bytes: usize) -> Result<Source> {
        let (name, source, there) = match &extent.holds {
            Holds::Zeros => return Ok(Source::Zeros),
            Holds::Flat { name, skip } => {
                let file = self.named(name)?;
                let there = file.len().saturating_sub(*skip);
                (name, Source::Flat { file, skip: *skip }, there)
            }
            Holds::Sparse { name } => {
                let in_extent = |e: Error| {
                    let name = String::from_utf8_lossy(name).into_owned();
                    Error::new(e.kind(), "vmdk extent").message(name).source(e)
                };
                let file = self.named(name)?;
                let sparse = self.sparse(file, cache_bytes).map_err(in_extent)?;
                if let Some(text) = sparse.descriptor(descriptor::MAX_BYTES)? {
                    descriptor::parse(&text).map_err(in_extent)?;
                }
                let there = sparse.len();
                (name, Source::Sparse(Box::new(sparse)), there)
            }
        };
        if there < extent.bytes {
            return Err(Error::corrupt("vmdk extent")
                .message(String::from_utf8_lossy(name))
                .expected(format_args!("{} bytes", extent.bytes))
                .found(there));
        }
        Ok(source)
    }

    /// Opens a file that the image names.
    fn named(&self, name: &[u8]) -> Result<RawFile> {
        let name = Path::new(OsStr::from_bytes(name));
        RawFile::open_regular(&self.chain.gate.allow(name, self.path)?)
    }
}

impl Source {
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        match self {
            Self::Zeros => out.fill(0),
            Self::Flat { file, skip } => file
                .read_exact_at(offset.saturating_add(*skip), out)
                .map_err(|e| Error::io("vmdk extent", e))?,
            Self::Sparse(sparse) => sparse.read_exact_at(offset, out)?,
        }
        Ok(())
    }

    /// As [`ReadAt::data_in`], from the start of the extent.
    fn data_in(&self, range: ByteRange) -> RangeSet {
        match self {
            Self::Zeros => RangeSet::new(),
            Self::Flat { file, skip } => {
                let runs = range.moved_up(*skip).map(|range| file.data_in(range));
                moved(&runs.unwrap_or_default(), |run| run.moved_down(*skip))
            }
            Self::Sparse(sparse) => {
                let mut data = DataIn::new(range);
                // What the tables don't tell may be data.
                let _ = sparse.walk(range, |piece, place| match data.add(piece, place) {
                    true => Ok(()),
                    false => Err(Error::new(ErrorKind::Limit, "vmdk grain table")),
                });
                data.finish()
            }
        }
    }
}

fn moved(runs: &RangeSet, by: impl Fn(ByteRange) -> Option<ByteRange>) -> RangeSet {
    runs.iter().filter_map(by).collect()
}

impl ReadAt for Vmdk {
    fn len(&self) -> u64 {
        self.extents.last().map_or(0, |(range, _)| range.end())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len())?;
        let range = ByteRange::new(offset, offset.saturating_add(u64_of(buf.len())));
        let mut rest = buf;
        for (piece, start, source) in self.touched(range) {
            let out = take_front(&mut rest, piece.len());
            let within = piece.start().saturating_sub(start);
            source
                .read_exact_at(within, out)
                .map_err(|e| ReadError::Damaged {
                    offset: piece.start(),
                    reason: format!("{}: {}", self.name, e.chain()),
                })?;
        }
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let runs = self.touched(range).flat_map(|(piece, start, source)| {
            let within = piece.moved_down(start).unwrap_or(piece);
            let runs = moved(&source.data_in(within), |run| run.moved_up(start));
            Vec::from(runs.as_slice())
        });
        runs.collect()
    }
}
