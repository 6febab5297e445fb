//! The structures of a VHD; all numbers are big-endian.
//!
//! Specification: "Virtual Hard Disk Image Format Specification", version 1.0, Microsoft 2006.

use hexz_ondisk::{Fields, Guid};
use hexz_resolve::{Error, Result};

/// What a footer begins with.
pub(super) const COOKIE: [u8; 8] = *b"conectix";
/// Bytes of a footer.
pub(super) const FOOTER: usize = 512;
/// Bytes of a footer of Virtual PC before 2004, which lacks the last one.
pub(super) const SHORT_FOOTER: usize = 511;
/// Bytes of a sector, always.
pub(super) const SECTOR: u64 = 512;
/// Bytes of a dynamic disk header.
pub(super) const HEADER: usize = 1024;

const HEADER_COOKIE: [u8; 8] = *b"cxsparse";
const PARENT_UNICODE_NAME: usize = 64;
const PARENT_UNICODE_NAME_BYTES: usize = 512;
const PARENT_LOCATORS: usize = 576;
const PARENT_LOCATOR_BYTES: usize = 24;
/// The upper half of the version of either structure.
const MAJOR: u32 = 1;

/// Sectors of the largest geometry; larger disks say it as well.
const LARGEST_GEOMETRY: u64 = 65535 * 16 * 255;
/// Programs whose disks are as large as their geometry. All others are as large as
/// `current_size`, and round the geometry down.
const SIZED_BY_GEOMETRY: [[u8; 4]; 2] = [*b"vpc ", *b"qemu"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskType {
    Fixed,
    Dynamic,
    Differencing,
}

#[derive(Clone, Debug)]
pub(super) struct Footer {
    /// Where in the file the dynamic disk header lies.
    pub(super) data_offset: u64,
    creator_application: [u8; 4],
    /// Bytes.
    pub(super) current_size: u64,
    /// Cylinders times heads times sectors per track.
    geometry: u64,
    pub(super) disk_type: DiskType,
    pub(super) unique_id: Guid,
}

impl Footer {
    /// Bytes of the disk, in whole sectors, as qemu-img has it.
    pub(super) fn disk_size(&self) -> u64 {
        let by_geometry = SIZED_BY_GEOMETRY.contains(&self.creator_application)
            && (1..LARGEST_GEOMETRY).contains(&self.geometry);
        if by_geometry {
            self.geometry.saturating_mul(SECTOR)
        } else {
            self.current_size & !SECTOR.saturating_sub(1)
        }
    }
}

/// Reads the footer in `bytes`, which lie at `offset`; [`check_footer`] is for its checksum.
pub(super) fn footer(bytes: &[u8], offset: u64) -> Result<Footer> {
    let f = Fields::new("vhd footer", offset, bytes);
    if f.array(0)? != COOKIE {
        return Err(f.corrupt(0).expected("conectix"));
    }
    check_version(&f, 12)?;
    let disk_type = match f.be32(60)? {
        2 => DiskType::Fixed,
        3 => DiskType::Dynamic,
        4 => DiskType::Differencing,
        other => {
            let error = Error::unsupported("vhd footer", format!("disk type {other}"));
            return Err(error.at(f.offset_of(60)));
        }
    };
    let (cylinders, heads, sectors) = (f.be16(56)?, f.u8(58)?, f.u8(59)?);
    let tracks = u64::from(cylinders).saturating_mul(u64::from(heads));
    Ok(Footer {
        data_offset: f.be64(16)?,
        creator_application: f.array(28)?,
        current_size: f.be64(48)?,
        geometry: tracks.saturating_mul(u64::from(sectors)),
        disk_type,
        unique_id: Guid::from_bytes(f.array(68)?),
    })
}

/// Checks the checksum of the footer in `bytes`, which lie at `offset`.
pub(super) fn check_footer(bytes: &[u8], offset: u64) -> Result<()> {
    check_sum(&Fields::new("vhd footer", offset, bytes), 64)
}

/// The header of a disk that is dynamic or differencing.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// Where in the file the block allocation table lies.
    pub(super) table_offset: u64,
    pub(super) max_table_entries: u32,
    /// Bytes of a block, without its bitmap: a power of two.
    pub(super) block_size: u64,
    pub(super) parent_unique_id: Guid,
    /// UTF-16, big-endian, padded with zeros.
    pub(super) parent_unicode_name: Vec<u8>,
    pub(super) parent_locators: Vec<Locator>,
}

/// Where in the file a name of the parent lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locator {
    pub(super) platform_code: [u8; 4],
    /// Bytes.
    pub(super) platform_data_length: u32,
    pub(super) platform_data_offset: u64,
}

/// Reads the header in `bytes`, which lie at `offset`.
pub(super) fn header(bytes: &[u8], offset: u64) -> Result<Header> {
    let f = Fields::new("vhd dynamic disk header", offset, bytes);
    if f.array(0)? != HEADER_COOKIE {
        return Err(f.corrupt(0).expected("cxsparse"));
    }
    check_sum(&f, 36)?;
    check_version(&f, 24)?;
    let block_size = f.be32(32)?;
    if !block_size.is_power_of_two() || u64::from(block_size) < SECTOR {
        let error = f.corrupt(32).expected("a power of two, 512 or more");
        return Err(error.found(block_size));
    }
    let name = f.bytes(PARENT_UNICODE_NAME, PARENT_UNICODE_NAME_BYTES)?;
    Ok(Header {
        table_offset: f.be64(16)?,
        max_table_entries: f.be32(28)?,
        block_size: u64::from(block_size),
        parent_unique_id: Guid::from_bytes(f.array(40)?),
        parent_unicode_name: name.to_vec(),
        parent_locators: (0..8).map(|n| locator(&f, n)).collect::<Result<_>>()?,
    })
}

fn locator(f: &Fields<'_>, number: usize) -> Result<Locator> {
    let at = number.saturating_mul(PARENT_LOCATOR_BYTES);
    let at = at.saturating_add(PARENT_LOCATORS);
    let f = f.sub("vhd parent locator", at, PARENT_LOCATOR_BYTES)?;
    Ok(Locator {
        platform_code: f.array(0)?,
        platform_data_length: f.be32(8)?,
        platform_data_offset: f.be64(16)?,
    })
}

/// A checksum is the complement of the sum of all bytes but its own four.
fn check_sum(f: &Fields<'_>, at: usize) -> Result<()> {
    let sum = |bytes: &[u8]| {
        let each = bytes.iter().map(|byte| u32::from(*byte));
        each.fold(0, u32::wrapping_add)
    };
    let right = !sum(f.as_bytes()).wrapping_sub(sum(f.bytes(at, 4)?));
    let found = f.be32(at)?;
    if found == right {
        return Ok(());
    }
    let error = f
        .corrupt(at)
        .expected(format_args!("checksum {right:#010x}"));
    Err(error.found(format_args!("{found:#010x}")))
}

fn check_version(f: &Fields<'_>, at: usize) -> Result<()> {
    let version = f.be32(at)?;
    if version >> 16 == MAJOR {
        return Ok(());
    }
    let message = format!("version {}.{}", version >> 16, version & 0xFFFF);
    Err(Error::unsupported(f.structure(), message).at(f.offset_of(at)))
}
