//! The header of a qcow2 image and its extensions; all numbers are big-endian.
//!
//! Specification: <https://www.qemu.org/docs/master/interop/qcow2.html>

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use hexz_ondisk::{Fields, read};
use hexz_resolve::{Error, ReadAt, Result};

use crate::file::RawFile;
use crate::num::usize_of;

/// First bytes of an image.
pub(crate) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Bytes of the header of version 2; version 3 goes on to `header_length`.
const V2_LENGTH: usize = 72;
const V3_LENGTH: usize = 104;
/// As much of the file as can hold header, extensions and backing file name.
const HEADER_BYTES: u64 = 64 << 10;

const INCOMPATIBLE_DIRTY: u64 = 1;
const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
const INCOMPATIBLE_DATA_FILE: u64 = 1 << 2;
const INCOMPATIBLE_COMPRESSION: u64 = 1 << 3;
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;
const INCOMPATIBLE_KNOWN: u64 = 0x1F;

const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xE279_2ACA;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
const EXTENSION_BITMAPS: u32 = 0x2385_2875;

/// Autoclear feature: the bitmaps are what they were when the image was closed.
const AUTOCLEAR_BITMAPS: u64 = 1;

const MAX_BACKING_NAME: u32 = 1023;
/// qemu's own bound on the L1 table.
const MAX_L1_ENTRIES: u32 = (32 << 20) / 8;
const MAX_SNAPSHOTS: u32 = 65536;

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Deflate,
    Zstd,
}

/// Where the directory of bitmaps lies, as the header extension says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) count: u32,
    pub(super) bytes: u64,
    pub(super) offset: u64,
}

/// Where an L1 table lies, and the disk it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct L1 {
    pub(super) offset: u64,
    pub(super) entries: u32,
    pub(super) disk_size: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    pub(super) l1: L1,
    pub(super) nb_snapshots: u32,
    pub(super) snapshots_offset: u64,
    pub(super) backing_file: Option<PathBuf>,
    pub(super) backing_format: Option<String>,
    pub(super) dirty: bool,
    pub(super) corrupt: bool,
    /// Whether guest data lies in a file of its own, and its name.
    pub(super) data_file: Option<Option<PathBuf>>,
    pub(super) compression: Compression,
    pub(super) extended_l2: bool,
    pub(super) bitmaps: Option<Directory>,
    /// Whether no program wrote to the image that knows nothing of bitmaps.
    pub(super) bitmaps_are_kept: bool,
}

impl Header {
    /// Reads the header of the image in `file`.
    pub(super) fn read(file: &RawFile) -> Result<Self> {
        let length = usize_of(file.len().min(HEADER_BYTES));
        parse(&read(file, "qcow2 header", 0, length)?, file.len())
    }

    /// Whether the tables of both lie where the other's do.
    pub(super) fn same_place(&self, other: &Self) -> bool {
        self.l1 == other.l1
            && self.snapshots_offset == other.snapshots_offset
            && self.nb_snapshots == other.nb_snapshots
            && self.backing_file == other.backing_file
    }

    /// Bytes of a cluster.
    pub(super) fn cluster_size(&self) -> u64 {
        1u64.checked_shl(self.cluster_bits).unwrap_or(1)
    }

    /// Bytes of the smallest piece that is mapped by itself.
    pub(super) fn unit(&self) -> u64 {
        if self.extended_l2 {
            self.cluster_size() >> 5
        } else {
            self.cluster_size()
        }
    }

    /// Bytes of an L2 entry.
    pub(super) fn entry_bytes(&self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }

    /// Bytes of the disk that one L2 table describes.
    pub(super) fn l2_covers(&self) -> u64 {
        let entries = self.cluster_size() >> self.entry_bytes().trailing_zeros();
        entries.saturating_mul(self.cluster_size())
    }

    /// Checks that `l1` describes the whole of its disk and lies within a file of `file_len`.
    pub(super) fn check_l1(&self, l1: L1, file_len: u64) -> Result<()> {
        let error = || Error::corrupt("qcow2 L1 table").at(l1.offset);
        let needed = l1.disk_size.div_ceil(self.l2_covers().max(1));
        if l1.entries > MAX_L1_ENTRIES {
            let message = format!("{} entries; at most {MAX_L1_ENTRIES}", l1.entries);
            return Err(Error::limit("qcow2 L1 table", message));
        }
        if u64::from(l1.entries) < needed {
            let expected = format!("at least {needed} entries for {} bytes", l1.disk_size);
            return Err(error().expected(expected).found(l1.entries));
        }
        let end = u64::from(l1.entries)
            .saturating_mul(8)
            .checked_add(l1.offset);
        if end.is_none_or(|end| end > file_len) {
            return Err(error().expected("a table within the file"));
        }
        Ok(())
    }
}

