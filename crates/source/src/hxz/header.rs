//! The header of an archive: the first 4096 bytes, fields one after the other as bincode 1
//! writes them (little-endian; an `Option` is a byte and the value, a list a `u64` count and its
//! elements, an enum a `u32`), the rest zeros.
//!
//! All releases say version 1. They differ in how parents are recorded, which is told by trying
//! both: one of them leaves fields that can't be.
//!
//! Facts from the documentation of hexz-core: <https://docs.rs/hexz-core>.

use hexz_ondisk::Fields;
use hexz_resolve::{Error, Result};

use crate::num::{u64_of, usize_of};

/// First bytes of an archive.
pub const MAGIC: &[u8; 4] = b"HEXZ";

/// Bytes of the header.
pub(super) const HEADER_SIZE: usize = 4096;

/// The only version that releases wrote.
const VERSION: u32 = 1;

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// LZ4 block format after a `u32` length.
    Lz4,
    /// A zstd frame.
    Zstd,
    /// As they are.
    Stored,
}

/// Which way parents are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parents {
    /// `parent_path: Option<String>`: releases 0.2 to 0.5.4 (layouts A and B).
    One,
    /// `parent_paths: Vec<String>`: releases from 0.5.5 (layouts C and D).
    Many,
}

/// What a header says.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// Byte offset of the master index.
    pub(super) index_offset: u64,
    /// One past its last byte: metadata and a signature lie behind it.
    pub(super) index_end: u64,
    /// Archives that hold what this one leaves out.
    pub(super) parents: Vec<String>,
    /// Where the compression dictionary lies, and its length.
    pub(super) dictionary: Option<(u64, u32)>,
    /// Whether blocks are encrypted.
    pub(super) encrypted: bool,
    pub(super) compression: Compression,
    /// Where metadata lies, such as a manifest of files, and its length.
    pub(crate) metadata: Option<(u64, u32)>,
    /// Whether there is a disk stream; there may be a memory stream only.
    pub(super) has_disk: bool,
    /// Whether there is a memory stream.
    pub(crate) has_memory: bool,
    /// Chunking parameters stand at the end: release 0.8 (layout D). There, a block of a parent
    /// is found by its hash alone.
    pub(super) chunking: bool,
}

/// Reads the header of an archive of `file_len` bytes.
pub(super) fn parse(bytes: &[u8], file_len: u64) -> Result<Header> {
    let fields = Fields::new("hxz header", 0, bytes);
    if fields.array::<4>(0)? != *MAGIC {
        return Err(fields.corrupt(0).expected("HEXZ"));
    }
    let version = fields.le32(4)?;
    if version != VERSION {
        return Err(Error::unsupported(
            "hxz archive",
            format!("format version {version}"),
        ));
    }
    let many = parse_as(&fields, Parents::Many, file_len);
    // In layout C and D the fields that differ are at least one byte longer, so what is valid as
    // the longer form is not the shorter one but for made-up headers.
    many.or_else(|first| parse_as(&fields, Parents::One, file_len).map_err(|_| first))
}

fn parse_as(fields: &Fields<'_>, parents: Parents, file_len: u64) -> Result<Header> {
    let mut at = Cursor { fields, at: 8 };
    let block_size = at.u32()?;
    at.check(block_size > 0, "a block size")?;
    let index_offset = at.u64()?;
    at.check(
        index_offset >= u64_of(HEADER_SIZE) && index_offset < file_len,
        "the offset of an index in the file",
    )?;
    let parents = match parents {
        Parents::One => at.option(Cursor::string)?.into_iter().collect(),
        Parents::Many => {
            let count = at.u64()?;
            // Each takes up eight bytes at least.
            at.check(count <= u64_of(HEADER_SIZE / 8), "a count of parents")?;
            let mut all = Vec::new();
            for _ in 0..count {
                all.push(at.string()?);
            }
            all
        }
    };
    let dictionary = at.place(file_len)?;
    let metadata = at.place(file_len)?;
    let signature = at.place(file_len)?;
    // salt: [u8; 16], iterations: u32
    let encrypted = at.option(|at| at.bytes(20).map(|_| ()))?.is_some();
    let compression = match at.u32()? {
        0 => Compression::Lz4,
        1 => Compression::Zstd,
        2 => Compression::Stored,
        other => return Err(at.wrong().expected("a compression type").found(other)),
    };
    let has_disk = at.bool()?;
    let has_memory = at.bool()?;
    let _variable_blocks = at.bool()?;
    let chunking = at.option(|at| at.bytes(12).map(|_| ()))?.is_some();
    // Release 0.8 packs what is empty, too: it has neither then.
    at.check(
        has_disk || has_memory || chunking,
        "a disk or a memory stream",
    )?;
    let rest = fields.rest(at.at)?;
    at.check(rest.iter().all(|b| *b == 0), "zeros to the end")?;
    let behind = [metadata, signature].into_iter().flatten();
    let behind = behind.map(|(offset, _)| offset);
    let behind = behind.filter(|offset| *offset > index_offset);
    Ok(Header {
        index_offset,
        index_end: behind.min().unwrap_or(file_len),
        metadata,
        parents,
        dictionary,
        encrypted,
        compression,
        has_disk,
        has_memory,
        chunking,
    })
}

