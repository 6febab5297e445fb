//! The text that says which files hold a disk, and whether it stands on another one. See
//! "Virtual Disk Format 1.1", VMware, 2007.

use hexz_resolve::{Error, Result};

use super::header::SECTOR;

/// Longest text; they are a page.
pub(super) const MAX_BYTES: u64 = 1 << 20;
/// `parentCID` of a disk that stands on none.
const NO_PARENT: u32 = u32::MAX;

/// A stretch of the disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) bytes: u64,
    pub(super) holds: Holds,
}

/// What a stretch is read from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Zeros,
    /// A file as it lies, from byte `skip`.
    Flat {
        name: Vec<u8>,
        skip: u64,
    },
    /// A file with grain tables.
    Sparse {
        name: Vec<u8>,
    },
}

/// What a description says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// In the order of the disk.
    pub(super) extents: Vec<Extent>,
    /// Another one each time the content changes after a child was made.
    pub(super) cid: Option<u32>,
    /// The `cid` of the parent that it is a child of.
    pub(super) parent_cid: Option<u32>,
    /// Where the parent lies, for a child.
    pub(super) parent_file_name_hint: Option<Vec<u8>>,
}

impl Descriptor {
    /// Whether what the disk does not hold itself is in a parent.
    pub(super) fn is_child(&self) -> bool {
        self.parent_cid.is_some() || self.parent_file_name_hint.is_some()
    }
}

/// Reads a description.
pub(super) fn parse(text: &[u8]) -> Result<Descriptor> {
    let mut found = Descriptor::default();
    let mut encoding = None;
    let mut at = 0u64;
    // One within an image is filled up with NUL.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    for raw in text.split(|byte| *byte == b'\n') {
        let line = raw.trim_ascii();
        if let Some(extent) = extent(line, at)? {
            found.extents.push(extent);
        } else if let Some((key, value)) = setting(line) {
            if key.eq_ignore_ascii_case(b"CID") {
                found.cid = content_id(value);
            } else if key.eq_ignore_ascii_case(b"parentCID") {
                let id = content_id(value).ok_or_else(|| {
                    wrong(at, "a parentCID that is no number").found(String::from_utf8_lossy(value))
                })?;
                found.parent_cid = (id != NO_PARENT).then_some(id);
            } else if key.eq_ignore_ascii_case(b"parentFileNameHint") && !value.is_empty() {
                found.parent_file_name_hint = Some(value.to_vec());
            } else if key.eq_ignore_ascii_case(b"encoding")
                || key.eq_ignore_ascii_case(b"ddb.encoding")
            {
                encoding = Some(value);
            }
        }
        at = at.saturating_add(crate::num::u64_of(raw.len()).saturating_add(1));
    }
    check_encoding(encoding, &found)?;
    Ok(found)
}

/// Eight hexadecimal digits.
fn content_id(value: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(value).ok()?;
    u32::from_str_radix(text, 16).ok()
}

fn wrong(at: u64, what: &str) -> Error {
    Error::corrupt("vmdk descriptor").at(at).message(what)
}

/// `key = "value"`
fn setting(line: &[u8]) -> Option<(&[u8], &[u8])> {
    if line.starts_with(b"#") {
        return None;
    }
    let equals = line.iter().position(|byte| *byte == b'=')?;
    let (key, value) = line.split_at_checked(equals)?;
    let value = value.get(1..)?.trim_ascii();
    let bare = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    Some((key.trim_ascii(), bare.unwrap_or(value)))
}

/// A name in an encoding that we do not read would name another file.
fn check_encoding(encoding: Option<&[u8]>, found: &Descriptor) -> Result<()> {
    let plain = |extent: &Extent| match &extent.holds {
        Holds::Zeros => true,
        Holds::Flat { name, .. } | Holds::Sparse { name } => name.is_ascii(),
    };
    let known = encoding.is_none_or(|name| {
        name.eq_ignore_ascii_case(b"UTF-8") || name.eq_ignore_ascii_case(b"UTF8")
    });
    let hint = found.parent_file_name_hint.as_ref();
    if known || found.extents.iter().all(plain) && hint.is_none_or(|hint| hint.is_ascii()) {
        return Ok(());
    }
    let encoding = String::from_utf8_lossy(encoding.unwrap_or_default());
    Err(Error::unsupported(
        "vmdk descriptor",
        format!("names of files in {encoding:?}; UTF-8 is read"),
    ))
}

/// `ACCESS SECTORS TYPE "NAME" [SKIP]`; `None` for a line that is no extent.
fn extent(line: &[u8], at: u64) -> Result<Option<Extent>> {
    let (access, rest) = word(line);
    if !matches!(access, b"RW" | b"RDONLY" | b"NOACCESS") {
        return Ok(None);
    }
    let (sectors, rest) = word(rest);
    let bytes = number(sectors).and_then(|sectors| sectors.checked_mul(SECTOR));
    let bytes = bytes.ok_or_else(|| {
        let found = String::from_utf8_lossy(sectors).into_owned();
        wrong(at, "no number of sectors that a disk can have").found(found)
    })?;
    let (kind, rest) = word(rest);
    let holds = match kind {
        b"ZERO" => Holds::Zeros,
        _ if access == b"NOACCESS" => {
            let message = "an extent that may not be read";
            return Err(Error::unsupported("vmdk descriptor", message).at(at));
        }
        b"FLAT" | b"VMFS" => flat(rest, at)?,
        b"SPARSE" | b"VMFSSPARSE" | b"SESPARSE" => {
            let (name, _) = quoted(rest).ok_or_else(|| wrong(at, "an extent without a file"))?;
            Holds::Sparse {
                name: name.to_vec(),
            }
        }
        other => {
            let other = String::from_utf8_lossy(other);
            let message = format!("an extent of type {other:?}");
            return Err(Error::unsupported("vmdk descriptor", message).at(at));
        }
    };
    Ok(Some(Extent { bytes, holds }))
}

