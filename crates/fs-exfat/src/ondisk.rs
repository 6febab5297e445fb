//! What lies on the disk, as Microsoft's "exFAT file system specification" (revision 1.00) has it,
//! with its names of fields.

use hexz_clusters::{Heap, TablePlace};
use hexz_ondisk::{Fields, read};
use hexz_resolve::{ByteRange, ReadAt, Result};

/// Bytes of the boot sector that are looked at.
pub(crate) const BOOT: usize = 512;
/// Bytes 3 to 10 of the boot sector.
pub(crate) const NAME: &[u8] = b"EXFAT   ";
/// Sectors of a boot region; a second one lies behind the first.
pub(crate) const REGION: u64 = 12;

/// Types of directory entries, with the bit that says that they are in use.
pub(crate) mod entry_type {
    pub(crate) const END: u8 = 0x00;
    pub(crate) const IN_USE: u8 = 0x80;
    pub(crate) const SECONDARY: u8 = 0x40;
    pub(crate) const BENIGN: u8 = 0x20;
    pub(crate) const ALLOCATION_BITMAP: u8 = 0x81;
    pub(crate) const UP_CASE_TABLE: u8 = 0x82;
    pub(crate) const VOLUME_LABEL: u8 = 0x83;
    pub(crate) const FILE: u8 = 0x85;
    pub(crate) const STREAM_EXTENSION: u8 = 0xC0;
    pub(crate) const FILE_NAME: u8 = 0xC1;
}

/// The fields of the boot sector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boot {
    pub(crate) sector: u64,
    /// Bytes of the volume.
    pub(crate) size: u64,
    /// The first table; a second one lies behind it where there are two.
    pub(crate) table: ByteRange,
    pub(crate) number_of_fats: u8,
    pub(crate) heap: Heap,
    pub(crate) first_cluster_of_root_directory: u32,
    pub(crate) volume_serial_number: u32,
    pub(crate) volume_flags: u16,
}

impl Boot {
    /// Reads and checks the boot sector, or its backup where the first one makes no sense; says
    /// which it was.
    pub(crate) fn read(volume: &dyn ReadAt) -> Result<(Self, bool)> {
        let first = read(volume, "boot sector", 0, BOOT)
            .and_then(|bytes| Self::parse(&Fields::new("boot sector", 0, &bytes)));
        let error = match first {
            Ok(boot) => return Ok((boot, false)),
            Err(error) => error,
        };
        let backup = (9..=12u8).find_map(|shift| {
            let place = Self::backup(shift);
            let bytes = read(volume, "backup boot sector", place, BOOT).ok()?;
            let fields = Fields::new("backup boot sector", place, &bytes);
            Self::parse(&fields).ok().filter(|b| b.sector == 1 << shift)
        });
        backup.map(|boot| (boot, true)).ok_or(error)
    }

    /// Where the backup lies when sectors have `1 << shift` bytes.
    pub(crate) const fn backup(shift: u8) -> u64 {
        REGION << shift
    }

