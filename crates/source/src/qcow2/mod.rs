//! qcow2 images, read-only: versions 2 and 3, compressed clusters, extended L2 entries, backing
//! chains, external data files, internal snapshots. `docs/formats/qcow2.md` has what is read.

mod changes;
mod decode;
mod header;
mod tables;

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_ondisk::read;
use hexz_resolve::{
    ByteRange, Diagnostic, Diagnostics, Error, RangeSet, ReadAt, ReadError, Result, check_bounds,
};

use crate::cache::Cache;
use crate::chain::{Chain, Identity};
use crate::file::RawFile;
use crate::image::{Format, Given, Opened};
use crate::num::{take_front, u64_of, usize_of};
use crate::ranges::Ranges;
use header::{Header, L1};
use tables::{Place, Tables};

pub use changes::Qcow2Overlay;
pub(crate) use header::MAGIC;

/// Snapshots that a message names.
const NAMED: usize = 20;

/// An open image: reads as the disk it holds.
pub(crate) struct Qcow2 {
    file: RawFile,
    name: String,
    header: Header,
    tables: Tables,
    data: Option<RawFile>,
    data_identity: Option<Identity>,
    backing: Option<Opened>,
    l2_cache: Cache<[u64]>,
    /// How many ranges are collected.
    most_ranges: usize,
    /// Clusters decompressed, by where they lie.
    clusters: Cache<[u8]>,
}

/// How to open an image.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options<'a> {
    /// Takes the place of the backing file that the image names.
    pub(crate) base: Option<&'a Given>,
    /// The internal snapshot to read, by name or id, in place of the active state.
    pub(crate) snapshot: Option<&'a str>,
}

impl Qcow2 {
    /// Opens the image in `file`, which lies at `path`, and its backing chain as far as the gate
    /// of `chain` allows.
    pub(crate) fn open(
        file: RawFile,
        path: &Path,
        chain: &mut Chain<'_>,
        options: Options<'_>,
    ) -> Result<Self> {
        let name = path.display().to_string();
        let in_file = |e: Error| {
            Error::new(e.kind(), "qcow2 image")
                .message(name.clone())
                .source(e)
        };
        let header = Header::read(&file, path)?;
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
        let l1 = match options.snapshot {
            Some(wanted) => snapshot(&file, &header, wanted).map_err(in_file)?,
            None => header.l1,
        };
        let tables = Tables::load(&file, &header, l1).map_err(in_file)?;
        chain.enter(path)?;
        let mut data_identity = None;
        let data = match &header.data_file {
            Some(Some(named)) => {
                let path = chain.allow(named, path)?;
                chain.check(&path)?;
                data_identity = Some(Identity::of(&path));
                Some(RawFile::open_regular(&path)?)
            }
            Some(None) => {
                return Err(in_file(
                    Error::corrupt("qcow2 header").message("an external data file without a name"),
                ));
            }
            None => None,
        };
        let backing = match (options.base, &header.backing_file) {
            (Some(base), _) => Some(Opened::open(base, chain)?),
            (None, Some(named)) => Some(open_backing(named, &header, path, chain)?),
            (None, None) => None,
        };
        chain.leave();
        // The whole chain shares the budget, which its top image is to have most of.
        let budget = chain.cache_bytes() >> 1;
        let cluster = usize_of(header.cluster_size());
        Ok(Self {
            file,
            name,
            header,
            tables,
            data,
            data_identity,
            backing,
            l2_cache: Cache::new(budget >> 1, cluster),
            most_ranges: chain.limits.ranges,
            clusters: Cache::new(budget >> 1, cluster),
        })
    }

    /// Bytes of the smallest piece that is mapped by itself.
    pub(crate) fn unit(&self) -> u64 {
        self.header.unit()
    }

    /// The image behind this one.
    pub(crate) fn backing(&self) -> Option<&Opened> {
        self.backing.as_ref()
    }

