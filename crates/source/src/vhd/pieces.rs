//! From a place on the disk to where its bytes are: the block allocation table, and the bitmap in
//! front of each block.

use std::sync::Arc;

use hexz_ondisk::{Fields, read};
use hexz_resolve::{ByteRange, Error, ReadAt, Result};

use super::ondisk::{Header, SECTOR};
use crate::cache::Cache;
use crate::layer::Place;
use crate::num::{u64_of, usize_of};

/// Most entries of a table: as many as 2 TiB, which is what sector numbers reach, have of blocks
/// of 128 KiB.
const MAX_ENTRIES: u64 = 1 << 24;
/// The entry of a block that the file does not have.
const ABSENT: u32 = 0xFFFF_FFFF;

/// A loaded block allocation table.
pub(super) struct Blocks {
    /// As it lies: four bytes an entry.
    table: Vec<u8>,
    table_offset: u64,
    block_bits: u32,
    bitmap_bytes: u64,
    disk_size: u64,
    bitmaps: Cache<[u8]>,
}

impl Blocks {
    /// Loads the table of a disk of `disk_size`. Keeps up to `cache_bytes` of bitmaps.
    pub(super) fn load(
        file: &dyn ReadAt,
        header: &Header,
        disk_size: u64,
        cache_bytes: usize,
    ) -> Result<Self> {
        let at = header.table_offset;
        let error = || Error::corrupt("vhd block allocation table").at(at);
        let needed = disk_size.div_ceil(header.block_size.max(1));
        if needed > MAX_ENTRIES {
            let message = format!("{needed} entries; at most {MAX_ENTRIES}");
            return Err(Error::limit("vhd block allocation table", message).at(at));
        }
        if u64::from(header.max_table_entries) < needed {
            let expected = format!("at least {needed} entries for {disk_size} bytes");
            return Err(error().expected(expected).found(header.max_table_entries));
        }
        let length = needed.saturating_mul(4);
        if at.checked_add(length).is_none_or(|end| end > file.len()) {
            return Err(error().expected("a table within the file"));
        }
        // A bit a sector, in whole sectors.
        let bitmap_bytes = header.block_size.div_ceil(SECTOR * 8);
        let bitmap_bytes = bitmap_bytes.next_multiple_of(SECTOR);
        let blocks = Self {
            table: read(file, "vhd block allocation table", at, usize_of(length))?,
            table_offset: at,
            block_bits: header.block_size.trailing_zeros(),
            bitmap_bytes,
            disk_size,
            bitmaps: Cache::new(cache_bytes, usize_of(bitmap_bytes)),
        };
        blocks.check_count(file.len(), needed)?;
        Ok(blocks)
    }

    /// Many more blocks than fit into the file are one and the same, whose bitmap would be walked
    /// over and over.
    fn check_count(&self, file_len: u64, needed: u64) -> Result<()> {
        let there = |n: &u64| self.host(*n, file_len).is_ok_and(|host| host.is_some());
        let count = u64_of((0..needed).filter(there).count());
        let each = self.bitmap_bytes.saturating_add(1 << self.block_bits);
        let most = file_len.div_ceil(each).saturating_mul(2);
        if count <= most {
            return Ok(());
        }
        let error = Error::corrupt("vhd block allocation table").at(self.table_offset);
        let expected = format!("at most {most} blocks in the file");
        Err(error.expected(expected).found(count))
    }

    /// Where block `number` begins with its bitmap.
    fn host(&self, number: u64, file_len: u64) -> Result<Option<u64>> {
        let f = Fields::new("vhd block allocation table", self.table_offset, &self.table);
        let at = usize_of(number).saturating_mul(4);
        let entry = f.be32(at)?;
        if entry == ABSENT {
            return Ok(None);
        }
        let host = u64::from(entry).saturating_mul(SECTOR);
        // Sector 0 is the copy of the footer.
        if entry == 0 || host.saturating_add(self.bitmap_bytes) >= file_len {
            let error = f.corrupt(at).expected("a block within the file");
            return Err(error.found(format_args!("sector {entry}")));
        }
        Ok(Some(host))
    }

    fn bitmap(&self, file: &dyn ReadAt, host: u64) -> Result<Arc<[u8]>> {
        if let Some(bitmap) = self.bitmaps.get(host) {
            return Ok(bitmap);
        }
        let length = usize_of(self.bitmap_bytes);
        let bitmap: Arc<[u8]> = read(file, "vhd sector bitmap", host, length)?.into();
        self.bitmaps.insert(host, Arc::clone(&bitmap), length);
        Ok(bitmap)
    }

