//! ISO 9660 and UDF.
//!
//! ECMA-119; ECMA-167, OSTA UDF 2.60.

use hexz_ondisk::Fields;
use hexz_resolve::{Sign, Window};

use crate::look::{confidence, fields, label, place, units};

/// Where the descriptors of a volume start.
const DESCRIPTORS: u64 = 32 << 10;

pub(crate) fn iso9660(window: &Window) -> Option<Sign> {
    let volume = fields(window, "volume descriptor", DESCRIPTORS, 2048)?;
    if volume.u8(0).ok()? != 1 || volume.bytes(1, 5).ok()? != b"CD001" || volume.u8(6).ok()? != 1 {
        return None;
    }
    let blocks = volume.le32(80).ok()?;
    let block = volume.le16(128).ok()?;
    // Both are there in both byte orders.
    let agree = blocks == volume.be32(84).ok()? && block == volume.be16(130).ok()?;
    if !agree || block < 512 || !block.is_power_of_two() {
        return None;
    }
    let date = date(&volume, 830).or_else(|| date(&volume, 813));
    let size = units(blocks.into(), block.into());
    let sign = Sign::new("iso9660", 85, place(DESCRIPTORS, 2048)?)
        .size(size)
        .label(label(&volume, 40, 32))
        .uuid(date)
        .written(0, size.unwrap_or(DESCRIPTORS).max(DESCRIPTORS));
    Some(sign)
}

/// A time as `blkid` makes an UUID of it; `None` where it is not given.
fn date(volume: &Fields<'_>, at: usize) -> Option<String> {
    let digits = volume.bytes(at, 16).ok()?;
    if !digits.iter().all(u8::is_ascii_digit) || digits.iter().all(|b| *b == b'0') {
        return None;
    }
    let text = std::str::from_utf8(digits).ok()?;
    let part = |from, to| text.get(from..to);
    let parts = [
        (0, 4),
        (4, 6),
        (6, 8),
        (8, 10),
        (10, 12),
        (12, 14),
        (14, 16),
    ];
    let parts: Option<Vec<_>> = parts.into_iter().map(|(from, to)| part(from, to)).collect();
    Some(parts?.join("-"))
}

/// Whether the sequence of volume structure descriptors is one of UDF, with blocks of `block`.
fn has_nsr(window: &Window, block: u64) -> Option<bool> {
    let mut nsr = false;
    for n in 0..64u64 {
        let at = n.checked_mul(block)?.checked_add(DESCRIPTORS + 1)?;
        match window.elsewhere(at, 5)?.as_slice() {
            b"BEA01" | b"BOOT2" | b"CD001" | b"CDW02" => {}
            b"NSR02" | b"NSR03" => nsr = true,
            b"TEA01" => return Some(nsr),
            _ => return Some(nsr),
        }
    }
    Some(nsr)
}

/// The anchor (`AnchorVolumeDescriptorPointer`) with blocks of `block`: length and place of the
/// main sequence.
fn anchor(window: &Window, block: u64) -> Option<(u64, u64)> {
    let blocks = window.size().checked_div(block)?;
    let last = blocks.checked_sub(1)?;
    [Some(256), Some(512), last.checked_sub(256), Some(last)]
        .into_iter()
        .flatten()
        .find_map(|lba| {
            let bytes = window.elsewhere(lba.checked_mul(block)?, 32)?;
            let fields = Fields::new("UDF anchor", 0, &bytes);
            let here = tag(&fields)? == 2 && u64::from(fields.le32(12).ok()?) == lba;
            here.then_some((fields.le32(16).ok()?.into(), fields.le32(20).ok()?.into()))
        })
}

/// The identifier of a descriptor whose tag has the right checksum.
fn tag(fields: &Fields<'_>) -> Option<u16> {
    let tag = fields.bytes(0, 16).ok()?;
    let sum = tag.iter().enumerate().filter(|(at, _)| *at != 4);
    let sum = sum.fold(0u8, |sum, (_, byte)| sum.wrapping_add(*byte));
    (sum == fields.u8(4).ok()?).then(|| fields.le16(0).ok())?
}

pub(crate) fn udf(window: &Window) -> Option<Sign> {
    let wide = [2048, 4096].into_iter();
    if !wide
        .clone()
        .any(|block| has_nsr(window, block) == Some(true))
    {
        return None;
    }
    let found = [2048u64, 512, 1024, 4096]
        .into_iter()
        .find_map(|block| Some((block, anchor(window, block)?)));
    let mut sign = Sign::new(
        "udf",
        confidence(found.is_none().then_some(false)),
        place(DESCRIPTORS, 2048)?,
    )
    .written(0, DESCRIPTORS.checked_add(6 * 2048)?);
    // A disc that is ISO 9660 and UDF at once is called UDF.
    sign.confidence = sign.confidence.max(60).checked_add(6)?;
    if let Some((block, (length, lba))) = found {
        for n in 0..length.checked_div(block)?.min(32) {
            let Some(bytes) = window.elsewhere(lba.checked_add(n)?.checked_mul(block)?, 512) else {
                break;
            };
            let fields = Fields::new("UDF descriptor", 0, &bytes);
            match tag(&fields) {
                Some(1) => sign = sign.uuid(volume_uuid(&dstring(&fields, 72, 128))),
                Some(6) => {
                    sign = sign.label(dstring(&fields, 84, 128).as_bytes());
                    // The revision, as the domain of the volume has it.
                    let suffix = fields.le16(240).ok()?;
                    if fields.bytes(217, 18).ok()? == b"OSTA UDF Compliant" {
                        sign = sign.version(format!("{:x}.{:02x}", suffix >> 8, suffix & 0xFF));
                    }
                }
                Some(8) | None => break,
                Some(_) => {}
            }
        }
    }
    Some(sign)
}

/// A `dstring`: its compression, characters of one or two bytes, and its length in the last byte.
fn dstring(fields: &Fields<'_>, at: usize, size: usize) -> String {
    let bytes = fields.bytes(at, size).unwrap_or_default();
    let used = bytes
        .last()
        .copied()
        .map_or(0, usize::from)
        .min(bytes.len());
    match bytes.get(..used) {
        Some([8, text @ ..]) => text.iter().map(|b| char::from(*b)).collect(),
        Some([16, text @ ..]) => {
            let units = text.chunks_exact(2).filter_map(|two| two.try_into().ok());
            let units: Vec<u16> = units.map(u16::from_be_bytes).collect();
            String::from_utf16_lossy(&units)
        }
        _ => String::new(),
    }
}

/// The UUID that `blkid` makes of a volume set identifier: its first sixteen characters where they
/// are hexadecimal digits, else digits made of its first characters.
fn volume_uuid(identifier: &str) -> Option<String> {
    let bytes = identifier.as_bytes();
    if bytes.len() < 8 {
        return None;
    }
    let hex = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_hexdigit);
    let encoded = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let lower = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
    let head = bytes.get(..16).unwrap_or(bytes);
    if head.len() == 16 && hex(head) {
        return Some(lower(head));
    }
    let (first, rest) = head.split_at_checked(8)?;
    Some(match hex(first) {
        true => format!("{}{}", lower(first), encoded(rest.get(..4).unwrap_or(rest))),
        false => encoded(first),
    })
}