    /// Whether two readers of one image stand on the same data file and backing chain.
    pub(crate) fn stands_on_same(&self, other: &Self) -> bool {
        let backing = match (&self.backing, &other.backing) {
            (Some(a), Some(b)) => a.is_same(b),
            (None, None) => true,
            _ => false,
        };
        backing && self.data_identity == other.data_identity
    }

    /// What of `range` this image holds itself, zeros included; more where it is in very many
    /// pieces. What can't be told is among it, and `found` says why.
    pub(crate) fn allocated(&self, range: ByteRange, found: &Diagnostics) -> RangeSet {
        let mut all = Ranges::new(self.most_ranges);
        let Ok(()) = self.walk(range, |piece, place| {
            self.tell_damage(piece, place, found);
            if place != Place::Backing {
                all.add(piece);
            }
            Ok::<_, Infallible>(())
        });
        all.within(range)
    }

    /// Says so where `piece` is damaged.
    fn tell_damage(&self, piece: ByteRange, place: Place, found: &Diagnostics) {
        let Place::Damaged(damage) = place else {
            return;
        };
        let error = self.tables.error(&self.file, &self.l2_cache, damage);
        let text = format!(
            "{}: {}: {} bytes of the disk can't be read, and count as changed",
            self.name,
            error.chain(),
            piece.len()
        );
        found.push(Diagnostic::error("qcow2-damaged", text).at(piece.start()));
    }

    fn walk<E>(
        &self,
        range: ByteRange,
        each: impl FnMut(ByteRange, Place) -> Result<(), E>,
    ) -> Result<(), E> {
        self.tables.walk(&self.file, &self.l2_cache, range, each)
    }

    fn read_piece(&self, range: ByteRange, place: Place, out: &mut [u8]) -> Result<(), ReadError> {
        match place {
            Place::Zero => {
                out.fill(0);
                Ok(())
            }
            Place::Backing => match &self.backing {
                Some(backing) => backing.read_padded(range.start(), out),
                None => {
                    out.fill(0);
                    Ok(())
                }
            },
            Place::Data { host } => {
                let file = self.data.as_ref().unwrap_or(&self.file);
                file.read_exact_at(host, out)
                    .map_err(|e| self.damaged(range.start(), &e.to_string()))
            }
            Place::Damaged(damage) => {
                let error = self.tables.error(&self.file, &self.l2_cache, damage);
                Err(self.damaged(range.start(), &error.chain()))
            }
            Place::Compressed { host, length } => self
                .read_compressed(range, host, length, out)
                .map_err(|e| self.damaged(range.start(), &e.chain())),
        }
    }

    fn read_compressed(
        &self,
        range: ByteRange,
        host: u64,
        length: u32,
        out: &mut [u8],
    ) -> Result<()> {
        let cluster = self.tables.cluster_of(range.start());
        let skip = usize_of(range.start().saturating_sub(cluster.start()));
        let from = |bytes: &[u8], out: &mut [u8]| {
            let end = skip.saturating_add(out.len());
            let bytes = bytes.get(skip..end);
            out.copy_from_slice(bytes.ok_or_else(|| Error::corrupt("qcow2 cluster").at(host))?);
            Ok(())
        };
        if let Some(bytes) = self.clusters.get(host) {
            return from(&bytes, out);
        }
        let size = usize_of(cluster.len());
        let compression = self.header.compression;
        if out.len() == size {
            return decode::cluster(&self.file, compression, host, length, out);
        }
        let mut bytes = vec![0; size];
        decode::cluster(&self.file, compression, host, length, &mut bytes)?;
        from(&bytes, out)?;
        self.clusters.insert(host, Arc::from(bytes), size);
        Ok(())
    }

    fn damaged(&self, offset: u64, reason: &str) -> ReadError {
        ReadError::Damaged {
            offset,
            reason: format!("{}: {reason}", self.name),
        }
    }
}

