//! Reparse points, extended attributes and Interix files: what stands for links and devices.
//!
//! <https://learn.microsoft.com/openspecs/windows_protocols/ms-fscc>, sections 2.1.2 and 2.4.16.

use hexz_ondisk::wtf8_from_utf16le;
use hexz_resolve::FileKind;

use crate::ondisk::{le16, le32, le64, size};

const TAG_MOUNT_POINT: u32 = 0xA000_0003;
const TAG_SYMLINK: u32 = 0xA000_000C;
const TAG_LX_SYMLINK: u32 = 0xA000_001D;
const TAG_AF_UNIX: u32 = 0x8000_0023;
const TAG_LX_FIFO: u32 = 0x8000_0024;
const TAG_LX_CHR: u32 = 0x8000_0025;
const TAG_LX_BLK: u32 = 0x8000_0026;

/// What a file stands for instead of being one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stands {
    pub(crate) kind: FileKind,
    pub(crate) target: Option<Vec<u8>>,
    /// Major and minor number.
    pub(crate) device: Option<(u64, u64)>,
}

impl Stands {
    fn for_kind(kind: FileKind) -> Self {
        Self {
            kind,
            target: None,
            device: None,
        }
    }

    fn link(target: Vec<u8>) -> Self {
        Self {
            target: Some(target),
            ..Self::for_kind(FileKind::Symlink)
        }
    }
}

/// `ReparseTag`.
pub(crate) fn tag(data: &[u8]) -> u32 {
    le32(data, 0).unwrap_or(0)
}

/// What a reparse point stands for; `None` for tags that leave a file a file.
pub(crate) fn reparse(data: &[u8]) -> Option<Stands> {
    match tag(data) {
        TAG_MOUNT_POINT => Some(Stands::link(path(data, 16))),
        TAG_SYMLINK => Some(Stands::link(path(data, 20))),
        // A version, then the target in UTF-8.
        TAG_LX_SYMLINK => {
            let length = size(le16(data, 4)?);
            let value = data.get(8..8usize.checked_add(length)?)?;
            Some(Stands::link(value.get(4..)?.to_vec()))
        }
        TAG_AF_UNIX => Some(Stands::for_kind(FileKind::Socket)),
        TAG_LX_FIFO => Some(Stands::for_kind(FileKind::Fifo)),
        TAG_LX_CHR => Some(Stands::for_kind(FileKind::CharDevice)),
        TAG_LX_BLK => Some(Stands::for_kind(FileKind::BlockDevice)),
        _ => None,
    }
}

/// The substitute name, without the mark of the NT namespace; `buffer` is where the names begin.
fn path(data: &[u8], buffer: usize) -> Vec<u8> {
    let name = || {
        let at = buffer.checked_add(size(le16(data, 8)?))?;
        let length = size(le16(data, 10)?);
        data.get(at..at.checked_add(length)?)
    };
    let name = wtf8_from_utf16le(name().unwrap_or_default());
    name.strip_prefix(br"\??\").unwrap_or(&name).to_vec()
}

/// What the content of a file with the system attribute makes of it: Interix and its heirs keep
/// links and devices so. `content` are its first bytes.
pub(crate) fn interix(content: &[u8], length: u64) -> Option<Stands> {
    match length {
        0 => return Some(Stands::for_kind(FileKind::Fifo)),
        1 => return Some(Stands::for_kind(FileKind::Socket)),
        _ => {}
    }
    let (magic, rest) = content.split_at_checked(8)?;
    let device = |kind| -> Option<Stands> {
        Some(Stands {
            device: Some((le64(rest, 0)?, le64(rest, 8)?)),
            ..Stands::for_kind(kind)
        })
    };
    match magic {
        b"IntxLNK\x01" => Some(Stands::link(wtf8_from_utf16le(rest))),
        b"IntxCHR\0" if length == 24 => device(FileKind::CharDevice),
        b"IntxBLK\0" if length == 24 => device(FileKind::BlockDevice),
        _ => None,
    }
}

/// The most bytes that an Interix file has.
pub(crate) const INTERIX_MOST: u64 = 8 + 2 * 4096;

/// Name and value.
type NamedValue<'a> = (&'a [u8], &'a [u8]);

/// The names and values of `$EA`.
pub(crate) fn extended_attributes(data: &[u8]) -> Result<Vec<NamedValue<'_>>, &'static str> {
    let mut out = Vec::new();
    let mut rest = data;
    while rest.len() >= 8 {
        let entry = || {
            let next = size(le32(rest, 0)?);
            let name_end = 8usize.checked_add(size(*rest.get(5)?))?;
            let name = rest.get(8..name_end)?;
            let value_at = name_end.checked_add(1)?;
            let value = rest.get(value_at..value_at.checked_add(size(le16(rest, 6)?))?)?;
            Some((next, name, value))
        };
        let (next, name, value) = entry().ok_or("an extended attribute out of bounds")?;
        out.push((name, value));
        if next == 0 {
            break;
        }
        rest = rest
            .get(next.max(8)..)
            .ok_or("an extended attribute out of bounds")?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn links_tell_their_target() {
        let name = utf16(r"\??\C:\x");
        let mut data = vec![0; 20];
        data[..4].copy_from_slice(&TAG_SYMLINK.to_le_bytes());
        data[10] = name.len() as u8;
        data.extend(&name);
        assert_eq!(reparse(&data).unwrap().target.unwrap(), br"C:\x");
        let mut data = vec![0; 16];
        data[..4].copy_from_slice(&TAG_MOUNT_POINT.to_le_bytes());
        data[10] = name.len() as u8;
        data.extend(&name);
        assert_eq!(reparse(&data).unwrap().target.unwrap(), br"C:\x");
        let linked = [b"IntxLNK\x01".to_vec(), utf16("../é")].concat();
        let found = interix(&linked, linked.len() as u64).unwrap();
        assert_eq!(
            (found.kind, found.target.unwrap().as_slice()),
            (FileKind::Symlink, "../é".as_bytes())
        );
        assert_eq!(reparse(&[0x17, 0, 0, 0x80]), None);
    }

    #[test]
    fn extended_attributes_follow_each_other() {
        let mut data = vec![20, 0, 0, 0, 0, 6, 4, 0];
        data.extend(b"$LXUID\0\x01\x02\x03\x04\0");
        data.extend([0, 0, 0, 0, 0, 1, 1, 0, b'x', 0, 9]);
        let found = extended_attributes(&data).unwrap();
        let expected: [(&[u8], &[u8]); 2] = [(b"$LXUID", &[1, 2, 3, 4]), (b"x", &[9])];
        assert_eq!(found, expected);
        data.truncate(30);
        assert!(extended_attributes(&data).is_err());
    }
}
