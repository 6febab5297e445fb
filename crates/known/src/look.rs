//! Looking at structures in a window.

use hexz_ondisk::{Fields, Guid, to_usize};
use hexz_resolve::{ByteRange, Window};

/// The structure of `length` bytes at `at`, when it lies in the window.
pub(crate) fn fields<'a>(
    window: &'a Window,
    structure: &'static str,
    at: u64,
    length: usize,
) -> Option<Fields<'a>> {
    Some(Fields::new(structure, at, window.bytes(at, length)?))
}

/// `length` bytes at `at`.
pub(crate) fn place(at: u64, length: u64) -> Option<ByteRange> {
    ByteRange::at(at, length)
}

/// The UUID at byte `at`; `None` where it is all zero.
pub(crate) fn uuid(fields: &Fields<'_>, at: usize) -> Option<String> {
    let guid = Guid::from_bytes(fields.array(at).ok()?);
    (!guid.is_nil()).then(|| guid.to_string())
}

/// The text at byte `at`, up to its first NUL.
pub(crate) fn text(fields: &Fields<'_>, at: usize, length: usize) -> Option<String> {
    let bytes = fields.bytes(at, length).ok()?;
    let bytes = bytes.split(|b| *b == 0).next()?;
    let text = std::str::from_utf8(bytes).ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The label at byte `at`.
pub(crate) fn label<'a>(fields: &Fields<'a>, at: usize, length: usize) -> &'a [u8] {
    fields.bytes(at, length).unwrap_or_default()
}

/// A label of UTF-16, as WTF-8, up to its first NUL.
pub(crate) fn wide_label(fields: &Fields<'_>, at: usize, length: usize) -> Vec<u8> {
    let bytes = fields.bytes(at, length).unwrap_or_default();
    let units = bytes.chunks_exact(2).take_while(|unit| *unit != [0, 0]);
    let units: Vec<u8> = units.flatten().copied().collect();
    hexz_ondisk::wtf8_from_utf16le(&units)
}

/// `count` units of `size` bytes.
pub(crate) fn units(count: u64, size: u64) -> Option<u64> {
    count.checked_mul(size).filter(|bytes| *bytes > 0)
}

/// 2 to the power of `log`, where that is a size that blocks may have.
pub(crate) fn block_size(log: u32) -> Option<u64> {
    (log <= 20).then(|| 1u64.checked_shl(log)).flatten()
}

/// The CRC-32C that filesystems of Linux have: of `bytes`, from all ones on, inverted at the end.
pub(crate) fn crc32c_of(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// CRC-32 from `seed` on, not inverted at the end.
pub(crate) fn crc32_from(seed: u32, parts: &[&[u8]]) -> u32 {
    let mut sum = crc32fast::Hasher::new_with_initial(!seed);
    parts.iter().for_each(|part| sum.update(part));
    !sum.finalize()
}

/// How sure a checksum makes: 95 where it is right, 60 where it is not, 80 where there is none.
pub(crate) fn confidence(checksum: Option<bool>) -> u8 {
    match checksum {
        Some(true) => 95,
        Some(false) => 60,
        None => 80,
    }
}

/// Offset of the unit of `size` bytes that ends with the device, or before it.
pub(crate) fn last(window: &Window, size: u64) -> Option<u64> {
    let whole = window.size().checked_div(size)?.checked_mul(size)?;
    whole.checked_sub(size)
}

/// As a length in memory.
pub(crate) fn length(bytes: u64) -> Option<usize> {
    to_usize(bytes)
}
