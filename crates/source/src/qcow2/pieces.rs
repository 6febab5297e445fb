//! From a place on the disk to where its bytes are: L1 and L2 tables.

use std::ops::ControlFlow;
use std::sync::Arc;

use hexz_ondisk::{Fields, read};
use hexz_resolve::{ByteRange, Error, ReadAt, Result};

use super::header::{Header, L1};
use crate::cache::Cache;
use crate::layer::{Place, Visit};
use crate::num::{u64_of, usize_of};

/// Bits 9 to 55 of an entry: a byte offset.
const OFFSET: u64 = 0x00FF_FFFF_FFFF_FE00;
/// Bit 63: the reference count is exactly one.
const COPIED: u64 = 1 << 63;
/// Bit 62 of an L2 entry: the cluster is compressed.
const COMPRESSED: u64 = 1 << 62;
/// Bit 0 of an L2 entry: the cluster reads as zeros.
const ZERO: u64 = 1;

/// Entries of an L1 table that may name the table of another: damage to a few leaves the rest to
/// be read.
const MAX_REPEATED: usize = 64;

/// A loaded L1 table.
pub(super) struct Tables {
    l1: Vec<u64>,
    pub(super) disk_size: u64,
    cluster_bits: u32,
    extended: bool,
    /// Guest data lies in another file: there, offset 0 is as good as any.
    external: bool,
    zero_flag: bool,
    l2_covers: u64,
    entry_bytes: u64,
    cache: Cache<[u64]>,
}

impl Tables {
    /// Loads the table at `l1`. Keeps up to `cache_bytes` of L2 tables.
    pub(super) fn load(
        file: &dyn ReadAt,
        header: &Header,
        l1: L1,
        cache_bytes: usize,
    ) -> Result<Self> {
        header.check_l1(l1, file.len())?;
        let length = usize_of(u64::from(l1.entries)).saturating_mul(8);
        let bytes = read(file, "qcow2 L1 table", l1.offset, length)?;
        let l1_words = words(&bytes);
        // A table is one part of the disk's: few bytes could else describe a disk without end.
        let again = repeated(&l1_words);
        if again > MAX_REPEATED {
            let error = Error::corrupt("qcow2 L1 table").at(l1.offset);
            let expected = "each L2 table once";
            return Err(error
                .expected(expected)
                .found(format_args!("{again} again")));
        }
        Ok(Self {
            l1: l1_words,
            disk_size: l1.disk_size,
            cluster_bits: header.cluster_bits,
            extended: header.extended_l2,
            external: header.data_file.is_some(),
            zero_flag: header.version >= 3,
            l2_covers: header.l2_covers(),
            entry_bytes: header.entry_bytes(),
            cache: Cache::new(cache_bytes, usize_of(header.cluster_size())),
        })
    }

    fn cluster_size(&self) -> u64 {
        1u64.checked_shl(self.cluster_bits).unwrap_or(1)
    }

    /// The part of the disk that the L2 table of `offset` describes.
    fn window(&self, offset: u64) -> ByteRange {
        // A power of two, as are its factors.
        let start = offset & !self.l2_covers.saturating_sub(1);
        ByteRange::new(start, start.saturating_add(self.l2_covers))
    }

    /// Where the L2 table of `offset` lies; 0 where there is none.
    fn l2_offset(&self, offset: u64) -> u64 {
        let at = offset.checked_div(self.l2_covers).unwrap_or(0);
        self.l1.get(usize_of(at)).map_or(0, |entry| entry & OFFSET)
    }

    /// Hands `visit` the pieces of `range`.
    pub(super) fn pieces(
        &self,
        file: &dyn ReadAt,
        range: ByteRange,
        visit: &mut Visit<'_>,
    ) -> ControlFlow<()> {
        let mut at = range.start();
        while at < range.end() {
            let window = self.window(at);
            let piece = ByteRange::new(at, window.end().min(range.end()));
            at = piece.end();
            let l2 = self.l2_offset(piece.start());
            if l2 == 0 {
                visit(piece, Place::Below)?;
                continue;
            }
            let table = match self.l2(file, l2) {
                Ok(table) => table,
                Err(error) => {
                    visit(piece, Place::damaged(error))?;
                    continue;
                }
            };
            let mut from = piece.start();
            while from < piece.end() {
                let (cluster, place) = self.entry(&table, window, from, l2);
                let part = ByteRange::new(from, cluster.end().min(piece.end()));
                visit(part, place.after(from.saturating_sub(cluster.start())))?;
                from = part.end();
            }
        }
        ControlFlow::Continue(())
    }

