//! The header of a Parallels image; all numbers are little-endian.
//!
//! Specification: <https://www.qemu.org/docs/master/interop/parallels.html>

use hexz_ondisk::{Fields, read};
use hexz_resolve::{Error, ReadAt, Result};

/// Entries of the table count sectors.
const OLD_MAGIC: &[u8; 16] = b"WithoutFreeSpace";
/// Entries of the table count clusters.
const EXTENDED_MAGIC: &[u8; 16] = b"WithouFreSpacExt";
pub(crate) const MAGICS: [&[u8]; 2] = [OLD_MAGIC, EXTENDED_MAGIC];

/// Where the block allocation table begins.
pub(super) const HEADER: usize = 64;
pub(super) const SECTOR: u64 = 512;
/// `in_use` while a program has the image open for writing.
const IN_USE: u32 = 0x746F_6E59;
/// Sectors of a cluster that qemu opens, at most.
const MAX_TRACKS: u32 = u32::MAX / 2 / 513;

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) disk_size: u64,
    /// Bytes of a cluster.
    pub(super) cluster: u64,
    /// Bytes that an entry of the table counts.
    pub(super) entry_unit: u64,
    pub(super) bat_entries: u64,
    pub(super) in_use: bool,
}

impl Header {
    pub(super) fn read(file: &dyn ReadAt) -> Result<Self> {
        let bytes = read(file, "parallels header", 0, HEADER)?;
        let f = Fields::new("parallels header", 0, &bytes);
        let extended = f.bytes(0, 16)? == EXTENDED_MAGIC;
        let version = f.le32(16)?;
        if version != 2 {
            let text = format!("version {version}");
            return Err(Error::unsupported("parallels header", text).at(16));
        }
        let tracks = f.le32(28)?;
        if !(1..=MAX_TRACKS).contains(&tracks) {
            let error = f
                .corrupt(28)
                .expected(format_args!("1 to {MAX_TRACKS} sectors"));
            return Err(error.found(tracks));
        }
        let cluster = u64::from(tracks).saturating_mul(SECTOR);
        // The old form has 32 bits; what is behind them may hold anything.
        let sectors = match extended {
            true => f.le64(36)?,
            false => u64::from(f.le32(36)?),
        };
        let disk_size = sectors.checked_mul(SECTOR);
        let header = Self {
            disk_size: disk_size.ok_or_else(|| f.corrupt(36).found(sectors))?,
            cluster,
            entry_unit: if extended { cluster } else { SECTOR },
            bat_entries: u64::from(f.le32(32)?),
            in_use: f.le32(44)? == IN_USE,
        };
        let needed = header.disk_size.div_ceil(cluster);
        if header.bat_entries < needed {
            let error = f.corrupt(32).expected(format_args!("{needed} entries"));
            return Err(error.found(header.bat_entries));
        }
        Ok(header)
    }
}
