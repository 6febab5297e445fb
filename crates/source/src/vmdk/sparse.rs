//! Files with grain tables: a directory says where the tables are, these where the grains are.

use std::ops::ControlFlow;

use hexz_ondisk::read;
use hexz_resolve::{ByteRange, Error, ReadAt as _, Result};
use miniz_oxide::inflate::decompress_slice_iter_to_slice;

use super::header::{Entries, Header, SECTOR};
use crate::file::RawFile;
use crate::layer::{Place, Units, Visit};
use crate::num::{u64_of, usize_of};

/// Bytes of the marker before a compressed grain: `u64` sector, `u32` size.
const MARKER: u64 = 12;
/// What compressing may add to a grain.
const MOST_ADDED: u64 = 64 << 10;
/// What an entry that leads past 64 bits leads to: past the end of any file.
const NOWHERE: u64 = u64::MAX;

pub(super) struct Sparse {
    pub(super) file: RawFile,
    header: Header,
    /// Where each table lies; 0 for none.
    tables: Vec<u64>,
    /// Grains decompressed, by where they lie.
    grains: Units,
}

impl Sparse {
    /// Opens `file`. Its directory takes from `memory`, the bytes that those of all extents may
    /// take.
    pub(super) fn open(file: RawFile, memory: &mut u64, cache_bytes: usize) -> Result<Self> {
        let header = Header::read(&file)?;
        let tables = directory(&file, &header, memory)?;
        Ok(Self {
            grains: Units::new(cache_bytes, header.grain),
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

    /// Bytes of a grain.
    pub(super) fn grain(&self) -> u64 {
        self.header.grain
    }

    /// Hands `visit` the pieces of `range` of the extent; `number` is the file's in places.
    pub(super) fn pieces(
        &self,
        number: usize,
        range: ByteRange,
        visit: &mut Visit<'_>,
    ) -> ControlFlow<()> {
        let span = self.header.span().max(1);
        let mut at = range.start();
        while at < range.end() {
            let index = at.checked_div(span).unwrap_or(0);
            let start = index.saturating_mul(span);
            let part = ByteRange::new(at, start.saturating_add(span).min(range.end()));
            match self.tables.get(usize_of(index)) {
                None | Some(0) => visit(part, Place::Below)?,
                Some(table) => self.pieces_of_table(number, *table, start, part, visit)?,
            }
            at = part.end();
        }
        ControlFlow::Continue(())
    }

    /// As [`Self::pieces`], for `part`, which the table at byte `table` covers from `start` on.
    fn pieces_of_table(
        &self,
        number: usize,
        table: u64,
        start: u64,
        part: ByteRange,
        visit: &mut Visit<'_>,
    ) -> ControlFlow<()> {
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
        );
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return visit(part, Place::damaged(error)),
        };
        let mut at = part.start();
        for entry in bytes.chunks_exact(usize_of(width)) {
            let into = at.saturating_sub(start).checked_rem(grain).unwrap_or(0);
            let end = at.saturating_add(grain.saturating_sub(into));
            let piece = ByteRange::new(at, end.min(part.end()));
            visit(piece, self.place(number, value(entry)).after(into))?;
            at = piece.end();
        }
        ControlFlow::Continue(())
    }

    fn place(&self, file: usize, entry: u64) -> Place {
        let at = |offset| Place::At { file, offset };
        match self.header.entries {
            Entries::Sectors { .. } if entry == 0 => Place::Below,
            // A grain of zeros.
            Entries::Sectors { .. } if entry == 1 => Place::Zero,
            Entries::Sectors { packed: true } => Place::Packed {
                file,
                offset: entry.saturating_mul(SECTOR),
                length: 0,
            },
            Entries::Sectors { packed: false } => at(entry.saturating_mul(SECTOR)),
            Entries::Numbered { grains, .. } => match entry >> 60 {
                0 if entry == 0 => Place::Below,
                // Unmapped by the guest, and written as zeros.
                1 | 2 => Place::Zero,
                3 => {
                    // The low 12 bits of the number stand above its others.
                    let number = (entry & 0x0FFF << 48) >> 48 | (entry & ((1 << 48) - 1)) << 12;
                    let from = number.checked_mul(self.header.grain);
                    let host = from.and_then(|from| from.checked_add(grains));
                    at(host.unwrap_or(NOWHERE))
                }
                _ => {
                    let error = Error::corrupt("vmdk grain table");
                    Place::damaged(error.message("an entry of no known kind").found(entry))
                }
            },
        }
    }

    /// Fills `out` with `piece` of the extent, which lies in the grain whose marker is at `host`.
    pub(super) fn read_packed(&self, host: u64, piece: ByteRange, out: &mut [u8]) -> Result<()> {
        self.grains
            .read(host, piece, out, |grain| self.unpack(host, grain))
    }

    /// Fills `grain` with the one whose marker lies at `host`, and says how much of it there is: the
    /// last grain need hold no more than the disk has.
    fn unpack(&self, host: u64, grain: &mut [u8]) -> Result<usize> {
        let marker = read(&self.file, "vmdk grain marker", host, usize_of(MARKER))?;
        let size = value(marker.get(8..).unwrap_or_default());
        let wrong = |what: String| Error::corrupt("vmdk grain").at(host).message(what);
        if size > self.header.grain.saturating_add(MOST_ADDED) {
            return Err(wrong(format!("{size} bytes, compressed")));
        }
        let from = host.saturating_add(MARKER);
        let packed = read(&self.file, "vmdk grain", from, usize_of(size))?;
        let packed = std::iter::once(packed.as_slice());
        let written = decompress_slice_iter_to_slice(grain, packed, true, false);
        written.map_err(|status| wrong(format!("deflate: {status:?}")))
    }
}

/// Little-endian, of up to 8 bytes.
fn value(bytes: &[u8]) -> u64 {
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
    let entries = bytes.chunks_exact(usize_of(width)).map(value);
    let tables: Vec<u64> = entries.map(|entry| table_at(header, entry)).collect();
    let tables = without_holes(file, tables, header.grains_per_table.saturating_mul(width));
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

/// `tables` without those that lie in holes of the file: all their entries are 0. Programs write
/// the directory of an empty disk with all its tables, of which a large one has millions.
fn without_holes(file: &RawFile, mut tables: Vec<u64>, table_bytes: u64) -> Vec<u64> {
    let data = file.data_in(ByteRange::new(0, file.len()));
    for table in &mut tables {
        let within = ByteRange::at(*table, table_bytes).filter(|range| range.end() <= file.len());
        if within.is_some_and(|range| !data.overlaps(range)) {
            *table = 0;
        }
    }
    tables
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
