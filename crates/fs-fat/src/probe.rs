//! Whether a device is a FAT.

use hexz_ondisk::Fields;
use hexz_resolve::{Descriptor, Probe, Window};

use crate::ondisk::{BOOT, Boot};

/// What this plugin is. A boot sector has no magic that all programs write.
pub(crate) const DESCRIPTOR: Descriptor = Descriptor {
    id: "fat",
    name: "FAT12, FAT16, FAT32",
    magics: &[],
    minimum_size: 512,
    container: false,
    specification: "https://download.microsoft.com/download/1/6/1/161ba512-40e2-4cc9-843a-923143f3456c/fatgen103.doc",
};

/// Looks at the boot sector and at the first bytes of the tables, which repeat the media byte.
pub(crate) fn probe(window: &Window) -> Probe {
    let Some(bytes) = window.bytes(0, BOOT) else {
        return Probe::No;
    };
    let fields = Fields::new("boot sector", 0, bytes);
    let boot = match Boot::parse(&fields) {
        Ok(boot) => boot,
        Err(error) if is_named(&fields) && jumps(bytes) => {
            return Probe::Damaged {
                reason: error.to_string(),
            };
        }
        Err(_) => return Probe::No,
    };
    let marked = (boot.signed, jumps(bytes));
    match (marked, starts_table(window, &boot)) {
        ((true, true), Some(true)) => Probe::matches(85),
        ((true, false) | (false, true), Some(true)) => Probe::matches(60),
        // What Linux mounts: it looks at the fields alone.
        ((false, false), Some(true)) => Probe::matches(30),
        ((true, true), None) => Probe::matches(50),
        // Tables that start with anything else are no tables, unless the sector says its name.
        ((true, true), Some(false)) if is_named(&fields) => Probe::matches(40),
        _ => Probe::No,
    }
}

/// Whether the sector starts with a jump over its fields, as MS-DOS wants it.
fn jumps(bytes: &[u8]) -> bool {
    matches!(bytes, [0xEB, _, 0x90, ..] | [0xE9, ..] | [0xEB, ..])
}

/// Whether the sector has one of the names that most programs write, and that mean nothing.
fn is_named(fields: &Fields<'_>) -> bool {
    let names: [(usize, &[u8]); 4] = [
        (54, b"FAT12   "),
        (54, b"FAT16   "),
        (54, b"FAT     "),
        (82, b"FAT32   "),
    ];
    names
        .into_iter()
        .any(|(at, name)| fields.bytes(at, 8).is_ok_and(|found| found == name))
}

/// Whether the table that counts starts as it must: with the media byte, and further bits set.
/// `None` when it is not in the window.
fn starts_table(window: &Window, boot: &Boot) -> Option<bool> {
    let start = boot.table(boot.active).start();
    Some(matches!(
        window.bytes(start, 3)?,
        [media, 0xFF, 0xFF] if *media == boot.bpb_media || *media >= 0xF8
    ))
}