impl ReadAt for Qcow2 {
    fn len(&self) -> u64 {
        self.tables.disk_size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len())?;
        let range = ByteRange::new(offset, offset.saturating_add(u64_of(buf.len())));
        let mut rest = buf;
        self.walk(range, |piece, place| {
            let out = take_front(&mut rest, piece.len());
            self.read_piece(piece, place, out)
        })
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let Some(range) = range.intersection(&ByteRange::new(0, self.len())) else {
            return RangeSet::new();
        };
        let mut data = Ranges::new(self.most_ranges);
        let Ok(()) = self.walk(range, |piece, place| {
            match (place, &self.backing) {
                (Place::Zero, _) | (Place::Backing, None) => {}
                (Place::Backing, Some(backing)) => {
                    backing
                        .data_in(piece)
                        .iter()
                        .for_each(|part| data.add(part));
                }
                _ => data.add(piece),
            }
            Ok::<_, Infallible>(())
        });
        data.within(range)
    }
}

impl fmt::Debug for Qcow2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qcow2")
            .field("name", &self.name)
            .field("size", &self.tables.disk_size)
            .field("backing", &self.backing)
            .finish_non_exhaustive()
    }
}

fn snapshot(file: &RawFile, header: &Header, wanted: &str) -> Result<L1> {
    let length = header::snapshot_bytes(header, file.len());
    let bytes = read(
        file,
        "qcow2 snapshot table",
        header.snapshots_offset,
        usize_of(length),
    )?;
    let all = header::snapshots(header, &bytes)?;
    // As qemu-img does: an id goes before a name.
    let found = all.iter().find(|snapshot| snapshot.id == wanted);
    let found = found.or_else(|| all.iter().find(|snapshot| snapshot.name == wanted));
    found.map(|snapshot| snapshot.l1).ok_or_else(|| {
        let names = all
            .iter()
            .take(NAMED)
            .map(|snapshot| snapshot.name.as_str());
        let names: Vec<&str> = names.collect();
        let there = match (names.as_slice(), all.len().saturating_sub(NAMED)) {
            ([], _) => "it has none".to_owned(),
            (names, 0) => format!("it has {}", names.join(", ")),
            (names, more) => format!("it has {} and {more} more", names.join(", ")),
        };
        Error::io("qcow2 snapshot", format!("no snapshot {wanted:?}; {there}"))
    })
}

fn open_backing(named: &Path, header: &Header, by: &Path, chain: &mut Chain<'_>) -> Result<Opened> {
    let path = named.as_os_str().as_bytes();
    let path = path.strip_prefix(b"file:").unwrap_or(path);
    // `json:{…}`, `nbd://…`: a colon before any slash.
    let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    let mut parts = first.splitn(2, |byte| *byte == b':');
    if let (Some(scheme), Some(_)) = (parts.next(), parts.next()) {
        let scheme = String::from_utf8_lossy(scheme);
        return Err(Error::unsupported(
            "qcow2 backing file",
            format!(
                "{} names {named:?}: {scheme} is not a file; give the base yourself",
                by.display()
            ),
        ));
    }
    let path: PathBuf = chain.allow(Path::new(OsStr::from_bytes(path)), by)?;
    let file = RawFile::open_regular(&path)?;
    // What the image says goes before what the content looks like: the content of a raw disk is
    // its guest's.
    let format = match header.backing_format.as_deref() {
        None | Some("") => Format::of(&file),
        Some("raw" | "file" | "host_device") => Format::Raw,
        Some("qcow2") => Format::Qcow2,
        Some("vmdk") => Format::Vmdk,
        Some("vhdx") => Format::Vhdx,
        Some("vpc") => Format::Vhd,
        Some(other) => {
            return Err(Error::unsupported(
                "qcow2 backing file",
                format!("{} has a backing file of format {other}", by.display()),
            ));
        }
    };
    Opened::from_file(file, &path, format, chain)
}