/// Reads the header from the first bytes of a file of `file_len` bytes.
fn parse(bytes: &[u8], file_len: u64) -> Result<Header> {
    let f = Fields::new("qcow2 header", 0, bytes);
    let magic = f.array::<4>(0)?;
    if magic != MAGIC {
        return Err(f.corrupt(0).expected("QFI\\xfb"));
    }
    let version = f.be32(4)?;
    let unsupported = |message: String| Err(Error::unsupported("qcow2 image", message));
    let (incompatible, length) = match version {
        2 => (0, V2_LENGTH),
        3 => (f.be64(72)?, usize_of(u64::from(f.be32(100)?))),
        other => return unsupported(format!("version {other}")),
    };
    if version == 3 && (length < V3_LENGTH || length > bytes.len()) {
        return Err(f
            .corrupt(100)
            .expected("a length of 104 or more")
            .found(length));
    }
    if let Some(bit) = (0..64u32).find(|bit| incompatible & !INCOMPATIBLE_KNOWN & (1 << bit) != 0) {
        return unsupported(format!("incompatible feature bit {bit}"));
    }
    match f.be32(32)? {
        0 => {}
        1 => return unsupported("the image is encrypted (AES)".into()),
        2 => return unsupported("the image is encrypted (LUKS)".into()),
        other => return unsupported(format!("encryption method {other}")),
    }
    let cluster_bits = f.be32(20)?;
    let extended_l2 = incompatible & INCOMPATIBLE_EXTENDED_L2 != 0;
    let least = if extended_l2 { 14 } else { 9 };
    if !(least..=21).contains(&cluster_bits) {
        let error = f.corrupt(20).expected(format_args!("{least} to 21"));
        return Err(error.found(cluster_bits));
    }
    let compression_type = if length > V3_LENGTH {
        f.u8(V3_LENGTH)?
    } else {
        0
    };
    let compression = match compression_type {
        0 => Compression::Deflate,
        1 if incompatible & INCOMPATIBLE_COMPRESSION != 0 => Compression::Zstd,
        other => return unsupported(format!("compression type {other}")),
    };
    let extensions = extensions(&f, length)?;
    let header = Header {
        version,
        cluster_bits,
        l1: L1 {
            offset: f.be64(40)?,
            entries: f.be32(36)?,
            disk_size: f.be64(24)?,
        },
        nb_snapshots: f.be32(60)?.min(MAX_SNAPSHOTS),
        snapshots_offset: f.be64(64)?,
        backing_file: backing_file(&f)?,
        backing_format: extensions.backing_format,
        dirty: incompatible & INCOMPATIBLE_DIRTY != 0,
        corrupt: incompatible & INCOMPATIBLE_CORRUPT != 0,
        data_file: (incompatible & INCOMPATIBLE_DATA_FILE != 0).then_some(extensions.data_file),
        compression,
        extended_l2,
        bitmaps: extensions.bitmaps,
        bitmaps_are_kept: version >= 3 && f.be64(88)? & AUTOCLEAR_BITMAPS != 0,
    };
    header.check_l1(header.l1, file_len)?;
    Ok(header)
}

fn backing_file(f: &Fields<'_>) -> Result<Option<PathBuf>> {
    let (offset, length) = (f.be64(8)?, f.be32(16)?);
    if offset == 0 || length == 0 {
        return Ok(None);
    }
    if length > MAX_BACKING_NAME {
        let error = f
            .corrupt(16)
            .expected(format_args!("at most {MAX_BACKING_NAME}"));
        return Err(error.found(length));
    }
    let name = f.bytes(usize_of(offset), usize_of(u64::from(length)))?;
    Ok(Some(path(name)))
}

/// A name as the file system knows it, which need not be text.
fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(without_zeros(bytes)))
}

fn without_zeros(mut bytes: &[u8]) -> &[u8] {
    while let Some(shorter) = bytes.strip_suffix(&[0]) {
        bytes = shorter;
    }
    bytes
}

#[derive(Default)]
struct Extensions {
    backing_format: Option<String>,
    data_file: Option<PathBuf>,
    bitmaps: Option<Directory>,
}

/// Extensions follow the header: type u32, length u32, data padded to 8 bytes, up to type 0.
fn extensions(f: &Fields<'_>, mut at: usize) -> Result<Extensions> {
    let mut found = Extensions::default();
    // They end before the backing file name at the latest.
    let backing = usize_of(f.be64(8)?);
    let end = if backing == 0 {
        f.len()
    } else {
        backing.min(f.len())
    };
    while at.saturating_add(8) <= end {
        let (kind, length) = (
            f.be32(at)?,
            usize_of(u64::from(f.be32(at.saturating_add(4))?)),
        );
        at = at.saturating_add(8);
        match kind {
            EXTENSION_END => break,
            EXTENSION_BACKING_FORMAT => {
                let name = String::from_utf8_lossy(without_zeros(f.bytes(at, length)?));
                found.backing_format = Some(name.into_owned());
            }
            EXTENSION_DATA_FILE => found.data_file = Some(path(f.bytes(at, length)?)),
            EXTENSION_BITMAPS => {
                let of = f.sub("qcow2 bitmaps extension", at, 24)?;
                found.bitmaps = Some(Directory {
                    count: of.be32(0)?,
                    bytes: of.be64(8)?,
                    offset: of.be64(16)?,
                });
            }
            _ => {}
        }
        at = at.saturating_add(length.checked_next_multiple_of(8).unwrap_or(length));
    }
    Ok(found)
}
