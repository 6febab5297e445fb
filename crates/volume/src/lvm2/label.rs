//! The label of a physical volume and the header behind it, in one of the first four sectors.
//!
//! <https://github.com/libyal/libvslvm/blob/main/documentation/Logical%20Volume%20Manager%20%28LVM%29%20format.asciidoc>

use hexz_ondisk::{Fields, to_usize};
use hexz_resolve::{ByteRange, Result};

pub(crate) const LABEL: &[u8; 8] = b"LABELONE";
const TYPE: &[u8; 8] = b"LVM2 001";
/// LVM2 counts in sectors of this size, whatever the disk has.
pub(crate) const SECTOR: usize = 512;
/// Sectors in which the label may be.
pub(crate) const SECTORS: u64 = 4;
/// Bytes of an UUID, in text without its dashes.
const UUID: usize = 32;
/// What the checksum starts with.
const INITIAL: u32 = 0xF597_A6CF;

/// The checksum of LVM2: CRC-32 with another start and without the final inversion.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new_with_initial(!INITIAL);
    sum.update(bytes);
    !sum.finalize()
}

/// What the label says.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    /// Where its sector lies.
    pub(crate) at: u64,
    pub(crate) checksum_good: bool,
    /// Without dashes.
    pub(crate) uuid: String,
    /// Metadata areas.
    pub(crate) metadata: Vec<ByteRange>,
    /// Areas kept for a boot loader.
    pub(crate) boot: Vec<ByteRange>,
}

impl Label {
    /// The label in `sector`, which lies at `at`; `None` where there is none.
    pub(crate) fn parse(sector: &[u8], at: u64) -> Option<Result<Self>> {
        if !sector.starts_with(LABEL) || sector.get(24..32) != Some(TYPE) {
            return None;
        }
        Some(Self::read(&Fields::new("LVM2 label", at, sector)))
    }

    fn read(fields: &Fields<'_>) -> Result<Self> {
        let stated = fields.le32(16)?;
        let checksum_good = checksum(fields.rest(20)?) == stated;
        let header = to_usize(fields.le32(20)?.into()).unwrap_or(usize::MAX);
        let uuid = fields.bytes(header, UUID)?;
        let mut at = header.saturating_add(UUID);
        // `device_size_xl`, the bytes of the device when it was made.
        at = at.saturating_add(8);
        // Where the extents lie is said once more in the metadata.
        areas(fields, &mut at)?;
        let metadata = areas(fields, &mut at)?;
        // `pv_header_extension` came later; what is there on older ones is zero.
        let version = fields.le32(at).unwrap_or(0);
        at = at.saturating_add(8);
        let boot = if version > 0 {
            areas(fields, &mut at).unwrap_or_default()
        } else {
            Vec::new()
        };
        Ok(Self {
            at: fields.offset(),
            checksum_good,
            uuid: String::from_utf8_lossy(uuid).into_owned(),
            metadata,
            boot,
        })
    }
}

/// A list of offsets and sizes, up to one whose offset is zero. It ends with the sector.
fn areas(fields: &Fields<'_>, at: &mut usize) -> Result<Vec<ByteRange>> {
    let mut areas = Vec::new();
    loop {
        let offset = fields.le64(*at)?;
        let size = fields.le64(at.saturating_add(8))?;
        *at = at.saturating_add(16);
        if offset == 0 {
            return Ok(areas);
        }
        let range = ByteRange::at(offset, size);
        areas.push(range.ok_or_else(|| fields.corrupt(at.saturating_sub(16)))?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_a_bitwise_crc() {
        let mut crc = INITIAL;
        for byte in b"123456789" {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(crc & 1));
            }
        }
        assert_eq!(checksum(b"123456789"), crc);
    }
}
