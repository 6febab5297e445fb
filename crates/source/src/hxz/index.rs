//! The index of an archive: a master index of pages, and pages of block records.

use std::sync::Arc;

use hexz_ondisk::{Fields, read};
use hexz_resolve::{ByteRange, Error, ReadAt, Result};

use crate::num::{u64_of, usize_of};

/// Bytes of one page entry: offset u64, length u32, start_block u64, start_logical u64.
const PAGE_ENTRY: usize = 28;

/// Bytes of a block record without and with its hash (offset u64, length u32, logical_len u32,
/// checksum u32, hash [u8; 32]).
const RECORD: usize = 20;
const HASHED_RECORD: usize = 52;

/// Longest master index and page that we load. A page has 4096 records as hexz writes it.
const MAX_INDEX: u64 = 64 << 20;
const MAX_PAGE: u32 = 16 << 20;

/// Longest block; hexz writes some 64 KiB.
const MAX_BLOCK: u32 = 64 << 20;

/// Where one page lies, and what of the disk it describes.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageEntry {
    pub(super) offset: u64,
    length: u32,
    /// First byte of the disk that it describes.
    pub(super) start: u64,
}

/// The pages of a stream (the disk, or the memory), rising, and its length, from the master index
/// in `place`.
pub(super) fn read_master(
    file: &dyn ReadAt,
    place: ByteRange,
    disk: bool,
) -> Result<(Vec<PageEntry>, u64)> {
    let (offset, length) = (place.start(), place.len());
    if length > MAX_INDEX {
        return Err(Error::limit(
            "hxz index",
            format!("{length} bytes of master index; at most {MAX_INDEX} are read"),
        ));
    }
    let bytes = read(file, "hxz index", offset, usize_of(length))?;
    let fields = Fields::new("hxz index", offset, &bytes);
    let (main, at) = page_list(&fields, 0)?;
    let (memory, at) = page_list(&fields, at)?;
    let sizes = (fields.le64(at)?, fields.le64(at.saturating_add(8))?);
    let (pages, size) = if disk {
        (main, sizes.0)
    } else {
        (memory, sizes.1)
    };
    let rising = pages.iter().zip(pages.iter().skip(1));
    let starts_at_zero = pages.first().is_none_or(|first| first.start == 0);
    if !starts_at_zero || rising.clone().any(|(a, b)| a.start >= b.start) {
        return Err(fields.corrupt(0).expected("pages in rising order from 0"));
    }
    // Pages do not overlap: more of them than fit are one and the same, and would be walked over
    // and over.
    let lengths = pages.iter().map(|page| u64::from(page.length));
    if lengths.fold(0, u64::saturating_add) > file.len() {
        return Err(fields.corrupt(0).expected("pages that fit into the file"));
    }
    if let Some(last) = pages.last().filter(|last| last.start >= size.max(1)) {
        let error = fields.corrupt(at).expected("pages within the disk");
        return Err(error.found(format_args!("one at {}", last.start)));
    }
    Ok((pages, size))
}

fn page_list(fields: &Fields<'_>, at: usize) -> Result<(Vec<PageEntry>, usize)> {
    let count = usize_of(fields.le64(at)?);
    let at = at.saturating_add(8);
    let length = count.saturating_mul(PAGE_ENTRY);
    let list = fields.sub("hxz index", at, length)?;
    let mut pages = Vec::with_capacity(count);
    for entry in (0..count).map(|n| n.saturating_mul(PAGE_ENTRY)) {
        pages.push(PageEntry {
            offset: list.le64(entry)?,
            length: list.le32(entry.saturating_add(8))?,
            start: list.le64(entry.saturating_add(20))?,
        });
    }
    Ok((pages, at.saturating_add(length)))
}

/// What holds the bytes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// All zeros, stored nowhere.
    Sparse,
    /// In a parent.
    Parent,
    /// `length` bytes at `offset` of this file.
    Stored { offset: u64, length: u32 },
}

