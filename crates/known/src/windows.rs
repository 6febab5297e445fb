//! Formats of Windows: NTFS, FAT, exFAT, ReFS.
//!
//! <https://learn.microsoft.com/windows/win32/fileio/exfat-specification>; Microsoft, "FAT: General
//! Overview of On-Disk Format", 1.03;
//! <https://github.com/libyal/libfsrefs/blob/main/documentation/Resilient%20File%20System%20(ReFS).asciidoc>.

use hexz_ondisk::Fields;
use hexz_resolve::{Sign, Window};

use crate::look::{fields, place, units};

fn sector_size(size: u64) -> bool {
    (256..=4096).contains(&size) && size.is_power_of_two()
}

/// NTFS by its boot sector. Its copy at the end of a volume is the plugin's to look at.
pub(crate) fn ntfs(window: &Window) -> Option<Sign> {
    let boot = fields(window, "boot sector", 0, 512)?;
    if boot.bytes(3, 8).ok()? != b"NTFS    " {
        return None;
    }
    let sector = u64::from(boot.le16(11).ok()?);
    let fat_fields_unused = boot.le16(14).ok()? == 0 && boot.u8(16).ok()? == 0;
    if !sector_size(sector) || !fat_fields_unused {
        return None;
    }
    let size = units(boot.le64(40).ok()?.checked_add(1)?, sector);
    let serial = boot.le64(72).ok()?;
    let sign = Sign::new("ntfs", 80, place(0, 512)?)
        .size(size)
        .uuid(format!("{serial:016X}"))
        .written(0, 8192)
        .written_at_end(512, window);
    Some(sign)
}

pub(crate) fn refs(window: &Window) -> Option<Sign> {
    let boot = fields(window, "boot sector", 0, 512)?;
    if boot.bytes(3, 8).ok()? != b"ReFS\0\0\0\0" || boot.bytes(16, 4).ok()? != b"FSRS" {
        return None;
    }
    let sector = u64::from(boot.le32(32).ok()?);
    let (major, minor) = (boot.u8(40).ok()?, boot.u8(41).ok()?);
    let serial = boot.le64(56).ok()?;
    let sign = Sign::new("ReFS", 85, place(0, 512)?)
        .size(units(boot.le64(24).ok()?, sector))
        .uuid(format!("{serial:016X}"))
        .version(format!("{major}.{minor}"))
        .written(0, 4096);
    Some(sign)
}

pub(crate) fn exfat(window: &Window) -> Option<Sign> {
    let boot = fields(window, "boot sector", 0, 512)?;
    let unused = boot.bytes(11, 53).ok()?.iter().all(|b| *b == 0);
    if boot.bytes(3, 8).ok()? != b"EXFAT   " || !unused {
        return None;
    }
    let sector = u64::from(boot.u8(108).ok()?);
    let sector = (9..=12).contains(&sector).then(|| 1u64 << sector)?;
    let serial = boot.le32(100).ok()?;
    let (high, low) = (serial >> 16, serial & 0xFFFF);
    let (major, minor) = (boot.u8(105).ok()?, boot.u8(104).ok()?);
    let sign = Sign::new("exfat", 85, place(0, 512)?)
        .size(units(boot.le64(72).ok()?, sector))
        .uuid(format!("{high:04X}-{low:04X}"))
        .version(format!("{major}.{minor}"))
        // Two boot regions of twelve sectors.
        .written(0, sector.checked_mul(24)?);
    Some(sign)
}

/// What the boot sector of a FAT says.
struct Bpb {
    sector: u64,
    reserved: u64,
    fats: u64,
    /// Sectors of one FAT.
    fat: u64,
    /// Sectors of the root directory of FAT12 and FAT16.
    root: u64,
    sectors: u64,
    cluster: u64,
    media: u8,
    fat32: bool,
}

