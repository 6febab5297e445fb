//! Writing archives in the POSIX interchange format: ustar headers, with extended (`x`) headers
//! for what does not fit them.
//!
//! POSIX.1-2024, `pax`, "pax Interchange Format"; `GNU.sparse.*` as GNU tar 1.35 documents format
//! "PAX 1.0"; `SCHILY.xattr.` as star, GNU tar and libarchive write it. The same entries give the
//! same bytes.

use std::borrow::Cow;
use std::io::{self, Write};

use hexz_resolve::{Attributes, ByteRange, FileKind, RangeSet, ReadAt, Timestamp};
use tar::{EntryType, Header};

use crate::acl;
use crate::copy::pieces;
use crate::restore;

const BLOCK: u64 = 512;
/// What seven octal digits can say.
const SEVEN: u64 = 0o777_7777;
/// What eleven octal digits can say.
const ELEVEN: u64 = 0o777_7777_7777;
/// Holes of at least this many bytes make a file sparse.
const HOLES: u64 = 64 << 10;

/// What an entry is.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    /// What its attributes say; the content of a regular file.
    Itself(Option<&'a dyn ReadAt>),
    /// One more name of the entry at this path.
    NameOf(&'a [u8]),
    /// An empty file that stands for something: a whiteout.
    Mark,
}

/// Writes entries.
pub(crate) struct Writer<W> {
    out: W,
    /// Whether files with large holes are written as sparse.
    sparse: bool,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W, sparse: bool) -> Self {
        Self { out, sparse }
    }

    /// Adds an entry. `path` is without a slash at its start.
    ///
    /// # Errors
    /// When it can't be written, or `body` can't be read.
    pub(crate) fn add(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        body: Body<'_>,
    ) -> io::Result<()> {
        let mut header = Header::new_ustar();
        let mut records = Records::default();
        let mut name = Cow::Borrowed(path);
        let mut link: &[u8] = b"";
        let kind = match body {
            Body::NameOf(of) => {
                link = of;
                EntryType::Link
            }
            Body::Mark => EntryType::Regular,
            Body::Itself(_) => entry_type(attributes.kind)?,
        };
        header.set_entry_type(kind);
        if kind == EntryType::Directory {
            name.to_mut().push(b'/');
        }
        if kind == EntryType::Symlink {
            let target = attributes.target.as_ref();
            link = target.map_or(&b""[..], |t| t.as_bytes());
        }
        let content = match body {
            Body::Itself(content) if kind == EntryType::Regular => content,
            _ => None,
        };
        let sparse = content.and_then(|content| self.holes(content));
        let mut map = Vec::new();
        if let (Some(content), Some(data)) = (content, &sparse) {
            map = sparse_map(data);
            records.add("GNU.sparse.major", b"1");
            records.add("GNU.sparse.minor", b"0");
            records.add("GNU.sparse.name", &name);
            records.add("GNU.sparse.realsize", content.len().to_string().as_bytes());
            set_name(&mut header, &name);
        } else {
            if needs_record(&name) {
                records.add("path", &name);
            }
            set_name(&mut header, &name);
        }
        if needs_record(link) {
            records.add("linkpath", link);
        }
        let length = link.len().min(100);
        if let (Some(ustar), Some(link)) = (header.as_ustar_mut(), link.get(..length)) {
            copy(&mut ustar.linkname, link);
        }
        let size = match (content, &sparse) {
            (None, _) => 0,
            (Some(content), None) => content.len(),
            (Some(_), Some(data)) => {
                let map = u64::try_from(map.len()).map_err(io::Error::other)?;
                data.len().checked_add(map).ok_or_else(too_long)?
            }
        };
        meta(&mut header, &mut records, attributes, &body, size)?;
        self.header(&records, header)?;
        self.out.write_all(&map)?;
        if let Some(content) = content {
            let whole = RangeSet::from(ByteRange::new(0, content.len()));
            for range in &sparse.unwrap_or(whole) {
                pieces(content, range, |_, bytes| {
                    self.out.write_all(bytes).map_err(|e| e.to_string())
                })
                .map_err(io::Error::other)?;
            }
        }
        self.pad(size)
    }

    /// Ends the archive, and gives what it was written to.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 1024])?;
        Ok(self.out)
    }

    /// Where the data of a file with large holes is.
    fn holes(&self, content: &dyn ReadAt) -> Option<RangeSet> {
        if !self.sparse {
            return None;
        }
        let data = content.data_in(ByteRange::new(0, content.len()));
        let holes = content.len().checked_sub(data.len())?;
        (holes >= HOLES).then_some(data)
    }

    fn header(&mut self, records: &Records, mut header: Header) -> io::Result<()> {
        if !records.0.is_empty() {
            let mut extended = Header::new_ustar();
            extended.set_entry_type(EntryType::XHeader);
            set_name(&mut extended, b"././@PaxHeader");
            extended.set_mode(0o644);
            extended.set_uid(0);
            extended.set_gid(0);
            extended.set_mtime(0);
            let size = u64::try_from(records.0.len()).map_err(io::Error::other)?;
            extended.set_size(size);
            extended.set_cksum();
            self.out.write_all(extended.as_bytes())?;
            self.out.write_all(&records.0)?;
            self.pad(size)?;
        }
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = size.next_multiple_of(BLOCK).abs_diff(size);
        let rest = usize::try_from(rest).map_err(io::Error::other)?;
        let zeros = [0; 512];
        self.out.write_all(zeros.get(..rest).unwrap_or_default())
    }
}

