//! Headers, region table and metadata, as far as a reader needs them. See [MS-VHDX]:
//! <https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx>.

use hexz_ondisk::{Fields, Guid, read};
use hexz_resolve::{ByteRange, Error, ReadAt, Result};

use crate::num::usize_of;

pub(super) const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;
/// Where the two copies lie.
const HEADERS: [u64; 2] = [64 * KIB, 128 * KIB];
const REGION_TABLES: [u64; 2] = [192 * KIB, 256 * KIB];
const HEADER_BYTES: usize = 4096;
const TABLE_BYTES: usize = 64 << 10;
/// As many entries as a table has room for.
const MAX_ENTRIES: u32 = 2047;
const MAX_DISK: u64 = 64 << 40;

const BAT: Guid = guid(0x2DC2_7766_F623_4200_9D64_115E_9BFD_4A08);
const METADATA: Guid = guid(0x8B7C_A206_4790_4B9A_B8FE_575F_050F_886E);

const FILE_PARAMETERS: Guid = guid(0xCAA1_6737_FA36_4D43_B3B6_33F0_AA44_E76B);
const VIRTUAL_DISK_SIZE: Guid = guid(0x2FA5_4224_CD1B_4876_B211_5DBE_D83B_F4B8);
const LOGICAL_SECTOR_SIZE: Guid = guid(0x8141_BF1D_A96F_4709_BA47_F233_A8FA_AB5F);
const PARENT_LOCATOR: Guid = guid(0xA8D3_5F2D_B30B_454D_ABF7_D3D8_4834_AB0C);
/// Needed by a guest only.
const OTHERS: [Guid; 2] = [
    // PhysicalSectorSize
    guid(0xCDA3_48C7_445D_4471_9CC9_E988_5251_C556),
    // VirtualDiskId
    guid(0xBECA_12AB_B2E6_4523_93EF_C309_E000_C746),
];

const fn guid(text: u128) -> Guid {
    Guid::from_bytes(text.to_be_bytes())
}

/// What the disk is, and where its block allocation table lies.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) disk_size: u64,
    pub(super) block_size: u64,
    /// Payload blocks after whose entries that of a sector bitmap follows.
    pub(super) chunk_ratio: u64,
    /// Where the table begins.
    pub(super) bat: u64,
    /// Bytes of the sectors that a sector bitmap has a bit for.
    pub(super) sector_size: u64,
    /// Where the parent locator of a differencing disk lies.
    pub(super) parent: Option<ByteRange>,
}

impl Layout {
    /// Reads it from a file whose log was replayed.
    pub(super) fn read(file: &dyn ReadAt) -> Result<Self> {
        let regions = Regions::read(file)?;
        let metadata = Metadata::read(file, regions.metadata)?;
        let chunk = (metadata.sector_size << 23).checked_div(metadata.block_size);
        let chunk_ratio = chunk.unwrap_or(0).max(1);
        let blocks = metadata.disk_size.div_ceil(metadata.block_size.max(1));
        // After each chunk is the entry of its sector bitmap; a disk without a parent needs none
        // after the last.
        let bitmaps = match metadata.parent {
            Some(_) => blocks.div_ceil(chunk_ratio),
            None => blocks
                .saturating_sub(1)
                .checked_div(chunk_ratio)
                .unwrap_or(0),
        };
        let entries = blocks.saturating_add(bitmaps);
        if regions.bat.len() < entries.saturating_mul(8) {
            return Err(Error::corrupt("vhdx block allocation table")
                .at(regions.bat.start())
                .expected(format_args!("{entries} entries"))
                .found(format_args!("{} bytes", regions.bat.len())));
        }
        Ok(Self {
            disk_size: metadata.disk_size,
            block_size: metadata.block_size,
            chunk_ratio,
            bat: regions.bat.start(),
            sector_size: metadata.sector_size,
            parent: metadata.parent,
        })
    }
}

