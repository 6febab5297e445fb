//! Numbers and fixed structures of the format, named as in the specification:
//! <https://learn.microsoft.com/windows/win32/devnotes/master-file-table>,
//! <https://flatcap.github.io/linux-ntfs/ntfs/>.

use std::fmt;

use hexz_ondisk::Fields;
use hexz_resolve::{ByteRange, Claim, Error, FileKey, Result, Role};

/// OEM id of a boot sector, at byte 3.
pub(crate) const OEM_NTFS: &[u8; 8] = b"NTFS    ";
/// OEM id of a volume that BitLocker encrypts.
pub(crate) const OEM_BITLOCKER: &[u8; 8] = b"-FVE-FS-";
/// Where BitLocker To Go keeps its GUID, behind a FAT boot sector.
pub(crate) const TO_GO_OFFSET: u64 = 424;
/// That GUID: 4967d63b-2e29-4ad8-8399-f6a339e3d001.
pub(crate) const TO_GO_GUID: &[u8; 16] = &[
    0x3B, 0xD6, 0x67, 0x49, 0x29, 0x2E, 0xD8, 0x4A, 0x83, 0x99, 0xF6, 0xA3, 0x39, 0xE3, 0xD0, 0x01,
];

/// Attribute types.
pub(crate) mod kind {
    pub(crate) const STANDARD_INFORMATION: u32 = 0x10;
    pub(crate) const ATTRIBUTE_LIST: u32 = 0x20;
    pub(crate) const FILE_NAME: u32 = 0x30;
    pub(crate) const OBJECT_ID: u32 = 0x40;
    pub(crate) const SECURITY_DESCRIPTOR: u32 = 0x50;
    pub(crate) const VOLUME_NAME: u32 = 0x60;
    pub(crate) const VOLUME_INFORMATION: u32 = 0x70;
    pub(crate) const DATA: u32 = 0x80;
    pub(crate) const INDEX_ROOT: u32 = 0x90;
    pub(crate) const INDEX_ALLOCATION: u32 = 0xA0;
    pub(crate) const BITMAP: u32 = 0xB0;
    pub(crate) const REPARSE_POINT: u32 = 0xC0;
    pub(crate) const EA_INFORMATION: u32 = 0xD0;
    pub(crate) const EA: u32 = 0xE0;
    pub(crate) const LOGGED_UTILITY_STREAM: u32 = 0x100;
    pub(crate) const END: u32 = 0xFFFF_FFFF;
}

/// Flags of an attribute.
pub(crate) mod attribute_flags {
    pub(crate) const COMPRESSION_MASK: u16 = 0x00FF;
    pub(crate) const ENCRYPTED: u16 = 0x4000;
}

/// Flags of a file record.
pub(crate) mod record_flags {
    pub(crate) const IN_USE: u16 = 0x0001;
    pub(crate) const DIRECTORY: u16 = 0x0002;
}

/// `file_attributes` of `$STANDARD_INFORMATION` and `$FILE_NAME`.
pub(crate) mod file_attributes {
    pub(crate) const HIDDEN: u32 = 0x2;
    pub(crate) const SYSTEM: u32 = 0x4;
    pub(crate) const DIRECTORY_INDEX: u32 = 0x1000_0000;
    /// What a user sets: read-only, hidden, system, archive, temporary, compressed, offline, not
    /// indexed, encrypted, integrity, no scrub, pinned, unpinned.
    pub(crate) const VISIBLE: u32 = 0x001A_F927;
}

/// Names of attributes.
pub(crate) const I30: &[u8] = b"$I30";

/// File records with a fixed number.
pub(crate) mod number {
    pub(crate) const MFT: u64 = 0;
    pub(crate) const MFT_MIRR: u64 = 1;
    pub(crate) const LOG_FILE: u64 = 2;
    pub(crate) const VOLUME: u64 = 3;
    pub(crate) const ATTR_DEF: u64 = 4;
    pub(crate) const ROOT: u64 = 5;
    pub(crate) const BITMAP: u64 = 6;
    pub(crate) const BOOT: u64 = 7;
    pub(crate) const BAD_CLUS: u64 = 8;
    pub(crate) const SECURE: u64 = 9;
    pub(crate) const UP_CASE: u64 = 10;
    pub(crate) const EXTEND: u64 = 11;
    /// From here on files are no metadata (but for those below `$Extend`).
    pub(crate) const FIRST_USER: u64 = 24;
}

/// Bytes that one entry of an update sequence array protects, whatever the sector size.
pub(crate) const STRIDE: usize = 512;
/// Largest file record and index block that is read.
const MAX_RECORD: u64 = 64 << 10;
/// Largest cluster.
const MAX_CLUSTER: u64 = 2 << 20;

pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    let array = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*array))
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    let array = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*array))
}

pub(crate) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    let array = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*array))
}

