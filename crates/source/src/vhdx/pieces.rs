//! From a place on the disk to where its bytes are: the block allocation table, and the sector
//! bitmaps of a differencing disk.

use std::ops::ControlFlow;
use std::sync::Arc;

use hexz_ondisk::read;
use hexz_resolve::{ByteRange, Error, Result};

use super::layout::{Header, Layout, MIB};
use super::log::Replayed;
use crate::cache::Cache;
use crate::file::RawFile;
use crate::layer::{ImageId, Layer, Place, Visit};
use crate::num::usize_of;
use crate::table::Tables;

/// Bytes of a sector bitmap that are read at a time: those of 16 MiB of 512-byte sectors.
const BITMAP_PIECE: u64 = 4096;

/// States of a payload block, of which [MS-VHDX] has six.
const NOT_PRESENT: u64 = 0;
const UNDEFINED: u64 = 1;
const ZERO: u64 = 2;
const UNMAPPED: u64 = 3;
const FULLY_PRESENT: u64 = 6;
const PARTIALLY_PRESENT: u64 = 7;

/// An open image: the blocks and sectors that this file has.
pub(super) struct Vhdx {
    file: RawFile,
    header: Header,
    layout: Layout,
    replayed: Replayed,
    table: Tables,
    bitmaps: Cache<[u8]>,
}

impl Vhdx {
    pub(super) fn new(
        file: RawFile,
        header: Header,
        layout: Layout,
        replayed: Replayed,
        cache_bytes: usize,
    ) -> Self {
        Self {
            file,
            header,
            layout,
            replayed,
            table: Tables::new("vhdx block allocation table", 8, cache_bytes >> 1),
            bitmaps: Cache::new(cache_bytes >> 1, usize_of(BITMAP_PIECE)),
        }
    }

    /// The entry of payload block `number`, and how many of its chunk from there on have the same.
    fn entry(&self, number: u64, last: u64) -> Result<(u64, u64)> {
        let ratio = self.layout.chunk_ratio;
        let chunk = number.checked_div(ratio).unwrap_or(0);
        let end = chunk.saturating_add(1).saturating_mul(ratio).min(last);
        // After each chunk is the entry of its sector bitmap.
        let index = number.saturating_add(chunk);
        let view = self.replayed.over(&self.file);
        let last = end.saturating_add(chunk);
        self.table.run(&view, self.layout.bat, index, last)
    }

    /// Hands `visit` the pieces of `part`, which lies in block `number` and whose payload lies at
    /// `host`, as far as the bitmap of its chunk has them.
    fn partial(
        &self,
        number: u64,
        part: ByteRange,
        host: u64,
        visit: &mut Visit<'_>,
    ) -> ControlFlow<()> {
        let start = number.saturating_mul(self.layout.block_size);
        let mut at = part.start();
        while at < part.end() {
            let (present, end) = match self.run(number, at, part.end()) {
                Ok(run) => run,
                Err(error) => {
                    return visit(ByteRange::new(at, part.end()), Place::damaged(error));
                }
            };
            let place = match present {
                true => Place::At {
                    file: 0,
                    offset: host.saturating_add(at.saturating_sub(start)),
                },
                false => Place::Below,
            };
            visit(ByteRange::new(at, end), place)?;
            at = end;
        }
        ControlFlow::Continue(())
    }

    /// Whether the sector of the disk's byte `at` is in this file, and up to where, before `end`,
    /// the next ones are as it is.
    fn run(&self, number: u64, at: u64, end: u64) -> Result<(bool, u64)> {
        let layout = &self.layout;
        let chunk = number.checked_div(layout.chunk_ratio).unwrap_or(0);
        let chunk_bytes = layout.chunk_ratio.saturating_mul(layout.block_size);
        let start = chunk.saturating_mul(chunk_bytes);
        let sector = |byte: u64| byte.saturating_sub(start) >> layout.sector_size.trailing_zeros();
        let first = sector(at);
        let piece = first / (BITMAP_PIECE * 8);
        let bits = self.bitmap(chunk, piece)?;
        let from = first % (BITMAP_PIECE * 8);
        // The lowest bit of a byte comes first.
        let bit = |n: u64| {
            let byte = bits.get(usize_of(n >> 3)).copied().unwrap_or(0);
            byte >> (n & 7) & 1 != 0
        };
        let present = bit(from);
        let mut to = from;
        let last = sector(end.saturating_add(layout.sector_size).saturating_sub(1));
        let most = last
            .saturating_sub(piece.saturating_mul(BITMAP_PIECE * 8))
            .min(BITMAP_PIECE * 8);
        while to < most && bit(to) == present {
            to = to.saturating_add(1);
        }
        let sectors = piece.saturating_mul(BITMAP_PIECE * 8).saturating_add(to);
        let up_to = start.saturating_add(sectors << layout.sector_size.trailing_zeros());
        Ok((present, up_to.min(end).max(at.saturating_add(1))))
    }