    /// The fields, when they agree with each other.
    pub(crate) fn parse(fields: &Fields<'_>) -> Result<Self> {
        if fields.bytes(3, NAME.len())? != NAME {
            return Err(fields.corrupt(3).message("no exFAT name"));
        }
        if fields.bytes(510, 2)? != [0x55, 0xAA] {
            return Err(fields.corrupt(510).message("no signature 55 AA"));
        }
        // Where a FAT has its fields, so that no one takes this for one.
        if fields.bytes(11, 53)?.iter().any(|byte| *byte != 0) {
            return Err(fields
                .corrupt(11)
                .message("53 bytes that must be zero are not"));
        }
        let (sector_shift, cluster_shift) = (fields.u8(108)?, fields.u8(109)?);
        if !(9..=12).contains(&sector_shift) {
            let error = fields
                .corrupt(108)
                .expected("a BytesPerSectorShift of 9 to 12");
            return Err(error.found(sector_shift));
        }
        if cluster_shift > 25u8.saturating_sub(sector_shift) {
            let error = fields.corrupt(109).expected("clusters of 32 MiB at most");
            return Err(error.found(format_args!("a SectorsPerClusterShift of {cluster_shift}")));
        }
        let number_of_fats = fields.u8(110)?;
        if !(1..=2).contains(&number_of_fats) {
            return Err(fields
                .corrupt(110)
                .expected("1 or 2 tables")
                .found(number_of_fats));
        }
        let sector = 1u64 << sector_shift;
        let cluster = sector << cluster_shift;
        let sectors =
            |at: usize| -> Result<u64> { Ok(u64::from(fields.le32(at)?).saturating_mul(sector)) };
        let size = fields.le64(72)?.checked_mul(sector);
        let size = size.ok_or_else(|| fields.corrupt(72).message("a length beyond 64 bits"))?;
        let (fat, fat_length, heap_at) = (sectors(80)?, sectors(84)?, sectors(88)?);
        let fats = u64::from(number_of_fats).saturating_mul(fat_length);
        let regions = REGION.saturating_mul(2).saturating_mul(sector);
        if fat < regions || fat_length == 0 {
            let error = fields
                .corrupt(80)
                .expected("a table behind the boot regions");
            return Err(error.found(format_args!("{fat_length} bytes at {fat}")));
        }
        let count = fields.le32(92)?;
        let heap = Heap::new(heap_at, cluster, count);
        let heap =
            heap.filter(|heap| heap_at >= fat.saturating_add(fats) && heap.bytes().end() <= size);
        let Some(heap) = heap.filter(|_| (1..=0xFFFF_FFF5).contains(&count)) else {
            let error = fields.corrupt(88).expected(format_args!(
                "clusters between the tables and the end of the volume at {size}"
            ));
            return Err(error.found(format_args!("{count} of {cluster} bytes at {heap_at}")));
        };
        if u64::from(heap.end()).saturating_mul(4) > fat_length {
            let error = fields
                .corrupt(84)
                .expected(format_args!("entries for {count} clusters"));
            return Err(error.found(format_args!("{fat_length} bytes")));
        }
        Ok(Self {
            sector,
            size,
            table: ByteRange::new(fat, fat.saturating_add(fat_length)),
            number_of_fats,
            heap,
            first_cluster_of_root_directory: fields.le32(96)?,
            volume_serial_number: fields.le32(100)?,
            volume_flags: fields.le16(106)?,
        })
    }

    /// Which of the tables, and of the bitmaps, counts: 0 or 1.
    pub(crate) const fn active(&self) -> u8 {
        match self.volume_flags & 1 != 0 && self.number_of_fats > 1 {
            true => 1,
            false => 0,
        }
    }

    /// Whether the volume was in use when it was last written.
    pub(crate) const fn is_dirty(&self) -> bool {
        self.volume_flags & 2 != 0
    }

    /// Table `number`.
    pub(crate) fn table_bytes(&self, number: u8) -> ByteRange {
        let by = u64::from(number).saturating_mul(self.table.len());
        self.table.moved_up(by).unwrap_or(self.table)
    }

    /// Where the table that counts lies.
    pub(crate) fn place(&self) -> TablePlace {
        TablePlace {
            start: self.table_bytes(self.active()).start(),
            bits: 32,
            entries: self.heap.end(),
        }
    }
}

/// The checksum of the first eleven sectors of a boot region. Three bytes, which change while a
/// volume is in use, do not count.
pub(crate) fn boot_checksum(sectors: &[u8]) -> u32 {
    let counted = sectors.iter().enumerate();
    counted
        .filter(|(at, _)| !matches!(at, 106 | 107 | 112))
        .fold(0u32, |sum, (_, byte)| {
            sum.rotate_right(1).wrapping_add(u32::from(*byte))
        })
}

/// The checksum of a set of directory entries, but for the field that has it.
pub(crate) fn set_checksum(entries: &[u8]) -> u16 {
    let counted = entries.iter().enumerate();
    counted
        .filter(|(at, _)| !matches!(at, 2 | 3))
        .fold(0u16, |sum, (_, byte)| {
            sum.rotate_right(1).wrapping_add(u16::from(*byte))
        })
}