/// The bytes of a structure, if its signature and checksum hold.
pub(super) fn checked<'a>(
    structure: &'static str,
    signature: &[u8],
    at: u64,
    bytes: &'a mut [u8],
) -> Option<Fields<'a>> {
    let stored = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let signed = bytes.starts_with(signature);
    // It was taken with zeros in its own place.
    bytes.get_mut(4..8)?.fill(0);
    let sound = signed && crc32c::crc32c(bytes) == stored;
    sound.then(|| Fields::new(structure, at, bytes))
}

/// The newer one of the two headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    sequence_number: u64,
    /// Another one each time the disk's content changes.
    pub(super) data_write_guid: Guid,
    /// Not nil where the log is to be replayed.
    pub(super) log_guid: Guid,
    pub(super) log: ByteRange,
}

impl Header {
    pub(super) fn read(file: &dyn ReadAt) -> Result<Self> {
        let mut newest: Option<(Self, u64, u16)> = None;
        for at in HEADERS {
            let mut bytes = read(file, "vhdx header", at, HEADER_BYTES)?;
            let Some(header) = checked("vhdx header", b"head", at, &mut bytes) else {
                continue;
            };
            let (length, offset) = (header.le32(68)?, header.le64(72)?);
            let found = Self {
                sequence_number: header.le64(8)?,
                data_write_guid: Guid::from_mixed(header.array(32)?),
                log_guid: Guid::from_mixed(header.array(48)?),
                log: ByteRange::at(offset, u64::from(length)).unwrap_or_default(),
            };
            let newer = newest
                .as_ref()
                .is_none_or(|(newest, ..)| newest.sequence_number < found.sequence_number);
            if newer {
                newest = Some((found, at, header.le16(66)?));
            }
        }
        let Some((header, at, version)) = newest else {
            return Err(Error::corrupt("vhdx header")
                .at(64 * KIB)
                .message("none of the two is sound"));
        };
        if version != 1 {
            let message = format!("version {version}");
            return Err(Error::unsupported("vhdx header", message).at(at));
        }
        Ok(header)
    }
}

struct Regions {
    bat: ByteRange,
    metadata: ByteRange,
}

impl Regions {
    fn read(file: &dyn ReadAt) -> Result<Self> {
        for at in REGION_TABLES {
            let mut bytes = read(file, "vhdx region table", at, TABLE_BYTES)?;
            if let Some(table) = checked("vhdx region table", b"regi", at, &mut bytes) {
                return Self::parse(table, file.len());
            }
        }
        let wrong = Error::corrupt("vhdx region table").at(192 * KIB);
        Err(wrong.message("none of the two is sound"))
    }

    fn parse(table: Fields<'_>, file_size: u64) -> Result<Self> {
        let (mut bat, mut metadata) = (None, None);
        for entry in entries(table, table.le32(8)?, 16)? {
            let region = match Guid::from_mixed(entry.array(0)?) {
                BAT => &mut bat,
                METADATA => &mut metadata,
                other if entry.le32(28)? & 1 != 0 => {
                    let message = format!("a region that is required and not known: {other}");
                    let error = Error::unsupported("vhdx region table", message);
                    return Err(error.at(entry.offset()));
                }
                _ => continue,
            };
            let range = ByteRange::at(entry.le64(16)?, u64::from(entry.le32(24)?));
            // Before the first MiB are the headers.
            let within = range.filter(|r| r.start() >= MIB && r.end() <= file_size);
            *region = Some(within.ok_or_else(|| {
                let wrong = entry.corrupt(16).message("a region outside the file");
                wrong.expected(format_args!("within {MIB} to {file_size}"))
            })?);
        }
        let missing = |what: &str| table.corrupt(0).message(format!("no region of {what}"));
        Ok(Self {
            bat: bat.ok_or_else(|| missing("the block allocation table"))?,
            metadata: metadata.ok_or_else(|| missing("metadata"))?,
        })
    }
}