/// `value` as a `usize`; what does not fit is as good as out of bounds.
pub(crate) fn size(value: impl TryInto<usize>) -> usize {
    value.try_into().unwrap_or(usize::MAX)
}

/// A length in memory as the length of a range.
pub(crate) fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// `MFT_REF`: 48 bits of record number, 16 of sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reference {
    pub(crate) number: u64,
    pub(crate) sequence: u16,
}

impl Reference {
    pub(crate) fn new(raw: u64) -> Self {
        let [.., low, high] = raw.to_le_bytes();
        Self {
            number: raw & 0xFFFF_FFFF_FFFF,
            sequence: u16::from_le_bytes([low, high]),
        }
    }

    pub(crate) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        le64(bytes, at).map(Self::new)
    }

    pub(crate) const fn key(self) -> FileKey {
        FileKey::new(self.number)
    }

    /// A claim of the file that it names.
    pub(crate) fn claim(self, range: ByteRange, role: Role) -> Claim {
        Claim::file(range, self.key(), role).generation(Some(self.sequence.into()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.sequence)
    }
}

/// What the boot sector says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Geometry {
    /// `bytes_per_sector`.
    pub(crate) sector: u64,
    /// `number_of_sectors`: without the one at the end that holds the copy of the boot sector.
    pub(crate) sectors: u64,
    /// Bytes of a cluster, a power of two.
    pub(crate) cluster: u64,
    /// Whole clusters of the volume.
    pub(crate) clusters: u64,
    /// Bytes of a file record.
    pub(crate) record: u64,
    pub(crate) mft_lcn: u64,
    pub(crate) mftmirr_lcn: u64,
    pub(crate) volume_serial_number: u64,
}

impl Geometry {
    /// Bytes of a boot sector that are looked at.
    pub(crate) const LENGTH: usize = 512;

    pub(crate) fn parse(boot: &Fields<'_>) -> Result<Self> {
        let wrong = |at: usize, expected: &str, found: u64| {
            Err(boot.corrupt(at).expected(expected).found(found))
        };
        if boot.bytes(3, 8)? != OEM_NTFS {
            return Err(boot.corrupt(3).expected("NTFS"));
        }
        let sector = u64::from(boot.le16(11)?);
        if !sector.is_power_of_two() || !(256..=4096).contains(&sector) {
            return wrong(11, "256 to 4096 bytes a sector", sector);
        }
        let per_cluster = sectors_per_cluster(boot.u8(13)?);
        let cluster = per_cluster.unwrap_or(0).saturating_mul(sector);
        if !cluster.is_power_of_two() || cluster > MAX_CLUSTER {
            return wrong(13, "clusters of up to 2 MiB", boot.u8(13)?.into());
        }
        // reserved_sectors, fats, root_entries, sectors and sectors_per_fat are FAT's.
        if boot.le16(14)? != 0 || boot.u8(16)? != 0 || boot.le16(22)? != 0 {
            return wrong(14, "no FAT", boot.u8(16)?.into());
        }
        let sectors = boot.le64(0x28)?;
        let bytes = sectors.checked_mul(sector).filter(|b| *b < 1 << 62);
        let clusters = bytes.and_then(|b| b.checked_div(cluster)).unwrap_or(0);
        if clusters == 0 {
            return wrong(0x28, "a number of sectors", sectors);
        }
        let record = record_size(boot.u8(0x40)?, cluster).unwrap_or(0);
        if !record.is_power_of_two() || !(512..=MAX_RECORD).contains(&record) {
            return wrong(0x40, "file records of 512 bytes to 64 KiB", record);
        }
        let (mft_lcn, mftmirr_lcn) = (boot.le64(0x30)?, boot.le64(0x38)?);
        if mft_lcn >= clusters && mftmirr_lcn >= clusters {
            return wrong(0x30, "the MFT within the volume", mft_lcn);
        }
        Ok(Self {
            sector,
            sectors,
            cluster,
            clusters,
            record,
            mft_lcn,
            mftmirr_lcn,
            volume_serial_number: boot.le64(0x48)?,
        })
    }

    /// Bytes up to the end of the last sector that the filesystem counts.
    pub(crate) fn end(&self) -> u64 {
        self.sectors.saturating_mul(self.sector)
    }

    /// Bytes of all whole clusters.
    pub(crate) fn clusters_end(&self) -> u64 {
        self.clusters.saturating_mul(self.cluster)
    }

    /// Where clusters lie that were checked to be within the volume.
    pub(crate) fn bytes(&self, lcn: u64, clusters: u64) -> ByteRange {
        let start = lcn.saturating_mul(self.cluster);
        ByteRange::new(
            start,
            start.saturating_add(clusters.saturating_mul(self.cluster)),
        )
    }