fn flat(rest: &[u8], at: u64) -> Result<Holds> {
    let (name, rest) = quoted(rest).ok_or_else(|| wrong(at, "an extent without a file"))?;
    let skip = match word(rest).0 {
        b"" => Some(0),
        sectors => number(sectors).and_then(|sectors| sectors.checked_mul(SECTOR)),
    };
    Ok(Holds::Flat {
        name: name.to_vec(),
        skip: skip.ok_or_else(|| wrong(at, "no place in a file that there can be"))?,
    })
}

/// The first word, and what follows it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii_start();
    let end = line.iter().position(u8::is_ascii_whitespace);
    line.split_at_checked(end.unwrap_or(line.len()))
        .unwrap_or_default()
}

/// A name in quotes, or a bare one, and what follows it.
fn quoted(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = rest.trim_ascii_start();
    let (name, rest) = match rest.strip_prefix(b"\"") {
        Some(inner) => {
            let end = inner.iter().position(|byte| *byte == b'"')?;
            let (name, rest) = inner.split_at_checked(end)?;
            (name, rest.get(1..)?)
        }
        None => word(rest),
    };
    (!name.is_empty()).then_some((name, rest))
}

fn number(text: &[u8]) -> Option<u64> {
    // `parse` would take a sign.
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexz_resolve::ErrorKind;

    fn kind(text: &str) -> ErrorKind {
        parse(text.as_bytes()).unwrap_err().kind()
    }

    #[test]
    fn extents_in_their_order() {
        let text = "# Disk DescriptorFile\nparentCID=ffffffff\nencoding=\"windows-1252\"\r\n\
                    RW 8 FLAT \"a b=c.vmdk\" 3\r\nRDONLY 16 SPARSE s001.vmdk\nRW 4 ZERO\n\
                    NOACCESS 4 ZERO\nRW 1 VMFS \"flat\"\nddb.adapterType = \"ide\"\n\0RW x";
        let flat = |name: &str, skip| Holds::Flat {
            name: name.into(),
            skip,
        };
        let name = "s001.vmdk".into();
        let expected = [
            (4096, flat("a b=c.vmdk", 1536)),
            (8192, Holds::Sparse { name }),
            (2048, Holds::Zeros),
            (2048, Holds::Zeros),
            (512, flat("flat", 0)),
        ];
        let expected = expected.map(|(bytes, holds)| Extent { bytes, holds });
        let found = parse(text.as_bytes()).unwrap();
        assert_eq!(found.extents, expected);
        assert!(!found.is_child());
    }

    #[test]
    fn children_are_known_however_they_say_it() {
        for (line, cid) in [
            ("parentCID=12345678", Some(0x1234_5678)),
            ("parentCID = 12345678", Some(0x1234_5678)),
            ("PARENTCID=\"fffffffe\"", Some(0xFFFF_FFFE)),
            ("parentFileNameHint=\"base.vmdk\"", None),
        ] {
            let found = parse(line.as_bytes()).unwrap();
            assert!(found.is_child(), "{line}");
            assert_eq!(found.parent_cid, cid, "{line}");
        }
        for line in ["parentCID=what", "parentCID="] {
            assert_eq!(kind(line), ErrorKind::Corrupt, "{line}");
        }
        let none = "CID=0000000a\nparentCID = \"FFFFFFFF\"\nparentFileNameHint=\"\"\n# parentCID=1";
        let found = parse(none.as_bytes()).unwrap();
        assert!(!found.is_child());
        assert_eq!(found.cid, Some(10));
    }

    #[test]
    fn lines_that_can_not_be_meant_are_refused() {
        for line in [
            "RW",
            "RW x FLAT \"a\" 0",
            "RW -1 FLAT \"a\" 0",
            "RW 36028797018963968 ZERO",
            "RW 99999999999999999999 ZERO",
            "RW 1 FLAT \"a\" x",
            "RW 1 FLAT \"a\" 36028797018963968",
            "RW 1 FLAT \"a",
            "RW 1 SPARSE \"\"",
            "RW 1 SPARSE",
        ] {
            let error = parse(format!("# x\n{line}\n").as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{line}");
            assert_eq!(error.offset(), Some(4), "{line}");
        }
        for line in ["RW 1 VMFSRAW \"a\"", "NOACCESS 1 FLAT \"a\"", "RW 1"] {
            assert_eq!(kind(line), ErrorKind::Unsupported, "{line}");
        }
        let foreign = "ddb.encoding = \"windows-1252\"\nRW 1 FLAT \"é.vmdk\" 0";
        assert_eq!(kind(foreign), ErrorKind::Unsupported);
        assert!(parse(foreign.replace("windows-1252", "utf-8").as_bytes()).is_ok());
    }
}
