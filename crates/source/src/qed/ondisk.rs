//! The header of a QED image; all numbers are little-endian.
//!
//! Specification: <https://www.qemu.org/docs/master/interop/qed_spec.html>

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use hexz_ondisk::{Fields, read};
use hexz_resolve::{Error, ReadAt, Result};

use crate::num::usize_of;

/// What an image begins with.
pub(crate) const MAGIC: [u8; 4] = *b"QED\0";

const HEADER: usize = 64;
const BACKING_FILE: u64 = 1;
/// The image was not closed: clusters may be leaked. Its data are right.
const NEED_CHECK: u64 = 2;
const BACKING_FORMAT_NO_PROBE: u64 = 4;
const KNOWN: u64 = BACKING_FILE | NEED_CHECK | BACKING_FORMAT_NO_PROBE;
const MAX_BACKING_NAME: u32 = 1023;

#[derive(Clone, Debug)]
pub(super) struct Header {
    /// Bytes of a cluster: a power of two.
    pub(super) cluster_size: u64,
    /// Bytes of a table of either level.
    pub(super) table_bytes: u64,
    pub(super) l1_table_offset: u64,
    pub(super) image_size: u64,
    pub(super) backing_file: Option<PathBuf>,
    pub(super) backing_is_raw: bool,
}

impl Header {
    pub(super) fn read(file: &dyn ReadAt) -> Result<Self> {
        let bytes = read(file, "qed header", 0, HEADER)?;
        let f = Fields::new("qed header", 0, &bytes);
        let features = f.le64(16)?;
        if features & !KNOWN != 0 {
            let text = format!("feature bits {:#x}", features & !KNOWN);
            return Err(Error::unsupported("qed header", text).at(16));
        }
        let (cluster_size, table_size) = (f.le32(4)?, f.le32(8)?);
        if !cluster_size.is_power_of_two() || !(1 << 12..=1 << 26).contains(&cluster_size) {
            let error = f.corrupt(4).expected("a power of two, 4 KiB to 64 MiB");
            return Err(error.found(cluster_size));
        }
        if !table_size.is_power_of_two() || table_size > 16 {
            let error = f.corrupt(8).expected("1, 2, 4, 8 or 16 clusters");
            return Err(error.found(table_size));
        }
        let cluster_size = u64::from(cluster_size);
        let header = Self {
            cluster_size,
            table_bytes: cluster_size.saturating_mul(u64::from(table_size)),
            l1_table_offset: f.le64(40)?,
            image_size: f.le64(48)?,
            backing_file: match features & BACKING_FILE {
                0 => None,
                _ => Some(backing_file(file, &f)?),
            },
            backing_is_raw: features & BACKING_FORMAT_NO_PROBE != 0,
        };
        let most = header.covers(header.covers(cluster_size));
        if header.image_size > most {
            let error = f.corrupt(48).expected(format_args!("at most {most} bytes"));
            return Err(error.found(header.image_size));
        }
        Ok(header)
    }

    /// Bytes of the disk that a table covers whose entries cover `each`.
    pub(super) fn covers(&self, each: u64) -> u64 {
        // Neither is over 2^30; the top level of the largest does not fit 64 bits, nor a disk.
        (self.table_bytes >> 3).saturating_mul(each)
    }
}

fn backing_file(file: &dyn ReadAt, f: &Fields<'_>) -> Result<PathBuf> {
    let (offset, length) = (f.le32(56)?, f.le32(60)?);
    if length == 0 || length > MAX_BACKING_NAME {
        let error = f.corrupt(60).expected("1 to 1023 bytes");
        return Err(error.found(length));
    }
    let length = usize_of(u64::from(length));
    let name = read(file, "qed backing file name", u64::from(offset), length)?;
    Ok(PathBuf::from(OsStr::from_bytes(&name)))
}
