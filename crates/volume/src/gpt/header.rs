//! One copy of the GPT header.
//!
//! Specification: UEFI, "GPT Header",
//! <https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html>.

use std::io::Cursor;

use ::gpt::disk::LogicalBlockSize;
use ::gpt::header::{Header, read_header_from_arbitrary_device};
use hexz_ondisk::{Fields, to_usize};
use hexz_resolve::{ByteRange, Result};

pub(crate) const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Bytes of the header that have a meaning; `HeaderSize` is at least this.
const HEADER_SIZE: usize = 92;
/// `SizeOfPartitionEntry` that is read: the specification has 128 × 2^n, everyone writes 128.
const ENTRY_SIZES: std::ops::RangeInclusive<u32> = 128..=4096;
/// `NumberOfPartitionEntries` that is read; everyone writes 128.
const MAX_ENTRIES: u32 = 4096;

/// A header with the signature, at the place where it was found.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    /// Bytes of a sector.
    pub(crate) sector: u64,
    /// Sector it was read from.
    pub(crate) lba: u64,
    /// Its fields, as the `gpt` crate decodes them.
    pub(crate) header: Header,
    /// What is wrong with it; nothing when it is sound.
    pub(crate) faults: Vec<String>,
    /// Where its entries lie; `None` when that can't be, and they can't be read.
    pub(crate) entries: Option<ByteRange>,
}

impl Copy {
    /// The header in `bytes`, one whole sector; `None` without the signature.
    pub(crate) fn parse(bytes: &[u8], lba: u64, disk: u64) -> Option<Self> {
        if !bytes.starts_with(SIGNATURE) {
            return None;
        }
        let sector = u64::try_from(bytes.len()).ok()?;
        let fields = Fields::new("GPT header", lba.checked_mul(sector)?, bytes);
        let mut faults = Vec::new();
        let stated = fields.le32(16).ok()?;
        match checksum(&fields) {
            Ok(Some(sum)) if sum == stated => {}
            Ok(Some(sum)) => faults.push(format!(
                "its checksum is {stated:#010x}, and should be {sum:#010x}"
            )),
            _ => faults.push(format!(
                "its size {} is not in {HEADER_SIZE}..={}",
                fields.le32(12).ok()?,
                bytes.len()
            )),
        }
        let header = decode(&fields).ok()??;
        if header.current_lba != lba {
            faults.push(format!(
                "it says it is in sector {}, and is in {lba}",
                header.current_lba
            ));
        }
        let entries = entries(&header, sector, disk);
        if let Err(fault) = &entries {
            faults.push(fault.clone());
        }
        Some(Self {
            sector,
            lba,
            header,
            faults,
            entries: entries.ok(),
        })
    }

    /// Whether nothing is wrong with it.
    pub(crate) fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// Where it lies.
    pub(crate) fn range(&self) -> ByteRange {
        let start = self.lba.saturating_mul(self.sector);
        ByteRange::new(start, start.saturating_add(self.sector))
    }

    /// What is wrong with it, in one line.
    pub(crate) fn fault(&self) -> String {
        self.faults.join("; ")
    }
}

/// The checksum of the header, over `HeaderSize` bytes with its own field as zero; `None` when
/// that size can't be.
fn checksum(fields: &Fields<'_>) -> Result<Option<u32>> {
    let size = to_usize(fields.le32(12)?.into()).unwrap_or(usize::MAX);
    if size < HEADER_SIZE || size > fields.len() {
        return Ok(None);
    }
    let mut sum = crc32fast::Hasher::new();
    sum.update(fields.bytes(0, 16)?);
    sum.update(&[0; 4]);
    sum.update(fields.bytes(20, size.saturating_sub(20))?);
    Ok(Some(sum.finalize()))
}

/// The fields by the `gpt` crate, which takes the checksum over 92 bytes whatever `HeaderSize`
/// says and gives nothing where it differs; ours was checked before.
fn decode(fields: &Fields<'_>) -> Result<Option<Header>> {
    let mut bytes = fields.array::<HEADER_SIZE>(0)?;
    let sum_field = 16..20;
    if let Some(field) = bytes.get_mut(sum_field.clone()) {
        field.fill(0);
    }
    let sum = crc32fast::hash(&bytes).to_le_bytes();
    if let Some(field) = bytes.get_mut(sum_field) {
        field.copy_from_slice(&sum);
    }
    // It looks in the second sector of what it is given.
    let two_sectors = [[0; 512].as_slice(), &bytes].concat();
    let mut cursor = Cursor::new(two_sectors);
    Ok(read_header_from_arbitrary_device(&mut cursor, LogicalBlockSize::Lb512).ok())
}

/// Where the entries lie, when they can be read.
fn entries(header: &Header, sector: u64, disk: u64) -> Result<ByteRange, String> {
    let size = header.part_size;
    if !ENTRY_SIZES.contains(&size) || !size.is_multiple_of(8) {
        return Err(format!(
            "its entries have {size} bytes, which is no size to read"
        ));
    }
    if header.num_parts > MAX_ENTRIES {
        let n = header.num_parts;
        return Err(format!(
            "it has {n} entries; at most {MAX_ENTRIES} are read"
        ));
    }
    let length = u64::from(size).saturating_mul(header.num_parts.into());
    header
        .part_start
        .checked_mul(sector)
        .and_then(|start| ByteRange::at(start, length))
        .filter(|range| range.start() >= sector && range.end() <= disk)
        .ok_or_else(|| {
            let lba = header.part_start;
            format!("its entries in sector {lba}, {length} bytes, are not on the disk")
        })
}
