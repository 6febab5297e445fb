//! A metadata area: its header, and the text that it points at, in a ring behind it.

use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{ByteRange, Error, ReadAt, Result};

use super::label::checksum;

const MAGIC: &[u8; 16] = b" LVM2 x[5A%r0N*>";
/// Bytes of `mda_header`; the ring of text starts behind it.
const HEADER: u64 = 512;
/// `raw_locn.flags`: the area is not kept up to date.
const IGNORED: u32 = 1;
/// Bytes of text that are read: a group of a thousand volumes takes about one.
const MAX_TEXT: u64 = 8 << 20;

/// What an area holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// The description of the volume group.
    Text(Vec<u8>),
    /// The physical volume is in no group.
    Nothing,
    /// The area is not in use.
    Ignored,
}

/// Reads the area at `area`.
pub(crate) fn content(device: &dyn ReadAt, area: ByteRange) -> Result<Content> {
    let at = area.start();
    let bytes = read(
        device,
        "LVM2 metadata header",
        at,
        to_usize(HEADER).unwrap_or(0),
    )?;
    let fields = Fields::new("LVM2 metadata header", at, &bytes);
    if fields.bytes(4, 16)? != MAGIC {
        return Err(fields.corrupt(4).message("it has not the signature"));
    }
    let (stated, found) = (fields.le32(0)?, checksum(fields.rest(4)?));
    if stated != found {
        return Err(wrong_sum(fields.corrupt(0), stated, found));
    }
    if fields.le32(20)? != 1 {
        let version = fields.le32(20)?;
        let text = format!("version {version}");
        return Err(Error::unsupported("LVM2 metadata header", text).at(at));
    }
    let (start, size) = (fields.le64(24)?, fields.le64(32)?);
    if start != at || size < HEADER || size > area.len() {
        return Err(fields
            .corrupt(24)
            .expected(format_args!("{} bytes at {at}", area.len()))
            .found(format_args!("{size} bytes at {start}")));
    }
    // The first `raw_locn` is the text that holds.
    let (offset, length) = (fields.le64(40)?, fields.le64(48)?);
    if fields.le32(60)? & IGNORED != 0 {
        return Ok(Content::Ignored);
    }
    if offset == 0 || length == 0 {
        return Ok(Content::Nothing);
    }
    if offset < HEADER || offset >= size || length > size.saturating_sub(HEADER) {
        return Err(fields
            .corrupt(40)
            .expected(format_args!("text within the {size} bytes of the area"))
            .found(format_args!("{length} bytes at {offset}")));
    }
    if length > MAX_TEXT {
        let text = format!("{length} bytes of text; at most {MAX_TEXT} are read");
        return Err(Error::unsupported("LVM2 metadata", text).at(at));
    }
    let text = ring(device, at, size, offset, length)?;
    let (stated, found) = (fields.le32(56)?, checksum(&text));
    if stated != found {
        let error = Error::corrupt("LVM2 metadata").at(at.saturating_add(offset));
        return Err(wrong_sum(error, stated, found));
    }
    Ok(Content::Text(text))
}

fn wrong_sum(error: Error, stated: u32, found: u32) -> Error {
    error
        .expected(format_args!("checksum {stated:#010x}"))
        .found(format_args!("{found:#010x}"))
}

/// The text of `length` bytes at `offset` of the area, which goes on behind the header when it
/// reaches the end of the area.
fn ring(device: &dyn ReadAt, area: u64, size: u64, offset: u64, length: u64) -> Result<Vec<u8>> {
    let first = length.min(size.saturating_sub(offset));
    let part = |offset: u64, length: u64| {
        let at = area.saturating_add(offset);
        read(
            device,
            "LVM2 metadata",
            at,
            to_usize(length).unwrap_or(usize::MAX),
        )
    };
    let mut text = part(offset, first)?;
    if first < length {
        text.extend(part(HEADER, length.saturating_sub(first))?);
    }
    Ok(text)
}
