//! Whether a device has a GPT.

use hexz_ondisk::to_usize;
use hexz_resolve::{Descriptor, Magic, Probe, Window};

use super::header::{Copy, SIGNATURE};
use crate::mbr::Table;
use crate::types::SECTORS;

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    id: "gpt",
    name: "GPT",
    magics: &[
        Magic::at(512, SIGNATURE),
        Magic::at(1024, SIGNATURE),
        Magic::at(2048, SIGNATURE),
        Magic::at(4096, SIGNATURE),
        Magic::before_end(512, SIGNATURE),
        Magic::before_end(1024, SIGNATURE),
        Magic::before_end(2048, SIGNATURE),
        Magic::before_end(4096, SIGNATURE),
        // A protective MBR.
        Magic::at(510, &[0x55, 0xAA]),
    ],
    minimum_size: 4 * 512,
    container: true,
    specification: "https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html",
};

/// The confidence in a GPT. A sound first header is one, and so is the sound backup of a
/// protected disk. A backup alone may be left from a table that was there before a filesystem was
/// put on the whole disk.
pub(crate) fn probe(window: &Window) -> Probe {
    let protective = window
        .bytes(0, 512)
        .and_then(Table::parse)
        .is_some_and(|t| t.is_protective());
    let copies = copies(window);
    let sound = |backup: bool| {
        copies
            .iter()
            .any(|(is_backup, c)| *is_backup == backup && c.is_sound())
    };
    let confidence = match (protective, sound(false), sound(true)) {
        (true, true, _) => 95,
        (true, false, true) => 90,
        (false, true, _) => 70,
        (true, false, false) if !copies.is_empty() => 60,
        (false, false, true) => 40,
        (true, false, false) => 20,
        (false, false, false) if !copies.is_empty() => 15,
        _ => return Probe::No,
    };
    Probe::matches(confidence)
}

/// Whether a sound header is in the window.
pub(crate) fn has_sound_header(window: &Window) -> bool {
    copies(window).iter().any(|(_, c)| c.is_sound())
}

/// The headers in their usual places, and whether each is the backup.
fn copies(window: &Window) -> Vec<(bool, Copy)> {
    let mut copies = Vec::new();
    for sector in SECTORS {
        let last = last_sector(window.size(), sector);
        for (is_backup, lba) in [(false, Some(1)), (true, last)] {
            let copy = lba.and_then(|lba| {
                let bytes = window.bytes(lba.checked_mul(sector)?, to_usize(sector)?)?;
                Copy::parse(bytes, lba, window.size())
            });
            copies.extend(copy.map(|c| (is_backup, c)));
        }
    }
    copies
}

/// Number of the last whole sector that can hold a backup header.
pub(crate) fn last_sector(disk: u64, sector: u64) -> Option<u64> {
    let sectors = disk.checked_div(sector)?;
    sectors.checked_sub(1).filter(|last| *last > 1)
}