    /// Piece `piece` of the sector bitmap of chunk `chunk`.
    fn bitmap(&self, chunk: u64, piece: u64) -> Result<Arc<[u8]>> {
        let ratio = self.layout.chunk_ratio;
        let index = chunk
            .saturating_mul(ratio.saturating_add(1))
            .saturating_add(ratio);
        let view = self.replayed.over(&self.file);
        let bat = self.layout.bat;
        let (_, entry) = self.table.run(&view, bat, index, index.saturating_add(1))?;
        if entry & 7 != FULLY_PRESENT {
            let error = Error::corrupt("vhdx block allocation table");
            let message = "a block is there in part, and its sector bitmap is not";
            return Err(error
                .at(bat.saturating_add(index.saturating_mul(8)))
                .message(message));
        }
        let at =
            (entry & !MIB.saturating_sub(1)).saturating_add(piece.saturating_mul(BITMAP_PIECE));
        if let Some(bits) = self.bitmaps.get(at) {
            return Ok(bits);
        }
        let bytes = read(&view, "vhdx sector bitmap", at, usize_of(BITMAP_PIECE))?;
        let bits: Arc<[u8]> = Arc::from(bytes);
        self.bitmaps
            .insert(at, Arc::clone(&bits), usize_of(BITMAP_PIECE));
        Ok(bits)
    }
}

impl Layer for Vhdx {
    fn size(&self) -> u64 {
        self.layout.disk_size
    }

    fn sector_size(&self) -> Option<u64> {
        Some(self.layout.sector_size)
    }

    fn unit(&self) -> u64 {
        match self.layout.parent {
            Some(_) => self.layout.sector_size,
            None => self.layout.block_size,
        }
    }

    fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let size = self.layout.block_size.max(1);
        let last = range.end().div_ceil(size);
        let mut at = range.start();
        while at < range.end() {
            let number = at.checked_div(size).unwrap_or(0);
            let start = number.saturating_mul(size);
            let blocks = |count: u64| {
                let end = start.saturating_add(count.saturating_mul(size));
                ByteRange::new(at, end.min(range.end()))
            };
            let (count, entry) = match self.entry(number, last) {
                Ok(found) => found,
                Err(error) => {
                    let part = blocks(1);
                    at = part.end();
                    visit(part, Place::damaged(error))?;
                    continue;
                }
            };
            let host = entry & !MIB.saturating_sub(1);
            let child = self.layout.parent.is_some();
            let part = match entry & 7 {
                FULLY_PRESENT | PARTIALLY_PRESENT => blocks(1),
                _ => blocks(count),
            };
            match entry & 7 {
                // Without a parent, what is below is zeros.
                NOT_PRESENT => visit(part, Place::Below)?,
                UNDEFINED | ZERO | UNMAPPED => visit(part, Place::Zero)?,
                FULLY_PRESENT => {
                    let offset = host.saturating_add(at.saturating_sub(start));
                    visit(part, Place::At { file: 0, offset })?;
                }
                PARTIALLY_PRESENT if child => self.partial(number, part, host, visit)?,
                _ => {
                    let wrong = Error::corrupt("vhdx block allocation table");
                    let wrong = wrong.message("an entry of no known kind").found(entry);
                    visit(part, Place::damaged(wrong))?;
                }
            }
            at = part.end();
        }
        ControlFlow::Continue(())
    }

    fn file(&self, number: usize) -> Option<&RawFile> {
        (number == 0).then_some(&self.file)
    }

    fn id(&self) -> Option<ImageId> {
        Some(ImageId(self.header.data_write_guid.to_string()))
    }

    fn is_unmoved(&self) -> bool {
        Header::read(&self.file).is_ok_and(|now| now == self.header)
    }
}
