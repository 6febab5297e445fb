//! qcow2 images, read-only: versions 2 and 3, compressed clusters, extended L2 entries, backing
//! chains, external data files, internal snapshots, persistent bitmaps. `docs/formats/qcow2.md`
//! has what is read.

mod bitmaps;
mod decode;
mod header;
mod pieces;
mod snapshots;

use std::path::{Path, PathBuf};

use hexz_resolve::{ByteRange, Diagnostic, Error, RangeSet, ReadAt as _, Result};

use crate::chain::Chain;
use crate::file::RawFile;
use crate::format::Format;
use crate::layer::{Layer, Packed, Units, Visit};
use crate::opening::{Opened, Opening, Parent, ParentFormat};
use header::Header;
use pieces::Tables;

pub(crate) use header::MAGIC;

/// An open image: the clusters that this file maps.
struct Qcow2 {
    file: RawFile,
    header: Header,
    tables: Tables,
    /// Where guest data lies, if not in `file`: file 1.
    data: Option<RawFile>,
    clusters: Units,
}

/// Opens the image in `file`.
pub(crate) fn open(file: RawFile, opening: &Opening<'_>) -> Result<Opened> {
    let (path, chain) = (opening.path, opening.chain);
    let header = Header::read(&file)?;
    say_state(&header, path, chain);
    let l1 = match opening.snapshot {
        Some(wanted) => snapshots::find(&file, &header, wanted)?,
        None => header.l1,
    };
    let tables = Tables::load(&file, &header, l1, opening.cache_bytes >> 1)?;
    let data = match &header.data_file {
        Some(Some(named)) => {
            let path = chain.allow(named, path)?;
            chain.check(&path)?;
            Some(RawFile::open_regular(&path)?)
        }
        Some(None) => {
            let message = "an external data file without a name";
            return Err(Error::corrupt("qcow2 header").message(message));
        }
        None => None,
    };
    let parent = header.backing_file.as_ref().map(|named| Parent {
        names: vec![backing_path(named)],
        format: match header.backing_format.as_deref() {
            None | Some("") => ParentFormat::Unsaid,
            Some(name) => Format::named_by_qemu(name)
                .map_or_else(|| ParentFormat::Other(name.to_owned()), ParentFormat::Known),
        },
        ids: Vec::new(),
    });
    let clusters = Units::new(opening.cache_bytes >> 1, header.cluster_size());
    let layer = Qcow2 {
        file,
        header,
        tables,
        data,
        clusters,
    };
    Ok(Opened {
        layer: Box::new(layer),
        parent,
    })
}

/// The units whose bit is set in the bitmap `name` of the image in `file`, of which the disk has
/// `disk_size` bytes.
pub(crate) fn bitmap(file: &RawFile, name: &str, disk_size: u64, most: usize) -> Result<Dirty> {
    let header = Header::read(file)?;
    let bitmap = bitmaps::find(file, &header, name)?;
    Ok(Dirty {
        ranges: bitmap.ranges(file, &header, disk_size, most)?,
        granularity: bitmap.granularity(),
        in_use: bitmap.in_use,
    })
}

/// What a bitmap says.
pub(crate) struct Dirty {
    pub(crate) ranges: RangeSet,
    /// Bytes of the disk that a bit stands for.
    pub(crate) granularity: u64,
    /// Bits may be missing.
    pub(crate) in_use: bool,
}

/// The internal snapshots and the bitmaps of the image in `file`, in words.
pub(crate) fn kept(file: &RawFile) -> Result<Vec<String>> {
    let header = Header::read(file)?;
    let mut all = Vec::new();
    if header.nb_snapshots > 0 {
        for snapshot in snapshots::read_all(file, &header)? {
            all.push(format!("snapshot {} (id {})", snapshot.name, snapshot.id));
        }
    }
    for bitmap in bitmaps::read_all(file, &header)? {
        let state = if bitmap.in_use { ", not closed" } else { "" };
        let unit = bitmap.granularity();
        all.push(format!(
            "bitmap {} (units of {unit} bytes{state})",
            bitmap.name
        ));
    }
    Ok(all)
}

fn say_state(header: &Header, path: &Path, chain: &Chain<'_>) {
    let name = path.display();
    if header.dirty {
        chain.diagnostics.push(Diagnostic::info(
            "qcow2-dirty",
            format!("{name} was not closed: its reference counts may be wrong; not its data"),
        ));
    }
    if header.corrupt {
        chain.diagnostics.push(Diagnostic::warning(
            "qcow2-corrupt",
            format!("{name} is marked as corrupt by the program that wrote it"),
        ));
    }
}

/// The path that a backing file name stands for; those of other protocols are no files.
fn backing_path(named: &Path) -> Result<PathBuf> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let path = named.as_os_str().as_bytes();
    let path = path.strip_prefix(b"file:").unwrap_or(path);
    // `json:{…}`, `nbd://…`: a colon before any slash.
    let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    let mut parts = first.splitn(2, |byte| *byte == b':');
    if let (Some(scheme), Some(_)) = (parts.next(), parts.next()) {
        let scheme = String::from_utf8_lossy(scheme);
        let text = format!("it names {named:?}: {scheme} is not a file; give --base IMAGE");
        return Err(Error::unsupported("qcow2 backing file", text));
    }
    Ok(PathBuf::from(OsStr::from_bytes(path)))
}

impl Layer for Qcow2 {
    fn size(&self) -> u64 {
        self.tables.disk_size
    }

    fn unit(&self) -> u64 {
        self.header.unit()
    }

    fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> std::ops::ControlFlow<()> {
        self.tables.pieces(&self.file, range, visit)
    }

    fn file(&self, number: usize) -> Option<&RawFile> {
        match number {
            0 => Some(&self.file),
            1 => self.data.as_ref(),
            _ => None,
        }
    }

    fn read_packed(&self, packed: Packed, piece: ByteRange, out: &mut [u8]) -> Result<()> {
        let compression = self.header.compression;
        self.clusters.read(packed.offset, piece, out, |out| {
            decode::cluster(&self.file, compression, packed.offset, packed.length, out)?;
            Ok(out.len())
        })
    }

    fn is_unmoved(&self) -> bool {
        Header::read(&self.file).is_ok_and(|now| now.same_place(&self.header))
            && self.file.len() >= self.header.l1.offset
    }
}