/// Positional fields, read one after the other.
struct Cursor<'a> {
    fields: &'a Fields<'a>,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let bytes = self.fields.bytes(self.at, length)?;
        self.at = self.at.saturating_add(length);
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        let value = self.fields.le32(self.at)?;
        self.at = self.at.saturating_add(4);
        Ok(value)
    }

    fn u64(&mut self) -> Result<u64> {
        let value = self.fields.le64(self.at)?;
        self.at = self.at.saturating_add(8);
        Ok(value)
    }

    fn bool(&mut self) -> Result<bool> {
        match self.bytes(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(self
                .wrong()
                .expected("0 or 1")
                .found(format_args!("{other:?}"))),
        }
    }

    fn option<T>(&mut self, value: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.bool()? {
            return value(self).map(Some);
        }
        Ok(None)
    }

    fn string(&mut self) -> Result<String> {
        let length = self.u64()?;
        let bytes = self.bytes(usize_of(length))?;
        let text = std::str::from_utf8(bytes).map_err(|e| self.wrong().source(e))?;
        self.check(!text.is_empty(), "a path")?;
        Ok(text.to_owned())
    }

    /// An offset and a length, each an `Option`: both there, and within the file, or neither.
    fn place(&mut self, file_len: u64) -> Result<Option<(u64, u32)>> {
        let offset = self.option(Self::u64)?;
        let length = self.option(Self::u32)?;
        let place = offset.zip(length);
        let end = place.and_then(|(offset, length)| offset.checked_add(u64::from(length)));
        let fits = offset.is_some() == length.is_some()
            && (place.is_none() || end.is_some_and(|end| end <= file_len));
        self.check(fits, "a place in the file")?;
        Ok(place)
    }

    fn wrong(&self) -> Error {
        self.fields.corrupt(self.at)
    }

    fn check(&self, sound: bool, expected: &str) -> Result<()> {
        if sound {
            return Ok(());
        }
        Err(self.wrong().expected(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header put together field by field, as bincode writes them.
    fn header(fields: &[&[u8]]) -> Vec<u8> {
        let mut bytes = [b"HEXZ\x01\0\0\0\0\0\x01\0\0\x20\0\0\0\0\0\0".as_slice()].concat();
        for field in fields {
            bytes.extend(*field);
        }
        bytes.resize(HEADER_SIZE, 0);
        bytes
    }

    const NO_PLACES: &[u8] = &[0; 7];
    const ZSTD_DISK: &[u8] = &[1, 0, 0, 0, 1, 0, 0];

    #[test]
    fn both_ways_of_recording_parents() {
        let path = b"\x05\0\0\0\0\0\0\0p.hxz".as_slice();
        let one = header(&[&[1], path, NO_PLACES, ZSTD_DISK]);
        let parsed = parse(&one, 1 << 20).unwrap();
        assert_eq!(parsed.parents, ["p.hxz"]);
        assert!(!parsed.chunking);
        let count = 2u64.to_le_bytes();
        let many = header(&[&count, path, path, NO_PLACES, ZSTD_DISK, &[1], &[9; 12]]);
        let parsed = parse(&many, 1 << 20).unwrap();
        assert_eq!(parsed.parents, ["p.hxz", "p.hxz"]);
        assert!(parsed.chunking);
        assert_eq!(parsed.compression, Compression::Zstd);
    }

    #[test]
    fn encryption_is_seen_and_nonsense_refused() {
        let encrypted = header(&[&[0], &[0; 6], &[1], &[7; 20], ZSTD_DISK]);
        assert!(parse(&encrypted, 1 << 20).unwrap().encrypted);
        let count = u64::MAX.to_le_bytes();
        assert!(parse(&header(&[&count]), 1 << 20).is_err());
        let no_stream = header(&[&[0], NO_PLACES, &[0; 7]]);
        assert!(parse(&no_stream, 1 << 20).is_err());
        let sound = header(&[&[0], NO_PLACES, ZSTD_DISK]);
        assert!(parse(&sound, 1 << 20).is_ok());
        assert!(parse(&sound, 0x1000).is_err(), "index past the end");
        assert!(parse(&sound[..100], 1 << 20).is_ok(), "no padding");
        assert!(parse(&sound[..30], 1 << 20).is_err());
    }
}