/// The fields that do not depend on what the entry is.
fn meta(
    header: &mut Header,
    records: &mut Records,
    attributes: &Attributes,
    body: &Body<'_>,
    size: u64,
) -> io::Result<()> {
    let mark = matches!(body, Body::Mark);
    let usual = match attributes.kind {
        FileKind::Directory | FileKind::Subvolume => 0o755,
        FileKind::Symlink => 0o777,
        _ => 0o644,
    };
    header.set_mode(attributes.mode.unwrap_or(usual) & 0o7777);
    let owner = [
        ("uid", u64::from(attributes.uid.unwrap_or(0))),
        ("gid", u64::from(attributes.gid.unwrap_or(0))),
    ];
    for (key, id) in owner {
        let fits = id <= SEVEN;
        if !fits {
            records.add(key, id.to_string().as_bytes());
        }
        let id = if fits { id } else { 0 };
        match key {
            "uid" => header.set_uid(id),
            _ => header.set_gid(id),
        }
    }
    header.set_size(if size <= ELEVEN { size } else { 0 });
    if size > ELEVEN {
        records.add("size", size.to_string().as_bytes());
    }
    let time = restore::normal(attributes.mtime.unwrap_or_default());
    let time = time.ok_or_else(|| io::Error::other("its time is beyond 64 bits"))?;
    let seconds = u64::try_from(time.seconds).ok().filter(|s| *s <= ELEVEN);
    header.set_mtime(seconds.unwrap_or(0));
    if time.nanoseconds != 0 || seconds.is_none() {
        records.add("mtime", decimal(time).as_bytes());
    }
    if let (Some(device), FileKind::BlockDevice | FileKind::CharDevice, false) =
        (attributes.rdev, attributes.kind, mark)
    {
        let numbers = [device >> 32, device & 0xFFFF_FFFF];
        for (at, number) in numbers.into_iter().enumerate() {
            let number = u32::try_from(number).map_err(io::Error::other)?;
            if u64::from(number) > SEVEN {
                return Err(io::Error::other(
                    "its device number is too large for an archive",
                ));
            }
            match at {
                0 => header.set_device_major(number)?,
                _ => header.set_device_minor(number)?,
            }
        }
    }
    if !matches!(body, Body::Mark | Body::NameOf(_)) {
        for (name, value) in acl::linux_xattrs(attributes) {
            let key = String::from_utf8(name)
                .ok()
                .filter(|key| !key.contains(['=', '\n', '\0']));
            let key = key.ok_or_else(|| {
                io::Error::other("an extended attribute has a name that no archive can hold")
            })?;
            records.add(&format!("SCHILY.xattr.{key}"), &value);
        }
    }
    Ok(())
}