/// The entries of a table, each of 32 bytes, from byte `first` on.
fn entries<'a>(
    table: Fields<'a>,
    count: u32,
    first: usize,
) -> Result<impl Iterator<Item = Fields<'a>>> {
    if count > MAX_ENTRIES {
        return Err(table.corrupt(8).message("too many entries").found(count));
    }
    let (structure, offset) = (table.structure(), table.offset_of(first));
    let all = (0u64..)
        .step_by(32)
        .zip(table.rest(first)?.chunks_exact(32));
    let all = all.take(usize_of(u64::from(count)));
    Ok(all.map(move |(at, bytes)| Fields::new(structure, offset.saturating_add(at), bytes)))
}

struct Metadata {
    disk_size: u64,
    block_size: u64,
    sector_size: u64,
    parent: Option<ByteRange>,
}

impl Metadata {
    fn read(file: &dyn ReadAt, region: ByteRange) -> Result<Self> {
        let bytes = read(file, "vhdx metadata", region.start(), TABLE_BYTES)?;
        let table = Fields::new("vhdx metadata", region.start(), &bytes);
        if !bytes.starts_with(b"metadata") {
            return Err(table.corrupt(0).message("not a table of metadata"));
        }
        let (mut parameters, mut disk_size, mut sector_size) = (None, None, None);
        let mut locator = None;
        for entry in entries(table, u32::from(table.le16(10)?), 32)? {
            match Guid::from_mixed(entry.array(0)?) {
                FILE_PARAMETERS => parameters = Some(item(file, region, entry, 8)?),
                VIRTUAL_DISK_SIZE => disk_size = Some(item(file, region, entry, 8)?),
                LOGICAL_SECTOR_SIZE => sector_size = Some(item(file, region, entry, 4)?),
                PARENT_LOCATOR => locator = Some(place(region, entry, 20)?),
                other if entry.le32(24)? & 4 != 0 && !OTHERS.contains(&other) => {
                    let message = format!("metadata that is required and not known: {other}");
                    return Err(Error::unsupported("vhdx metadata", message).at(entry.offset()));
                }
                _ => {}
            }
        }
        let needed = |item: Option<u64>, what: &str| {
            item.ok_or_else(|| {
                table
                    .corrupt(0)
                    .message(format!("it does not say the {what}"))
            })
        };
        let parameters = needed(parameters, "size of a block")?;
        let has_parent = parameters >> 32 & 2 != 0;
        if has_parent && locator.is_none() {
            let message = "a differencing disk without a parent locator";
            return Err(table.corrupt(0).message(message));
        }
        let found = Self {
            disk_size: needed(disk_size, "size of the disk")?,
            block_size: parameters & u64::from(u32::MAX),
            sector_size: needed(sector_size, "size of a sector")?,
            parent: locator.filter(|_| has_parent),
        };
        let wrong = |what: &str, size| table.corrupt(0).message(what).found(size);
        if !found.block_size.is_power_of_two() || !(MIB..=256 * MIB).contains(&found.block_size) {
            return Err(wrong("a size of blocks that can't be", found.block_size));
        }
        if ![512, 4096].contains(&found.sector_size) {
            return Err(wrong("a size of sectors that can't be", found.sector_size));
        }
        let whole = found.disk_size.checked_rem(found.sector_size) == Some(0);
        if !whole || !(1..=MAX_DISK).contains(&found.disk_size) {
            return Err(wrong("a size of the disk that can't be", found.disk_size));
        }
        Ok(found)
    }
}

/// Where the item of `entry` lies, of `least` bytes or more.
fn place(region: ByteRange, entry: Fields<'_>, least: u64) -> Result<ByteRange> {
    let length = u64::from(entry.le32(20)?);
    let at = region.start().checked_add(u64::from(entry.le32(16)?));
    let range = at.and_then(|at| ByteRange::at(at, length));
    let within = range.filter(|range| range.end() <= region.end() && length >= least);
    within.ok_or_else(|| entry.corrupt(16).message("an item outside its region"))
}

/// The item of `entry`, a number of `length` bytes.
fn item(file: &dyn ReadAt, region: ByteRange, entry: Fields<'_>, length: u64) -> Result<u64> {
    let range = place(region, entry, length)?;
    let bytes = read(file, "vhdx metadata", range.start(), usize_of(length))?;
    let rising = bytes.iter().rev();
    Ok(rising.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
