//! What lies on the disk, as Microsoft's "FAT: General Overview of On-Disk Format" (version 1.03)
//! and ECMA-107 specify it. Field names are those of the former.

use hexz_clusters::{Heap, Root, TablePlace};
use hexz_ondisk::{Fields, read};
use hexz_resolve::{ByteRange, Error, ReadAt, Result};

/// Bytes of the boot sector that are looked at.
pub(crate) const BOOT: usize = 512;
/// The attributes of a directory entry.
pub(crate) mod attr {
    /// Attributes that a user sees: read-only, hidden, system, archive.
    pub(crate) const SHOWN: u8 = 0x27;
    pub(crate) const VOLUME_ID: u8 = 0x08;
    pub(crate) const DIRECTORY: u8 = 0x10;
    /// A part of a long name.
    pub(crate) const LONG_NAME: u8 = 0x0F;
}
/// First byte of the name of an entry that is not in use any more.
pub(crate) const DELETED: u8 = 0xE5;

/// Which FAT it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fat12,
    Fat16,
    Fat32,
}

impl Kind {
    /// Bits of an entry of the table that count.
    pub(crate) const fn bits(self) -> u8 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 28,
        }
    }

    /// The name the report gives it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fat12 => "fat12",
            Self::Fat16 => "fat16",
            Self::Fat32 => "fat32",
        }
    }
}

/// A volume with fewer clusters is a FAT12.
const FAT12_CLUSTERS: u64 = 4085;
/// A volume without the fields of a FAT32 has fewer clusters.
const FAT16_CLUSTERS: u64 = 65525;
/// The largest count for which all numbers are below those with a meaning of their own.
const FAT32_CLUSTERS: u64 = 0x0FFF_FFF5;

/// The fields of the boot sector, and what follows from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boot {
    pub(crate) kind: Kind,
    pub(crate) sector: u64,
    /// Bytes of the volume.
    pub(crate) size: u64,
    pub(crate) reserved: ByteRange,
    /// All tables, which follow each other.
    pub(crate) tables: ByteRange,
    /// Bytes of one of them.
    pub(crate) table: u64,
    pub(crate) bpb_num_fats: u8,
    /// Which of them counts.
    pub(crate) active: u8,
    /// Whether `BPB_ExtFlags` names a table that there is not.
    pub(crate) active_is_wrong: bool,
    /// The root directory of a FAT12 or FAT16.
    pub(crate) fixed_root: ByteRange,
    pub(crate) bpb_root_clus: u32,
    pub(crate) heap: Heap,
    /// Clusters that the sectors would hold, and the table can't tell of.
    pub(crate) untold: u64,
    pub(crate) bpb_media: u8,
    /// Sector of the FSInfo, and that of the backup boot sector; none where there is none.
    pub(crate) bpb_fs_info: Option<u64>,
    pub(crate) bpb_bk_boot_sec: Option<u64>,
    /// Serial number, where the sector has an extended signature.
    pub(crate) bs_vol_id: Option<u32>,
    pub(crate) bs_vol_lab: [u8; 11],
    /// Whether the byte in which Linux and Windows note a volume in use says so.
    pub(crate) in_use: bool,
    /// Whether the sector ends with 55 AA.
    pub(crate) signed: bool,
}

impl Boot {
    /// Reads and checks the boot sector.
    pub(crate) fn read(volume: &dyn ReadAt) -> Result<Self> {
        let bytes = read(volume, "boot sector", 0, BOOT)?;
        Self::parse(&Fields::new("boot sector", 0, &bytes))
    }