/// The type of the entry for a kind of file.
fn entry_type(kind: FileKind) -> io::Result<EntryType> {
    Ok(match kind {
        FileKind::File => EntryType::Regular,
        FileKind::Directory | FileKind::Subvolume => EntryType::Directory,
        FileKind::Symlink => EntryType::Symlink,
        FileKind::Fifo => EntryType::Fifo,
        FileKind::BlockDevice => EntryType::Block,
        FileKind::CharDevice => EntryType::Char,
        FileKind::Socket => return Err(io::Error::other("archives can't hold sockets")),
    })
}

/// Records of an extended header: `LENGTH KEY=VALUE`, each with a newline.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    fn add(&mut self, key: &str, value: &[u8]) {
        // A space, `=` and a newline; the length counts its own digits.
        let rest = key.len().saturating_add(value.len()).saturating_add(3);
        let mut length = rest;
        while length != rest.saturating_add(digits(length)) {
            length = rest.saturating_add(digits(length));
        }
        self.0
            .extend_from_slice(format!("{length} {key}=").as_bytes());
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

/// Whether a name must stand in an extended header: when it is too long, or when readers would
/// have to guess its encoding. What is not Unicode has none, and stays as it is if it can.
fn needs_record(name: &[u8]) -> bool {
    name.len() > 100 || (!name.is_ascii() && std::str::from_utf8(name).is_ok())
}

/// Puts as much of a name in a header as there is room for.
fn set_name(header: &mut Header, name: &[u8]) {
    let length = name.len().min(100);
    if let (Some(ustar), Some(name)) = (header.as_ustar_mut(), name.get(..length)) {
        copy(&mut ustar.name, name);
    }
}

fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// `GNU.sparse` 1.0: the number of pieces, then offset and length of each, a decimal line each,
/// padded to a block.
fn sparse_map(data: &RangeSet) -> Vec<u8> {
    let mut out = format!("{}\n", data.iter().count());
    for range in data {
        out.push_str(&format!("{}\n{}\n", range.start(), range.len()));
    }
    let mut out = out.into_bytes();
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

/// A time in seconds, with its fraction.
fn decimal(time: Timestamp) -> String {
    let Timestamp {
        seconds,
        nanoseconds,
    } = time;
    let left = 1_000_000_000_u32.abs_diff(nanoseconds);
    let text = match (seconds, nanoseconds) {
        (seconds, 0) => return seconds.to_string(),
        // -1.25 lies 750,000,000 nanoseconds after second -2.
        (seconds @ ..0, _) => {
            let whole = seconds.unsigned_abs().abs_diff(1);
            format!("-{whole}.{left:09}")
        }
        (seconds, nanoseconds) => format!("{seconds}.{nanoseconds:09}"),
    };
    text.trim_end_matches('0').to_owned()
}

fn too_long() -> io::Error {
    io::Error::other("it is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        let mut records = Records::default();
        records.add("path", b"a");
        assert_eq!(records.0, b"9 path=a\n");
        let mut records = Records::default();
        records.add("path", &[b'x'; 90]);
        assert!(records.0.starts_with(b"99 path="));
        assert_eq!(records.0.len(), 99);
        let mut records = Records::default();
        records.add("path", &[b'x'; 91]);
        assert!(records.0.starts_with(b"101 path="), "no length of 100 fits");
        assert_eq!(records.0.len(), 101);
    }

    #[test]
    fn times_before_1970_count_down() {
        let text = |seconds, nanoseconds| {
            decimal(Timestamp {
                seconds,
                nanoseconds,
            })
        };
        assert_eq!(text(1, 500_000_000), "1.5");
        assert_eq!(text(1, 1), "1.000000001");
        assert_eq!(text(-2, 750_000_000), "-1.25");
        assert_eq!(text(-1, 500_000_000), "-0.5");
        assert_eq!(text(-7, 0), "-7");
        let odd = Timestamp {
            seconds: -1,
            nanoseconds: 1_600_000_001,
        };
        assert_eq!(decimal(restore::normal(odd).unwrap()), "0.600000001");
    }
}
