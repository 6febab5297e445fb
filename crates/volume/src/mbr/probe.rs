//! Whether a device has an MBR. The signature says little: the boot sector of a filesystem has
//! it too.

use hexz_ondisk::Fields;
use hexz_resolve::{Descriptor, Magic, Probe, Window};

use super::ondisk::{Entry, SIZE, Table};
use crate::gpt;

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    id: "mbr",
    name: "MBR",
    magics: &[Magic::at(510, &[0x55, 0xAA])],
    minimum_size: 512,
    container: true,
    specification: "https://en.wikipedia.org/wiki/Master_boot_record",
};

/// The confidence in an MBR: above every filesystem's where its entries are sound, below where
/// they are odd or a filesystem shows itself.
pub(crate) fn probe(window: &Window) -> Probe {
    let Some(sector) = window.bytes(0, SIZE) else {
        return Probe::No;
    };
    let Some(table) = Table::parse(sector) else {
        return Probe::No;
    };
    if table.is_protective() && (!table.is_hybrid() || gpt::has_sound_header(window)) {
        return Probe::No;
    }
    let sectors = window.size().div_ceil(512);
    let confidence = match (judge(&table, sectors), is_boot_sector(sector)) {
        (Judged::Sound, false) => 75,
        (Judged::Sound, true) => 45,
        (Judged::Plausible, false) if !shows_filesystem(window) => 60,
        (Judged::Plausible, false) => 40,
        // What its partitions hold decides.
        (Judged::Plausible, true) => 35,
        (Judged::SoundButStatus, false) => 45,
        (Judged::StartsWithDisk, false) => 30,
        (Judged::Beyond, false) => 25,
        // Where there is boot code, the table may be that of a filesystem's boot sector.
        (Judged::Empty, false) if sector.iter().take(440).all(|b| *b == 0) => 10,
        _ => return Probe::No,
    };
    Probe::matches(confidence)
}

enum Judged {
    /// Every entry is in order.
    Sound,
    /// One starts on the disk, and none says what can't be.
    Plausible,
    /// Every entry is in order, but for one that is neither active nor inactive: what no other
    /// reader takes.
    SoundButStatus,
    /// All entries start with the disk itself.
    StartsWithDisk,
    /// Every entry is in order, and they all start past the end of the disk.
    Beyond,
    /// No entry is in use.
    Empty,
    /// It is something else.
    No,
}

fn judge(table: &Table, sectors: u64) -> Judged {
    let entries = &table.entries;
    if entries.is_empty() {
        return match table.status_known && table.unused_clean {
            true => Judged::Empty,
            false => Judged::No,
        };
    }
    let on_disk = |e: &Entry| e.starting_lba < sectors;
    if !entries.iter().any(on_disk) {
        return match apart(entries) && table.status_known && table.unused_clean {
            true => Judged::Beyond,
            false => Judged::No,
        };
    }
    let starts = entries.iter().any(|e| e.starting_lba > 0 && on_disk(e));
    let apart = apart(entries);
    let within = entries
        .iter()
        .all(|e| e.starting_lba > 0 && e.end() <= sectors);
    match (apart && within && table.unused_clean, table.status_known) {
        (true, true) => Judged::Sound,
        (true, false) => Judged::SoundButStatus,
        (false, true) if starts => Judged::Plausible,
        (false, true) => Judged::StartsWithDisk,
        // Code, and no table.
        (false, false) => Judged::No,
    }
}

/// Whether no two entries share a sector.
fn apart(entries: &[Entry]) -> bool {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|e| e.starting_lba);
    sorted.windows(2).all(|two| match two {
        [one, two] => one.end() <= two.starting_lba,
        _ => true,
    })
}

/// Whether the sector starts a FAT, NTFS, exFAT or BitLocker volume.
fn is_boot_sector(sector: &[u8]) -> bool {
    let fields = Fields::new("boot sector", 0, sector);
    let names: [&[u8]; 4] = [b"NTFS    ", b"EXFAT   ", b"-FVE-FS-", b"ReFS\0\0\0\0"];
    if fields.bytes(3, 8).is_ok_and(|name| names.contains(&name)) {
        return true;
    }
    is_fat(&fields).unwrap_or(false)
}

/// Whether the fields of a BIOS parameter block are those of a FAT.
fn is_fat(fields: &Fields<'_>) -> hexz_resolve::Result<bool> {
    let jumps = matches!(fields.u8(0)?, 0xEB | 0xE9);
    let sector = matches!(fields.le16(11)?, 512 | 1024 | 2048 | 4096);
    let cluster = fields.u8(13)?.is_power_of_two();
    let reserved = fields.le16(14)? != 0;
    let fats = matches!(fields.u8(16)?, 1 | 2);
    let media = matches!(fields.u8(21)?, 0xF0 | 0xF8..);
    Ok(jumps && sector && cluster && reserved && fats && media)
}

/// Whether ext2, ext3, ext4 or btrfs seems to lie on the whole disk.
fn shows_filesystem(window: &Window) -> bool {
    window.has(&Magic::at(1080, &[0x53, 0xEF])) || window.has(&Magic::at(65_600, b"_BHRfS_M"))
}
