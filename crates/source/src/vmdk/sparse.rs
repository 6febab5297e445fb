//! Files with grain tables: a directory says where the tables are, these where the grains are.

use std::sync::Arc;

use hexz_ondisk::read;
use hexz_resolve::{ByteRange, Error, ReadAt, ReadError, Result, check_bounds};
use miniz_oxide::inflate::decompress_slice_iter_to_slice;

use super::SECTOR;
use super::header::{Entries, Header};
use crate::cache::Cache;
use crate::file::RawFile;
use crate::holes::Place;
use crate::num::{take_front, u64_of, usize_of};

/// Bytes of the marker before a compressed grain: `u64` sector, `u32` size.
const MARKER: u64 = 12;
/// What compressing may add to a grain.
const MOST_ADDED: u64 = 64 << 10;
/// What an entry that leads past 64 bits leads to: past the end of any file.
const NOWHERE: u64 = u64::MAX;

pub(super) struct Sparse {
    file: RawFile,
    header: Header,
    /// Where each table lies; 0 for none.
    tables: Vec<u64>,
    /// Grains decompressed, by where they lie.
    grains: Cache<[u8]>,
}

impl Sparse {
    /// Opens `file`. Its directory takes from `memory`, the bytes that those of all extents may
    /// take.
    pub(super) fn open(file: RawFile, memory: &mut u64, cache_bytes: usize) -> Result<Self> {
        let header = Header::read(&file)?;
        let tables = directory(&file, &header, memory)?;
        Ok(Self {
            grains: Cache::new(cache_bytes, usize_of(header.grain)),
            file,
            header,
            tables,
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.header.capacity
    }

    /// The text within.
    pub(super) fn descriptor(&self, longest: u64) -> Result<Option<Vec<u8>>> {
        let Some((at, length)) = self.header.descriptor else {
            return Ok(None);
        };
        let length = length.min(longest);
        read(&self.file, "vmdk descriptor", at, usize_of(length)).map(Some)
    }

    /// Calls `each` with the pieces of `range` in their order.
    pub(super) fn walk(
        &self,
        range: ByteRange,
        mut each: impl FnMut(ByteRange, Place) -> Result<()>,
    ) -> Result<()> {
        let span = self.header.span();
        let mut at = range.start();
        while at < range.end() {
            let index = at.checked_div(span).unwrap_or(0);
            let start = index.saturating_mul(span);
            let part = ByteRange::new(at, start.saturating_add(span).min(range.end()));
            match self.tables.get(usize_of(index)) {
                None | Some(0) => each(part, Place::Hole)?,
                Some(table) => self.walk_table(*table, start, part, &mut each)?,
            }
            at = part.end();
        }
        Ok(())
    }

    /// Walks `part`, which the table at byte `table` covers from `start` on.
    fn walk_table(
        &self,
        table: u64,
        start: u64,
        part: ByteRange,
        each: &mut impl FnMut(ByteRange, Place) -> Result<()>,
    ) -> Result<()> {
        let grain = self.header.grain;
        let width = self.header.entries.width();
        let grains = part.moved_down(start).unwrap_or(part).aligned_out(grain);
        let first = grains.start().checked_div(grain).unwrap_or(0);
        let count = grains.len().checked_div(grain).unwrap_or(0);
        let bytes = read(
            &self.file,
            "vmdk grain table",
            table.saturating_add(first.saturating_mul(width)),
            usize_of(count.saturating_mul(width)),
        )?;
        let mut at = part.start();
        for entry in bytes.chunks_exact(usize_of(width)) {
            let into = at.saturating_sub(start).checked_rem(grain).unwrap_or(0);
            let end = at
                .saturating_add(grain.saturating_sub(into))
                .min(part.end());
            let place = match self.place(number(entry)) {
                Place::At(host) => Place::At(host.saturating_add(into)),
                other => other,
            };
            each(ByteRange::new(at, end), place)?;
            at = end;
        }
        Ok(())
    }

    fn place(&self, entry: u64) -> Place {
        match self.header.entries {
            // 1 is a grain of zeros.
            Entries::Sectors { .. } if entry <= 1 => Place::Hole,
            Entries::Sectors { packed: true } => Place::Packed(entry.saturating_mul(SECTOR)),
            Entries::Sectors { packed: false } => Place::At(entry.saturating_mul(SECTOR)),
            Entries::Numbered { grains, .. } => match entry >> 60 {
                0 if entry == 0 => Place::Hole,
                1 | 2 => Place::Hole,
                3 => {
                    // The low 12 bits of the number stand above its others.
                    let number = (entry & 0x0FFF << 48) >> 48 | (entry & ((1 << 48) - 1)) << 12;
                    let from = number.checked_mul(self.header.grain);
                    let host = from.and_then(|from| from.checked_add(grains));
                    Place::At(host.unwrap_or(NOWHERE))
                }
                _ => Place::Bad(entry),
            },
        }
    }

    pub(super) fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let io = |e: ReadError| Error::io("vmdk grain", e);
        check_bounds(offset, buf.len(), self.len()).map_err(io)?;
        let range = ByteRange::new(offset, offset.saturating_add(u64_of(buf.len())));
        let mut rest = buf;
        self.walk(range, |piece, place| {
            let out = take_front(&mut rest, piece.len());
            match place {
                Place::Hole => out.fill(0),
                Place::At(host) => self.file.read_exact_at(host, out).map_err(io)?,
                Place::Packed(host) => self.read_packed(host, piece, out)?,
                Place::Bad(entry) => {
                    let wrong = Error::corrupt("vmdk grain table");
                    return Err(wrong.message("an entry of no known kind").found(entry));
                }
            }
            Ok(())
        })
    }

    fn read_packed(&self, host: u64, piece: ByteRange, out: &mut [u8]) -> Result<()> {
        let skip = piece.start().checked_rem(self.header.grain).unwrap_or(0);
        let grain = match self.grains.get(host) {
            Some(grain) => grain,
            None => {
                let grain: Arc<[u8]> = Arc::from(self.unpack(host)?);
                let bytes = usize_of(self.header.grain);
                self.grains.insert(host, Arc::clone(&grain), bytes);
                grain
            }
        };
        let end = usize_of(skip).saturating_add(out.len());
        // The last grain need hold no more than the disk has.
        let bytes = grain.get(usize_of(skip)..end);
        let short = || {
            Error::corrupt("vmdk grain")
                .at(host)
                .message("it ends early")
        };
        out.copy_from_slice(bytes.ok_or_else(short)?);
        Ok(())
    }

    /// The grain whose marker lies at `host`.
    fn unpack(&self, host: u64) -> Result<Vec<u8>> {
        let marker = read(&self.file, "vmdk grain marker", host, usize_of(MARKER))?;
        let size = number(marker.get(8..).unwrap_or_default());
        let wrong = |what: String| Error::corrupt("vmdk grain").at(host).message(what);
        if size > self.header.grain.saturating_add(MOST_ADDED) {
            return Err(wrong(format!("{size} bytes, compressed")));
        }
        let from = host.saturating_add(MARKER);
        let packed = read(&self.file, "vmdk grain", from, usize_of(size))?;
        let mut grain = vec![0; usize_of(self.header.grain)];
        let written = decompress_slice_iter_to_slice(
            &mut grain,
            std::iter::once(packed.as_slice()),
            true,
            false,
        );
        let written = written.map_err(|status| wrong(format!("deflate: {status:?}")))?;
        grain.truncate(written);
        Ok(grain)
    }
}

/// Little-endian, of up to 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    let rising = bytes.iter().rev().take(8);
    rising.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Reads where the tables are.
fn directory(file: &RawFile, header: &Header, memory: &mut u64) -> Result<Vec<u64>> {
    let width = header.entries.width();
    let count = header.capacity.div_ceil(header.span().max(1));
    let wanted = count.saturating_mul(8);
    *memory = memory.checked_sub(wanted).ok_or_else(|| {
        let message = format!("grain directories of more than {wanted} bytes");
        Error::limit("vmdk grain directory", message).at(header.directory)
    })?;
    let length = usize_of(count.saturating_mul(width));
    let bytes = read(file, "vmdk grain directory", header.directory, length)?;
    let entries = bytes.chunks_exact(usize_of(width)).map(number);
    let tables: Vec<u64> = entries.map(|entry| table_at(header, entry)).collect();
    let used = u64_of(tables.iter().filter(|table| **table != 0).count());
    let table_bytes = header.grains_per_table.saturating_mul(width);
    // Else a small file could have us read the same table over and over.
    if used.saturating_mul(table_bytes) > file.len() {
        return Err(Error::corrupt("vmdk grain directory")
            .at(header.directory)
            .message("more grain tables than fit into the file")
            .found(used));
    }
    Ok(tables)
}

/// Where the table of a directory's entry lies; 0 for none.
fn table_at(header: &Header, entry: u64) -> u64 {
    match header.entries {
        Entries::Sectors { .. } => entry.saturating_mul(SECTOR),
        Entries::Numbered { .. } if entry == 0 => 0,
        Entries::Numbered { tables, .. } => {
            let known = entry >> 32 == 0x1000_0000;
            let bytes = header.grains_per_table.saturating_mul(8);
            let from = (entry & u64::from(u32::MAX)).saturating_mul(bytes);
            let at = from.checked_add(tables).filter(|_| known);
            at.unwrap_or(NOWHERE)
        }
    }
}