    /// The fields, when they agree with each other.
    pub(crate) fn parse(fields: &Fields<'_>) -> Result<Self> {
        let sector = u64::from(fields.le16(11)?);
        if !matches!(sector, 512 | 1024 | 2048 | 4096) {
            return Err(wrong(fields, 11, "512 to 4096 bytes a sector", sector));
        }
        let per_cluster = u64::from(fields.u8(13)?);
        if !per_cluster.is_power_of_two() {
            return Err(wrong(
                fields,
                13,
                "a power of two of sectors a cluster",
                per_cluster,
            ));
        }
        let reserved = u64::from(fields.le16(14)?);
        if reserved == 0 {
            return Err(wrong(fields, 14, "a reserved sector", reserved));
        }
        let bpb_num_fats = fields.u8(16)?;
        if bpb_num_fats == 0 {
            return Err(wrong(fields, 16, "a table", 0));
        }
        let bpb_media = fields.u8(21)?;
        if !matches!(bpb_media, 0xF0 | 0xF8..) {
            return Err(wrong(
                fields,
                21,
                "0xF0 or 0xF8 to 0xFF as media",
                u64::from(bpb_media),
            ));
        }
        let root_entries = u64::from(fields.le16(17)?);
        let (small, large) = (fields.le16(19)?, fields.le32(32)?);
        let total = match small {
            0 => u64::from(large),
            small => u64::from(small),
        };
        let (fat_size_16, fat_size_32) = (fields.le16(22)?, fields.le32(36)?);
        // Linux and Windows know a FAT32 by this field; only then the rest has its meaning.
        let is_32 = fat_size_16 == 0;
        let fat_size = match is_32 {
            true => u64::from(fat_size_32),
            false => u64::from(fat_size_16),
        };
        if fat_size == 0 {
            return Err(wrong(fields, 22, "sectors of a table", 0));
        }
        let at = Layout {
            sector,
            reserved,
            tables: u64::from(bpb_num_fats).saturating_mul(fat_size),
            root: root_entries.saturating_mul(32).div_ceil(sector),
        };
        let clusters = total
            .checked_sub(at.data())
            .and_then(|left| left.checked_div(per_cluster));
        let Some(clusters) = clusters.filter(|count| *count > 0) else {
            let text = format!(
                "more than the {} sectors before the first cluster",
                at.data()
            );
            return Err(wrong(fields, 32, &text, total));
        };
        let kind = match clusters {
            _ if is_32 => Kind::Fat32,
            count if count < FAT12_CLUSTERS => Kind::Fat12,
            _ => Kind::Fat16,
        };
        let most = match kind {
            Kind::Fat32 => FAT32_CLUSTERS,
            Kind::Fat12 | Kind::Fat16 => FAT16_CLUSTERS.saturating_sub(1),
        };
        if clusters > most {
            return Err(wrong(
                fields,
                32,
                &format!("at most {most} clusters"),
                clusters,
            ));
        }
        let table = fat_size.saturating_mul(sector);
        let entries = entries_in(kind, table);
        let told = clusters.min(entries.saturating_sub(2));
        let heap = u32::try_from(told).ok().and_then(|count| {
            Heap::new(
                at.data().checked_mul(sector)?,
                per_cluster.checked_mul(sector)?,
                count,
            )
        });
        let heap = heap.ok_or_else(|| wrong(fields, 32, "clusters", clusters))?;
        let flags = if is_32 { fields.le16(40)? } else { 0 };
        let chosen = u8::try_from(flags & 0x0F).unwrap_or_default();
        let single = flags & 0x80 != 0;
        let extended = if is_32 { 64 } else { 36 };
        let record = fields.sub("boot sector", extended, 18)?;
        let signature = record.u8(2)?;
        let sector_number = |at: usize| -> Result<Option<u64>> {
            let number = u64::from(fields.le16(at)?);
            Ok(Some(number).filter(|n| is_32 && *n > 0 && *n < reserved))
        };
        Ok(Self {
            kind,
            sector,
            size: total.saturating_mul(sector),
            reserved: at.bytes(0, reserved),
            tables: at.bytes(reserved, at.tables),
            table,
            bpb_num_fats,
            active: if single && chosen < bpb_num_fats {
                chosen
            } else {
                0
            },
            active_is_wrong: single && chosen >= bpb_num_fats,
            fixed_root: at.bytes(reserved.saturating_add(at.tables), at.root),
            bpb_root_clus: if is_32 { fields.le32(44)? } else { 0 },
            heap,
            untold: clusters.saturating_sub(told),
            bpb_media,
            bpb_fs_info: sector_number(48)?,
            bpb_bk_boot_sec: sector_number(50)?,
            bs_vol_id: match signature {
                0x28 | 0x29 => Some(record.le32(3)?),
                _ => None,
            },
            bs_vol_lab: match signature {
                0x29 => record.array(7)?,
                _ => [b' '; 11],
            },
            in_use: record.u8(1)? & 1 != 0,
            signed: fields.bytes(510, 2)? == [0x55, 0xAA],
        })
    }

    /// Table `number`.
    pub(crate) fn table(&self, number: u8) -> ByteRange {
        let start = u64::from(number).saturating_mul(self.table);
        let start = self.tables.start().saturating_add(start);
        ByteRange::new(start, start.saturating_add(self.table))
    }

    /// Where the table that counts lies.
    pub(crate) fn place(&self) -> TablePlace {
        let bits = self.kind.bits();
        let entries = entries_in(self.kind, self.table);
        TablePlace {
            start: self.table(self.active).start(),
            bits,
            entries: u32::try_from(entries).unwrap_or(u32::MAX),
        }
    }

    /// Where the root directory lies.
    pub(crate) const fn root(&self) -> Root {
        match self.kind {
            Kind::Fat32 => Root::Chain(self.bpb_root_clus),
            Kind::Fat12 | Kind::Fat16 => Root::Fixed(self.fixed_root),
        }
    }

    /// A sector, as bytes of the volume.
    pub(crate) fn sector_bytes(&self, number: u64) -> ByteRange {
        let start = number.saturating_mul(self.sector);
        ByteRange::new(start, start.saturating_add(self.sector))
    }
}

/// Entries that a table of so many bytes has.
const fn entries_in(kind: Kind, bytes: u64) -> u64 {
    match kind {
        Kind::Fat12 => bytes.saturating_mul(2) / 3,
        Kind::Fat16 => bytes / 2,
        Kind::Fat32 => bytes / 4,
    }
}

/// What lies before the first cluster, in sectors. The products fit 64 bits: each factor has 40 at
/// most.
struct Layout {
    sector: u64,
    reserved: u64,
    tables: u64,
    root: u64,
}

impl Layout {
    const fn data(&self) -> u64 {
        self.reserved
            .saturating_add(self.tables)
            .saturating_add(self.root)
    }

    const fn bytes(&self, start: u64, count: u64) -> ByteRange {
        let from = start.saturating_mul(self.sector);
        ByteRange::new(from, from.saturating_add(count.saturating_mul(self.sector)))
    }
}

fn wrong(fields: &Fields<'_>, at: usize, expected: &str, found: u64) -> Error {
    fields.corrupt(at).expected(expected).found(found)
}