impl Bpb {
    fn read(boot: &Fields<'_>) -> Option<Self> {
        let fat16 = u64::from(boot.le16(22).ok()?);
        let few = u64::from(boot.le16(19).ok()?);
        let sector = u64::from(boot.le16(11).ok()?);
        let entries = u64::from(boot.le16(17).ok()?);
        let (fat, sectors) = match (fat16, few) {
            (0, _) => (u64::from(boot.le32(36).ok()?), few),
            _ => (fat16, few),
        };
        let sectors = match sectors {
            0 => u64::from(boot.le32(32).ok()?),
            few => few,
        };
        Some(Self {
            sector,
            reserved: u64::from(boot.le16(14).ok()?),
            fats: u64::from(boot.u8(16).ok()?),
            fat,
            root: entries.checked_mul(32)?.div_ceil(sector.max(1)),
            sectors,
            cluster: u64::from(boot.u8(13).ok()?),
            media: boot.u8(21).ok()?,
            fat32: fat16 == 0,
        })
    }

    /// Whether the fields agree with each other.
    fn is_sound(&self) -> bool {
        (512..=4096).contains(&self.sector)
            && self.sector.is_power_of_two()
            && self.cluster.is_power_of_two()
            && self.reserved > 0
            && matches!(self.fats, 1 | 2)
            && matches!(self.media, 0xF0 | 0xF8..)
            && self.fat > 0
            && self.sectors > 0
            && (self.fat32 == (self.root == 0))
    }

    /// Sectors in front of the first cluster.
    fn front(&self) -> Option<u64> {
        let fats = self.fats.checked_mul(self.fat)?;
        self.reserved.checked_add(fats)?.checked_add(self.root)
    }

    /// Which FAT it is, by the number of clusters.
    fn bits(&self) -> Option<(u8, u64)> {
        let clusters = self.sectors.checked_sub(self.front()?)?;
        let clusters = clusters.checked_div(self.cluster)?;
        Some(match clusters {
            0..4085 => (12, clusters),
            4085..65_525 => (16, clusters),
            _ => (32, clusters),
        })
    }
}

pub(crate) fn fat(window: &Window) -> Option<Sign> {
    let boot = fields(window, "boot sector", 0, 512)?;
    let jumps = matches!(boot.u8(0).ok()?, 0xEB | 0xE9);
    // Other formats have a boot sector with most of these fields.
    let others: [&[u8]; 4] = [b"NTFS    ", b"EXFAT   ", b"-FVE-FS-", b"ReFS\0\0\0\0"];
    if others.contains(&boot.bytes(3, 8).ok()?) {
        return None;
    }
    let bpb = Bpb::read(&boot).filter(Bpb::is_sound)?;
    let (bits, clusters) = bpb.bits()?;
    let bits = if bpb.fat32 { 32 } else { bits };
    let extended = boot
        .sub("boot sector", if bpb.fat32 { 64 } else { 36 }, 18)
        .ok()?;
    // The first entry of a FAT repeats the media byte, with ones above it.
    let table = bpb.reserved.checked_mul(bpb.sector)?;
    let repeated = match window.elsewhere(table, 3) {
        Some(entry) => matches!(entry[..], [media, 0xFF, 0xFF | 0x0F] if media == bpb.media),
        None => false,
    };
    // A FAT of that length has an entry for each cluster.
    let entries = bpb.fat.checked_mul(bpb.sector)?.checked_mul(8)?;
    let room = entries.checked_div(bits.into())? >= clusters;
    let signed = boot.bytes(510, 2).ok()? == [0x55, 0xAA];
    let confidence = match (repeated, jumps, room && signed) {
        (true, true, true) => 85,
        (true, true, false) | (true, false, true) => 70,
        (false, true, true) => 55,
        _ => return None,
    };
    let mut sign = Sign::new("vfat", confidence, place(0, 512)?)
        .size(units(bpb.sectors, bpb.sector))
        .version(format!("FAT{bits}"))
        .written(0, bpb.front()?.checked_mul(bpb.sector)?);
    if matches!(extended.u8(2).ok()?, 0x28 | 0x29) {
        let serial = extended.le32(3).ok()?;
        sign = sign.uuid(format!("{:04X}-{:04X}", serial >> 16, serial & 0xFFFF));
        let label = extended.bytes(7, 11).ok()?;
        if label != b"NO NAME    " {
            sign = sign.label(label);
        }
    }
    Some(sign)
}