    /// First cluster that no file offset of 63 bits reaches.
    pub(crate) fn vcn_limit(&self) -> u64 {
        (1u64 << 62).checked_div(self.cluster).unwrap_or(0)
    }
}

/// Counts above 128 are negative powers of two.
fn sectors_per_cluster(raw: u8) -> Option<u64> {
    match raw {
        0..=128 => Some(raw.into()),
        _ => 1u64.checked_shl(u32::from(raw.wrapping_neg())),
    }
}

/// Clusters when positive, else a negative power of two of bytes.
fn record_size(raw: u8, cluster: u64) -> Option<u64> {
    match raw.cast_signed() {
        n if n > 0 => u64::try_from(n).ok()?.checked_mul(cluster),
        n => 1u64.checked_shl(n.unsigned_abs().into()),
    }
}

/// Puts back the two bytes that the update sequence number stands in for, at the end of each
/// [`STRIDE`].
pub(crate) fn apply_fixups(bytes: &mut [u8]) -> Result<(), &'static str> {
    let usa_ofs = size(le16(bytes, 4).ok_or("too short")?);
    let usa_count = size(le16(bytes, 6).ok_or("too short")?);
    let strides = bytes.len().checked_div(STRIDE).unwrap_or(0);
    if usa_count.checked_sub(1) != Some(strides) {
        return Err("an update sequence of another length");
    }
    let usa_end = usa_ofs.saturating_add(usa_count.saturating_mul(2));
    if usa_ofs < 8 || usa_end > STRIDE.saturating_sub(2) {
        return Err("an update sequence that is not in the first sector");
    }
    let (head, _) = bytes.split_at(usa_end);
    let mut usa = [0u8; STRIDE];
    let length = usa_count.saturating_mul(2);
    match (usa.get_mut(..length), head.get(usa_ofs..)) {
        (Some(to), Some(from)) => to.copy_from_slice(from),
        _ => return Err("an update sequence that is not in the first sector"),
    }
    let (usn, saved) = usa.split_at(2);
    for (stride, saved) in bytes.chunks_exact_mut(STRIDE).zip(saved.chunks_exact(2)) {
        let Some(last) = stride.last_chunk_mut::<2>() else {
            continue;
        };
        if last != usn {
            return Err("sectors of different writes");
        }
        last.copy_from_slice(saved);
    }
    Ok(())
}

/// A `Corrupt` error about what lies at `offset`.
pub(crate) fn corrupt(structure: &'static str, offset: u64, what: &str) -> Error {
    Error::corrupt(structure).at(offset).found(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(change: impl Fn(&mut [u8])) -> Result<Geometry> {
        let mut bytes = [0u8; 512];
        bytes[3..11].copy_from_slice(OEM_NTFS);
        bytes[11..13].copy_from_slice(&512u16.to_le_bytes());
        bytes[13] = 8;
        bytes[0x28..0x30].copy_from_slice(&16383u64.to_le_bytes());
        bytes[0x30] = 4;
        bytes[0x38] = 2;
        bytes[0x40] = 0xF6;
        bytes[0x44] = 1;
        change(&mut bytes);
        Geometry::parse(&Fields::new("boot sector", 0, &bytes))
    }

    #[test]
    fn small_numbers_are_counts_and_large_ones_negative_powers() {
        let plain = boot(|_| {}).unwrap();
        assert_eq!((plain.cluster, plain.record), (4096, 1024));
        assert_eq!(plain.clusters, 2047);
        // Windows: 512 << 12, and file records of one cluster.
        let large = boot(|b| {
            b[13] = 0xF4;
            b[0x28..0x30].copy_from_slice(&(1u64 << 24).to_le_bytes());
        });
        assert_eq!(large.unwrap().cluster, 2 << 20);
        assert_eq!(boot(|b| b[0x40] = 1).unwrap().record, 4096);
        assert_eq!(boot(|b| b[0x40] = 0xF4).unwrap().record, 4096);
        for (at, value) in [(13, 3), (13, 0xF0), (12, 3), (16, 2), (0x40, 0x80), (3, 0)] {
            assert!(boot(|b| b[at] = value).is_err(), "{at} {value}");
        }
    }

    #[test]
    fn a_torn_record_is_found() {
        let mut bytes = vec![0u8; 1024];
        bytes[4] = 48;
        bytes[6] = 3;
        bytes[48..54].copy_from_slice(&[7, 0, 1, 2, 3, 4]);
        bytes[510] = 7;
        bytes[1022] = 7;
        let mut torn = bytes.clone();
        assert_eq!(apply_fixups(&mut bytes), Ok(()));
        assert_eq!(
            (&bytes[510..512], &bytes[1022..]),
            (&[1, 2][..], &[3, 4][..])
        );
        torn[1022] = 6;
        assert!(apply_fixups(&mut torn).is_err());
        torn[6] = 4;
        assert!(apply_fixups(&mut torn).is_err());
    }
}
