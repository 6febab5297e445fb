//! LUKS and BitLocker.
//!
//! <https://gitlab.com/cryptsetup/cryptsetup/-/wikis/LUKS-standard/on-disk-format.pdf>;
//! <https://gitlab.com/cryptsetup/LUKS2-docs>;
//! <https://github.com/libyal/libbde/blob/main/documentation/BitLocker%20Drive%20Encryption%20(BDE)%20format.asciidoc>.

use hexz_ondisk::Fields;
use hexz_resolve::{Sign, Standing, Window};

use crate::look::{fields, label, place, text};

const LUKS: &[u8] = b"LUKS\xBA\xBE";
/// Of the second header of LUKS 2.
const SKUL: &[u8] = b"SKUL\xBA\xBE";
/// Bytes of either header that have a meaning here.
const HEADER: usize = 512;
/// Where the second header of LUKS 2 may lie, as far as it is looked for.
const SECONDS: [u64; 3] = [0x4000, 0x8000, 0x1_0000];

pub(crate) fn luks(window: &Window) -> Option<Sign> {
    let first = fields(window, "LUKS header", 0, HEADER)?;
    if let Some(sign) = header(&first, LUKS, 0) {
        return Some(sign);
    }
    // Where the first header is damaged, the second one opens the volume.
    SECONDS.into_iter().find_map(|at| {
        let second = fields(window, "LUKS header", at, HEADER)?;
        let mut sign = header(&second, SKUL, at)?;
        sign.confidence = 60;
        sign.standing = Standing::Copy;
        Some(sign)
    })
}

fn header(fields: &Fields<'_>, magic: &[u8], at: u64) -> Option<Sign> {
    if fields.bytes(0, magic.len()).ok()? != magic {
        return None;
    }
    let version = fields.be16(6).ok()?;
    let is_there = match version {
        1 => true,
        // `hdr_offset`.
        2 => fields.be64(256).ok()? == at,
        _ => return None,
    };
    let sign = Sign::new(
        "crypto_LUKS",
        if is_there { 90 } else { 50 },
        place(at, 592)?,
    )
    .version(version)
    .uuid(text(fields, 168, 40))
    .written(0, 64 << 10);
    Some(match version {
        2 => sign.label(label(fields, 24, 48)),
        _ => sign,
    })
}

/// The identifier of BitLocker To Go, in a boot sector that looks like that of a FAT32.
const TO_GO: [u8; 16] = [
    0x3B, 0xD6, 0x67, 0x49, 0x29, 0x2E, 0xD8, 0x4A, 0x83, 0x99, 0xF6, 0xA3, 0x39, 0xE3, 0xD0, 0x01,
];

pub(crate) fn bitlocker(window: &Window) -> Option<Sign> {
    let boot = fields(window, "boot sector", 0, 512)?;
    let sign = Sign::new("BitLocker", 92, place(0, 512)?).written(0, 8192);
    if boot.bytes(3, 8).ok()? == b"-FVE-FS-" {
        return Some(sign);
    }
    let to_go = boot.bytes(424, 16).ok()? == TO_GO && boot.bytes(3, 8).ok()? == b"MSWIN4.1";
    to_go.then(|| sign.version("To Go"))
}
