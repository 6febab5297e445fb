//! Headers of files with grain tables, of three kinds: hosted ("Virtual Disk Format 1.1"), COWD
//! (ESX, the format's "VMFS sparse"), and seSparse (vSphere 6.5).

use hexz_ondisk::{Fields, read};
use hexz_resolve::{Error, ReadAt, Result};

/// Bytes of a sector: what everything is counted in.
pub(super) const SECTOR: u64 = 512;

const HEADER: usize = 512;
/// `SE_SPARSE_CONST_HEADER` and `…_VOLATILE_HEADER` of qemu's block/vmdk.c, which documents them.
const SE_MAGIC: u64 = 0xCAFE_BABE;
const SE_VOLATILE_MAGIC: u64 = 0xCAFE_CAFE;
const SE_VERSION: u64 = 0x2_0000_0001;
/// `gdOffset` of a file whose header is written at its end.
const GD_AT_END: u64 = u64::MAX;
/// Grains in use are of 64 KiB, some of 1 MiB. One is held in memory to be decompressed.
const MAX_GRAIN: u64 = 32 << 20;

/// How the entries of directory and tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entries {
    /// `u32` sectors.
    Sectors { packed: bool },
    /// `u64`: a kind, and a number of the table or grain, which lie from these bytes on.
    Numbered { tables: u64, grains: u64 },
}

impl Entries {
    /// Bytes of an entry.
    pub(super) const fn width(self) -> u64 {
        match self {
            Self::Sectors { .. } => 4,
            Self::Numbered { .. } => 8,
        }
    }
}

/// Where things are. In bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) capacity: u64,
    pub(super) grain: u64,
    pub(super) grains_per_table: u64,
    pub(super) directory: u64,
    pub(super) entries: Entries,
    /// The text within, where there is one: where, and how long.
    pub(super) descriptor: Option<(u64, u64)>,
}

impl Header {
    pub(super) fn read(file: &dyn ReadAt) -> Result<Self> {
        let bytes = read(file, "vmdk header", 0, HEADER)?;
        let fields = Fields::new("vmdk header", 0, &bytes);
        let header = if bytes.starts_with(b"KDMV") {
            hosted(file, fields)?
        } else if bytes.starts_with(b"COWD") {
            cowd(fields)?
        } else if fields.le64(0)? == SE_MAGIC {
            se_sparse(file, fields)?
        } else {
            return Err(fields.corrupt(0).message("not a file with grain tables"));
        };
        if header.capacity == 0 {
            return Err(Error::unsupported("vmdk header", "a capacity of 0"));
        }
        if header.grain == 0 || header.grain > MAX_GRAIN {
            return Err(Error::corrupt("vmdk header")
                .message("grains of a size that is not in use")
                .found(header.grain));
        }
        Ok(header)
    }

    /// Bytes of the disk that a table covers.
    pub(super) fn span(&self) -> u64 {
        self.grain.saturating_mul(self.grains_per_table)
    }
}

/// The number of sectors at byte `at`, in bytes.
fn sectors(fields: Fields<'_>, at: usize) -> Result<u64> {
    let sectors = fields.le64(at)?;
    sectors.checked_mul(SECTOR).ok_or_else(|| {
        fields
            .corrupt(at)
            .message("too many sectors")
            .found(sectors)
    })
}

fn sectors32(fields: Fields<'_>, at: usize) -> Result<u64> {
    Ok(u64::from(fields.le32(at)?).saturating_mul(SECTOR))
}

/// `SparseExtentHeader`
fn hosted(file: &dyn ReadAt, fields: Fields<'_>) -> Result<Header> {
    let version = fields.le32(4)?;
    if !(1..=3).contains(&version) {
        let message = format!("version {version}");
        return Err(Error::unsupported("vmdk header", message).at(4));
    }
    let flags = fields.le32(8)?;
    let (has_compressed, has_markers) = (flags & 1 << 16 != 0, flags & 1 << 17 != 0);
    let packed = match fields.le16(77)? {
        0 => false,
        1 if has_compressed && has_markers => true,
        other => {
            let message = format!("compression {other} with flags {flags:#x}");
            return Err(Error::unsupported("vmdk header", message).at(77));
        }
    };
    let grains_per_table = u64::from(fields.le32(44)?);
    if !(1..=512).contains(&grains_per_table) {
        let wrong = fields.corrupt(44).expected("1 to 512 grains of a table");
        return Err(wrong.found(grains_per_table));
    }
    let directory = match fields.le64(56)? {
        GD_AT_END => footer(file, fields)?,
        _ => sectors(fields, 56)?,
    };
    let (text, text_bytes) = (sectors(fields, 28)?, sectors(fields, 36)?);
    Ok(Header {
        capacity: sectors(fields, 12)?,
        grain: sectors(fields, 20)?,
        grains_per_table,
        directory,
        entries: Entries::Sectors { packed },
        descriptor: (text > 0 && text_bytes > 0).then_some((text, text_bytes)),
    })
}

/// Where the directory of a stream lies: its header is there once more, before the marker that
/// ends it.
fn footer(file: &dyn ReadAt, start: Fields<'_>) -> Result<u64> {
    let at = file.len().saturating_sub(SECTOR.saturating_mul(2));
    let bytes = read(file, "vmdk footer", at, HEADER)?;
    let fields = Fields::new("vmdk footer", at, &bytes);
    // Version, capacity and grain size are those of the header.
    let same = fields.bytes(0, 8)? == start.bytes(0, 8)?
        && fields.bytes(12, 16)? == start.bytes(12, 16)?;
    if !same || fields.le64(56)? == GD_AT_END {
        return Err(fields.corrupt(0).message("not the header once more"));
    }
    sectors(fields, 56)
}

/// `COWDisk_Header`
fn cowd(fields: Fields<'_>) -> Result<Header> {
    let version = fields.le32(4)?;
    if version != 1 {
        let message = format!("version {version}");
        return Err(Error::unsupported("vmdk header", message).at(4));
    }
    Ok(Header {
        capacity: sectors32(fields, 12)?,
        grain: sectors32(fields, 16)?,
        grains_per_table: 4096,
        directory: sectors32(fields, 20)?,
        entries: Entries::Sectors { packed: false },
        descriptor: None,
    })
}

fn se_sparse(file: &dyn ReadAt, fields: Fields<'_>) -> Result<Header> {
    for (at, what, known) in [
        (8, "version", SE_VERSION),
        (24, "grain size", 8),
        (32, "size of a grain table", 64),
        (40, "flags", 0),
    ] {
        let found = fields.le64(at)?;
        if found != known {
            let message = format!("seSparse with {what} {found:#x}");
            return Err(Error::unsupported("vmdk header", message).at(fields.offset_of(at)));
        }
    }
    let at = sectors(fields, 80)?;
    let bytes = read(file, "vmdk volatile header", at, HEADER)?;
    let volatile = Fields::new("vmdk volatile header", at, &bytes);
    if volatile.le64(0)? != SE_VOLATILE_MAGIC {
        return Err(volatile.corrupt(0).message("not a volatile header"));
    }
    if volatile.le64(24)? != 0 {
        let message = "its journal is to be replayed: open it once with what wrote it";
        return Err(Error::unsupported("vmdk volatile header", message).at(at));
    }
    Ok(Header {
        capacity: sectors(fields, 16)?,
        grain: 8 * SECTOR,
        grains_per_table: 4096,
        directory: sectors(fields, 128)?,
        entries: Entries::Numbered {
            tables: sectors(fields, 144)?,
            grains: sectors(fields, 192)?,
        },
        descriptor: None,
    })
}