/// One block of the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Its bytes of the disk.
    pub(super) range: ByteRange,
    pub(super) kind: Kind,
    /// CRC32 of the stored bytes; early releases leave 0 where they did not compute it.
    pub(super) checksum: u32,
    /// BLAKE3 of its content; zeros where there is none.
    pub(super) hash: [u8; 32],
}

impl Block {
    /// The hash, where there is one.
    pub(super) fn hash(&self) -> Option<&[u8; 32]> {
        (self.hash != [0; 32]).then_some(&self.hash)
    }
}

/// Blocks that follow each other on the disk.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) blocks: Vec<Block>,
}

impl Page {
    /// One past the last byte described.
    pub(super) fn end(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.range.end())
    }

    /// Bytes it takes up in memory.
    pub(super) fn weight(&self) -> usize {
        self.blocks.len().saturating_mul(size_of::<Block>())
    }
}

/// Reads the page at `entry`, which describes the disk up to `next`, where that is known: the
/// start of the page that follows.
pub(super) fn read_page(
    file: &dyn ReadAt,
    entry: &PageEntry,
    next: Option<u64>,
) -> Result<Arc<Page>> {
    if entry.length > MAX_PAGE {
        return Err(Error::limit(
            "hxz index page",
            format!("{} bytes; at most {MAX_PAGE} are read", entry.length),
        )
        .at(entry.offset));
    }
    let bytes = read(
        file,
        "hxz index page",
        entry.offset,
        usize_of(u64::from(entry.length)),
    )?;
    let fields = Fields::new("hxz index page", entry.offset, &bytes);
    let count = usize_of(fields.le64(0)?);
    let rest = fields.rest(8)?;
    let size = [HASHED_RECORD, RECORD]
        .into_iter()
        .find(|size| count.checked_mul(*size) == Some(rest.len()))
        .ok_or_else(|| {
            fields
                .corrupt(0)
                .expected("records of 20 or 52 bytes")
                .found(format_args!("{count} in {} bytes", rest.len()))
        })?;
    let mut blocks = Vec::with_capacity(count);
    let mut start = entry.start;
    for (n, record) in rest.chunks_exact(size).enumerate() {
        let at = n.saturating_mul(size).saturating_add(8);
        let record = Fields::new("hxz block record", fields.offset_of(at), record);
        let block = parse_block(&record, start)?;
        start = block.range.end();
        blocks.push(block);
    }
    if let Some(next) = next.filter(|next| *next != start) {
        return Err(fields
            .corrupt(0)
            .expected(format_args!("blocks up to {next}"))
            .found(start));
    }
    Ok(Arc::new(Page { blocks }))
}

fn parse_block(record: &Fields<'_>, start: u64) -> Result<Block> {
    let offset = record.le64(0)?;
    let length = record.le32(8)?;
    let logical_len = record.le32(12)?;
    let checksum = record.le32(16)?;
    let hash = if record.len() == HASHED_RECORD {
        record.array(20)?
    } else {
        [0; 32]
    };
    if logical_len == 0 || logical_len > MAX_BLOCK {
        let error = record.corrupt(12).expected("a length of 1 byte to 64 MiB");
        return Err(error.found(logical_len));
    }
    let range = ByteRange::at(start, u64::from(logical_len)).ok_or_else(|| record.corrupt(12))?;
    let kind = match (offset, length) {
        (u64::MAX, _) => Kind::Parent,
        (_, 0) => Kind::Sparse,
        // Compression makes nothing much longer: what is, was not written by hexz.
        (_, length) if u64::from(length) > u64_of(4096).saturating_add(range.len() << 1) => {
            let error = record.corrupt(8).expected("a length like the block's");
            return Err(error.found(length));
        }
        (offset, length) => Kind::Stored { offset, length },
    };
    Ok(Block {
        range,
        kind,
        checksum,
        hash,
    })
}

/// The stored blocks of an archive by the first eight bytes of their hash, rising: few bytes a
/// block, since disks have millions.
pub(super) struct HashIndex(pub(super) Vec<(u64, u32, u32)>);
