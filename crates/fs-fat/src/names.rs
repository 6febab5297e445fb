//! Names of files, as a Linux user sees them who mounts a `vfat` with `utf8`: the long name where
//! there is a sound one, else the short one by code page 437, lower-case where Windows NT says so.

use hexz_ondisk::wtf8_from_utf16le;

/// Bytes of a short name.
pub(crate) const SHORT: usize = 11;
/// `DIR_NTRes`: the base of the name, and its extension, are shown in lower case.
const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

/// Code page 437 above ASCII.
const CODE_PAGE_437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// The character of a byte.
fn character(byte: u8) -> char {
    let above = byte.checked_sub(0x80);
    let there = above.and_then(|index| CODE_PAGE_437.chars().nth(usize::from(index)));
    there.unwrap_or(char::from(byte))
}

/// The same in lower case, where the code page has it.
fn lower(byte: u8) -> char {
    let upper = character(byte);
    let mut lower = upper.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(small), None) if small.is_ascii() || CODE_PAGE_437.contains(small) => small,
        _ => upper,
    }
}

/// The checksum of a short name, which the parts of its long name carry.
pub(crate) fn checksum(name: &[u8]) -> u8 {
    let add = |sum: u8, byte: &u8| sum.rotate_right(1).wrapping_add(*byte);
    name.iter().take(SHORT).fold(0, add)
}

/// The short name in an entry. Empty when it is all spaces.
pub(crate) fn short(entry: &[u8]) -> Vec<u8> {
    let case = entry.get(12).copied().unwrap_or_default();
    let base = entry.get(..8).unwrap_or_default();
    let extension = entry.get(8..SHORT).unwrap_or_default();
    let mut name = part(base, case & LOWER_BASE != 0, true);
    let extension = part(extension, case & LOWER_EXTENSION != 0, false);
    if !extension.is_empty() {
        name.push('.');
        name.push_str(&extension);
    }
    name.into_bytes()
}

/// Base or extension: up to a NUL, without the spaces at its end.
fn part(bytes: &[u8], lowered: bool, first: bool) -> String {
    let bytes = bytes.split(|b| *b == 0).next().unwrap_or_default();
    let length = bytes.iter().rposition(|b| *b != b' ');
    let length = length.map_or(0, |last| last.saturating_add(1));
    let used = bytes.get(..length).unwrap_or_default();
    let shown = used.iter().enumerate().map(|(at, byte)| {
        // What would read as the mark of a deleted entry is written as another byte.
        let byte = match (at, *byte) {
            (0, 0x05) if first => 0xE5,
            (_, byte) => byte,
        };
        match lowered {
            true => lower(byte),
            false => character(byte),
        }
    });
    shown.collect()
}

/// The long name in the entries that lie before a short one: each has 13 units of UTF-16, the last
/// part lies first.
pub(crate) fn long<'a>(parts: impl DoubleEndedIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut units = Vec::new();
    for part in parts.rev() {
        for (at, length) in [(1, 10), (14, 12), (28, 4)] {
            let bytes = part.get(at..).and_then(|rest| rest.get(..length));
            units.extend_from_slice(bytes.unwrap_or_default());
        }
    }
    let end = units.chunks_exact(2).position(|unit| unit == [0, 0]);
    let end = end.map_or(units.len(), |at| at.saturating_mul(2));
    wtf8_from_utf16le(units.get(..end).unwrap_or_default())
}

/// The label in a boot sector or in an entry of the root directory, without spaces at its end.
pub(crate) fn label(bytes: &[u8]) -> Vec<u8> {
    part(bytes, false, true).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &[u8; 11], case: u8) -> String {
        let entry = [&name[..], &[0x20, case]].concat();
        String::from_utf8(short(&entry)).unwrap()
    }

    #[test]
    fn short_names_are_as_linux_shows_them() {
        assert_eq!(CODE_PAGE_437.chars().count(), 128);
        assert_eq!(shown(b"README  TXT", 0), "README.TXT");
        assert_eq!(shown(b"README  TXT", 0x18), "readme.txt");
        assert_eq!(shown(b"README  TXT", 0x08), "readme.TXT");
        assert_eq!(shown(b"README  TXT", 0x10), "README.txt");
        assert_eq!(shown(b"A B        ", 0), "A B");
        assert_eq!(shown(b"        TXT", 0), ".TXT");
        assert_eq!(shown(b"           ", 0), "");
        assert_eq!(shown(b"\x05\x80\x8E     \x99  ", 0), "σÇÄ.Ö");
        assert_eq!(shown(b"\xE4\xE8\xE2\xEA\x98   \xE1\xE6 ", 0x18), "σφΓΩÿ.ßµ");
        assert_eq!(shown(b"AB\0CDEFGX\0Y", 0), "AB.X");
    }

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        assert_eq!(checksum(&[0; 11]), 0);
        assert_eq!(checksum(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), 1);
        assert_eq!(checksum(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 0x40);
    }
}