    fn l2(&self, file: &dyn ReadAt, offset: u64) -> Result<Arc<[u64]>> {
        if let Some(table) = self.cache.get(offset) {
            return Ok(table);
        }
        let error = || Error::corrupt("qcow2 L2 table").at(offset);
        if offset & self.cluster_size().saturating_sub(1) != 0 {
            return Err(error().expected("a table at the start of a cluster"));
        }
        let bytes = read(
            file,
            "qcow2 L2 table",
            offset,
            usize_of(self.cluster_size()),
        )?;
        let table: Arc<[u64]> = Arc::from(words(&bytes));
        self.cache.insert(offset, Arc::clone(&table), bytes.len());
        Ok(table)
    }

    /// The cluster or subcluster of `at`, in the table of `window` at `l2`, and its place.
    fn entry(&self, table: &[u64], window: ByteRange, at: u64, l2: u64) -> (ByteRange, Place) {
        let inside = at.saturating_sub(window.start());
        let number = inside >> self.cluster_bits;
        let start = window.start().saturating_add(number << self.cluster_bits);
        let cluster = ByteRange::new(start, start.saturating_add(self.cluster_size()));
        let word = number.saturating_mul(self.entry_bytes >> 3);
        let word_at = |at: u64| table.get(usize_of(at)).copied().unwrap_or(0);
        let entry = word_at(word);
        let offset = l2.saturating_add(word << 3);
        if entry & COMPRESSED != 0 {
            return (cluster, self.compressed(entry, offset));
        }
        let host = entry & OFFSET;
        let damaged = |what| damaged_entry(offset, what);
        let data = |offset| Place::At {
            file: usize::from(self.external),
            offset,
        };
        if host & self.cluster_size().saturating_sub(1) != 0 {
            let place = damaged("it does not lead to the start of a cluster");
            return (cluster, place);
        }
        let allocated = host != 0 || self.external && entry & COPIED != 0;
        if !self.extended {
            let place = match entry & ZERO != 0 && self.zero_flag {
                true => Place::Zero,
                false if allocated => data(host),
                false => Place::Below,
            };
            return (cluster, place);
        }
        let bits = word_at(word.saturating_add(1));
        let unit_bits = self.cluster_bits.saturating_sub(5);
        let sub = at.saturating_sub(start) >> unit_bits;
        let sub_start = start.saturating_add(sub << unit_bits);
        let range = ByteRange::new(sub_start, sub_start.saturating_add(1 << unit_bits));
        let is_allocated = bits >> sub & 1 != 0;
        let is_zero = bits >> sub.saturating_add(32) & 1 != 0;
        let place = match (is_allocated, is_zero) {
            (true, true) => damaged("a subcluster is allocated and zero at a time"),
            (true, false) if !allocated => damaged("a subcluster lies nowhere"),
            (true, false) => data(host.saturating_add(sub << unit_bits)),
            (false, true) => Place::Zero,
            (false, false) => Place::Below,
        };
        (range, place)
    }

    fn compressed(&self, entry: u64, offset: u64) -> Place {
        if self.external {
            let what = "a compressed cluster in an image with a data file";
            return damaged_entry(offset, what);
        }
        // Of the low 62 bits, the upper ones count the further sectors that are touched.
        let shift = 70u32.saturating_sub(self.cluster_bits);
        let host = entry & (1u64.checked_shl(shift).unwrap_or(0)).saturating_sub(1);
        let sectors = (entry & COMPRESSED.saturating_sub(1)) >> shift;
        let length = sectors
            .saturating_add(1)
            .saturating_mul(512)
            .saturating_sub(host & 511);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        Place::Packed {
            file: 0,
            offset: host,
            length,
        }
    }
}

fn damaged_entry(offset: u64, what: &str) -> Place {
    Place::damaged(Error::corrupt("qcow2 L2 entry").at(offset).message(what))
}

/// How many entries of an L1 table name an L2 table that another one names.
fn repeated(l1: &[u64]) -> usize {
    let offsets = l1.iter().map(|entry| entry & OFFSET);
    let mut tables: Vec<u64> = offsets.filter(|offset| *offset != 0).collect();
    tables.sort_unstable();
    let named = tables.len();
    tables.dedup();
    named.saturating_sub(tables.len())
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.chunks_exact(8);
    let mut out = Vec::with_capacity(usize_of(u64_of(bytes.len()) >> 3));
    out.extend(words.map(|word| Fields::new("word", 0, word).be64(0).unwrap_or(0)));
    out
}
