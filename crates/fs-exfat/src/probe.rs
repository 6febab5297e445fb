//! Whether a device is an exFAT.

use hexz_ondisk::{Fields, to_usize};
use hexz_resolve::{Descriptor, Magic, Probe, Window};

use crate::ondisk::{BOOT, Boot, NAME, REGION, boot_checksum};

/// What this plugin is. The backup is looked at where the first boot sector is damaged.
pub(crate) const DESCRIPTOR: Descriptor = Descriptor {
    id: "exfat",
    name: "exFAT",
    magics: &[
        Magic::at(3, NAME),
        Magic::at(Boot::backup(9) + 3, NAME),
        Magic::at(Boot::backup(12) + 3, NAME),
    ],
    minimum_size: 24 * 512,
    container: false,
    specification: "https://learn.microsoft.com/windows/win32/fileio/exfat-specification",
};

/// Looks at the boot sector and at the checksum of its region; and at the backup, where the boot
/// sector is none.
pub(crate) fn probe(window: &Window) -> Probe {
    let first = window.bytes(0, BOOT);
    let parsed = first.map(|bytes| Boot::parse(&Fields::new("boot sector", 0, bytes)));
    match parsed {
        Some(Ok(boot)) => Probe::matches(match is_checked(window, 0, boot.sector) {
            true => 95,
            false => 80,
        }),
        // A sector of another format means another format, whatever lies behind it.
        Some(Err(error)) if window.has(&Magic::at(3, NAME)) => match has_backup(window) {
            true => Probe::matches(75),
            false => Probe::Damaged {
                reason: error.to_string(),
            },
        },
        Some(Err(_)) if first.is_some_and(|bytes| bytes.iter().any(|b| *b != 0)) => Probe::No,
        _ if has_backup(window) => Probe::matches(60),
        _ => Probe::No,
    }
}

fn has_backup(window: &Window) -> bool {
    (9..=12u8).any(|shift| {
        let place = Boot::backup(shift);
        let Some(bytes) = window.bytes(place, BOOT) else {
            return false;
        };
        let parsed = Boot::parse(&Fields::new("backup boot sector", place, bytes));
        parsed.is_ok_and(|boot| boot.sector == 1 << shift && is_checked(window, place, boot.sector))
    })
}

/// Whether the last sector of the boot region at `start` has the checksum of the others.
fn is_checked(window: &Window, start: u64, sector: u64) -> bool {
    let length = sector.saturating_mul(REGION.saturating_sub(1));
    let Some(bytes) = to_usize(length).and_then(|length| window.bytes(start, length)) else {
        return false;
    };
    let place = start.saturating_add(length);
    let found = window.bytes(place, 4);
    found.is_some_and(|found| found == boot_checksum(bytes).to_le_bytes())
}
