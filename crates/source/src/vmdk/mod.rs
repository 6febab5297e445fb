//! VMDK images, read-only: one file with its description within, or a description that names
//! files, flat or with grain tables; snapshots and linked clones. `docs/formats/vmdk.md` has what
//! is read.

mod descriptor;
mod header;
mod pieces;
mod sparse;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use hexz_ondisk::read;
use hexz_resolve::{ByteRange, Error, ReadAt as _, Result};

use crate::file::RawFile;
use crate::format::Format;
use crate::layer::ImageId;
use crate::num::{u64_of, usize_of};
use crate::opening::{Opened, Opening, Parent, ParentFormat};
use crate::vhd::windows_path;
use descriptor::{Descriptor, Extent, Holds};
use pieces::{Source, Vmdk};
use sparse::Sparse;

/// Opens the image in `file`. The files that it names are opened as the gate allows.
pub(crate) fn open(file: RawFile, opening: &Opening<'_>) -> Result<Opened> {
    let mut extents = Extents {
        opening,
        memory: u64_of(opening.chain.limits.cache_bytes),
    };
    let (described, extents) = match read(&file, "vmdk image", 0, 1)? == b"#" {
        true => extents.described(&file)?,
        false => extents.alone(file)?,
    };
    let parent = described.is_child().then(|| Parent {
        names: described
            .parent_file_name_hint
            .iter()
            .map(|hint| Ok(path_of(hint)))
            .collect(),
        format: ParentFormat::Known(Format::Vmdk),
        ids: described.parent_cid.map(id_of).into_iter().collect(),
    });
    Ok(Opened {
        layer: Box::new(Vmdk::new(extents, described.cid.map(id_of))),
        parent,
    })
}

fn id_of(cid: u32) -> ImageId {
    ImageId(format!("CID {cid:08x}"))
}

/// The path of a file that a description names. Those of Windows have backslashes.
fn path_of(name: &[u8]) -> PathBuf {
    if name.contains(&b'\\') {
        let text = String::from_utf8_lossy(name);
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        return windows_path(&utf16);
    }
    PathBuf::from(OsStr::from_bytes(name))
}

/// What is known while the files of an image are opened.
struct Extents<'a> {
    opening: &'a Opening<'a>,
    /// Bytes that grain directories may still take.
    memory: u64,
}

type Found = (Descriptor, Vec<(ByteRange, Source)>);

impl Extents<'_> {
    fn sparse(&mut self, file: RawFile, cache_bytes: usize) -> Result<Sparse> {
        Sparse::open(file, &mut self.memory, cache_bytes)
    }

    /// A file with grain tables, and with its description within.
    fn alone(&mut self, file: RawFile) -> Result<Found> {
        let sparse = self.sparse(file, self.opening.cache_bytes)?;
        // Only the description tells of a parent and of further extents.
        let text = sparse.descriptor(descriptor::MAX_BYTES)?.ok_or_else(|| {
            let message = "a file of an image without its descriptor: open the image by that";
            Error::unsupported("vmdk header", message)
        })?;
        let described = descriptor::parse(&text)?;
        if described.extents.len() > 1 {
            let message = "a descriptor within an image that names other files";
            return Err(Error::unsupported("vmdk descriptor", message));
        }
        let whole = ByteRange::new(0, sparse.len());
        Ok((described, vec![(whole, Source::Sparse(Box::new(sparse)))]))
    }

    /// Files that a description names.
    fn described(&mut self, file: &RawFile) -> Result<Found> {
        if file.len() > descriptor::MAX_BYTES {
            let message = format!("a descriptor of {} bytes", file.len());
            return Err(Error::limit("vmdk descriptor", message));
        }
        let text = read(file, "vmdk descriptor", 0, usize_of(file.len()))?;
        let described = descriptor::parse(&text)?;
        // They share the cache.
        let cache_bytes = self
            .opening
            .cache_bytes
            .checked_div(described.extents.len());
        let cache_bytes = cache_bytes.unwrap_or(0);
        let mut extents = Vec::new();
        let mut at = 0u64;
        for extent in described.extents.iter().filter(|extent| extent.bytes > 0) {
            let range = ByteRange::at(at, extent.bytes).ok_or_else(|| {
                Error::corrupt("vmdk descriptor").message("a disk past 64 bits of bytes")
            })?;
            extents.push((
                range,
                self.extent(extent, described.is_child(), cache_bytes)?,
            ));
            at = range.end();
        }
        if at == 0 {
            return Err(Error::corrupt("vmdk descriptor").message("a disk without extents"));
        }
        Ok((described, extents))
    }

    fn extent(&mut self, extent: &Extent, of_child: bool, cache_bytes: usize) -> Result<Source> {
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
                    let within = descriptor::parse(&text).map_err(in_extent)?;
                    if within.is_child() && !of_child {
                        let message = "it says that it is of a child, and its image does not";
                        return Err(in_extent(
                            Error::corrupt("vmdk descriptor").message(message),
                        ));
                    }
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
        RawFile::open_regular(&self.opening.chain.gate.allow(name, self.opening.path)?)
    }
}