    /// The pieces of `range`, rising and without gaps. A block that is damaged is one piece, and
    /// the next goes on behind it.
    pub(super) fn pieces<'a>(&'a self, file: &'a dyn ReadAt, range: ByteRange) -> Pieces<'a> {
        Pieces {
            blocks: self,
            file,
            at: range.start(),
            end: range.end().min(self.disk_size),
            bitmap: None,
        }
    }
}

/// See [`Blocks::pieces`].
pub(super) struct Pieces<'a> {
    blocks: &'a Blocks,
    file: &'a dyn ReadAt,
    at: u64,
    end: u64,
    /// The one that was last used, and of which block.
    bitmap: Option<(u64, Arc<[u8]>)>,
}

impl Pieces<'_> {
    fn number(&self) -> u64 {
        self.at >> self.blocks.block_bits
    }

    /// Where the block of `number` ends, or the range does.
    fn end_of(&self, number: u64) -> u64 {
        let end = number.saturating_add(1) << self.blocks.block_bits;
        end.min(self.end)
    }

    /// From here to where the place is another.
    fn place(&mut self) -> (u64, Place) {
        let number = self.number();
        let end = self.end_of(number);
        match self.blocks.host(number, self.file.len()) {
            Ok(None) => {
                let (mut number, mut end) = (number, end);
                while end < self.end {
                    number = number.saturating_add(1);
                    match self.blocks.host(number, self.file.len()) {
                        Ok(None) => end = self.end_of(number),
                        _ => break,
                    }
                }
                (end, Place::Below)
            }
            Ok(Some(host)) => match self.in_block(host, number, end) {
                Ok(found) => found,
                Err(error) => (end, Place::damaged(error)),
            },
            Err(error) => (end, Place::damaged(error)),
        }
    }

    fn in_block(&mut self, host: u64, number: u64, end: u64) -> Result<(u64, Place)> {
        let bitmap = match self.bitmap.take() {
            Some((of, bitmap)) if of == number => bitmap,
            _ => self.blocks.bitmap(self.file, host)?,
        };
        let start = number << self.blocks.block_bits;
        let inside = self.at.saturating_sub(start);
        let sector = |at: u64| usize_of(at.saturating_sub(start).div_ceil(SECTOR));
        let from = usize_of(inside >> SECTOR.trailing_zeros());
        let (set, to) = run(&bitmap, from, sector(end));
        self.bitmap = Some((number, bitmap));
        let end = start.saturating_add(u64_of(to).saturating_mul(SECTOR));
        let data = host.saturating_add(self.blocks.bitmap_bytes);
        let place = match set {
            true => Place::At {
                file: 0,
                offset: data.saturating_add(inside),
            },
            false => Place::Below,
        };
        Ok((end.min(self.end), place))
    }
}

impl Iterator for Pieces<'_> {
    type Item = (ByteRange, Place);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let (end, place) = self.place();
        let piece = ByteRange::new(self.at, end);
        self.at = end;
        Some((piece, place))
    }
}

/// Whether bit `from` is set, and the first one before `to` that is another than it, else `to`.
/// The highest bit of a byte comes first.
fn run(bits: &[u8], from: usize, to: usize) -> (bool, usize) {
    let byte = |at: usize| bits.get(at >> 3).copied().unwrap_or(0);
    let bit = |at: usize| byte(at) & (0x80 >> (at & 7)) != 0;
    let set = bit(from);
    let whole = if set { 0xFF } else { 0 };
    let mut at = from;
    while at < to {
        let step = match at & 7 {
            0 if byte(at) == whole => 8,
            _ if bit(at) == set => 1,
            _ => break,
        };
        at = at.saturating_add(step);
    }
    (set, at.min(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_those_of_a_walk_by_bit() {
        let bits = [0xFF, 0xFF, 0b1110_0001, 0, 0, 0b0000_1000, 0xFF, 0x7F];
        let bit = |at: usize| bits[at / 8] & (0x80 >> (at % 8)) != 0;
        for from in 0..64 {
            for to in from + 1..=64 {
                let end = (from..to).find(|at| bit(*at) != bit(from)).unwrap_or(to);
                assert_eq!(run(&bits, from, to), (bit(from), end), "{from} {to}");
            }
        }
    }
}
