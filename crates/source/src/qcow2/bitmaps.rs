//! Persistent bitmaps: what was written since one was made, a bit a unit.
//!
//! Specification: <https://www.qemu.org/docs/master/interop/qcow2.html>, "Bitmaps extension".

use hexz_ondisk::{Fields, read};
use hexz_resolve::{ByteRange, Error, RangeSet, Result};

use super::header::Header;
use super::snapshots::listed;
use crate::file::RawFile;
use crate::num::usize_of;
use crate::ranges::Ranges;

/// qemu's own bounds.
const MAX_DIRECTORY: u64 = 64 << 20;
const MAX_TABLE: u32 = 0x800_0000;
const MAX_GRANULARITY_BITS: u8 = 31;

const IN_USE: u32 = 1;
/// The one type of bitmap there is: dirty tracking.
const DIRTY_TRACKING: u8 = 1;
const ENTRY: usize = 24;
/// Bits 9 to 55 of a table's entry.
const OFFSET: u64 = 0x00FF_FFFF_FFFF_FE00;
/// Bit 0 of an entry without offset: all bits are set.
const ALL_ONES: u64 = 1;

/// An entry of the directory.
#[derive(Clone, Debug)]
pub(super) struct Bitmap {
    pub(super) name: String,
    pub(super) granularity_bits: u8,
    /// It was not written back, after a crash or since a program is using it: bits may be missing.
    pub(super) in_use: bool,
    kind: u8,
    table_offset: u64,
    table_size: u32,
}

/// All bitmaps of an image, in the order of the directory.
pub(super) fn read_all(file: &RawFile, header: &Header) -> Result<Vec<Bitmap>> {
    let Some(directory) = header.bitmaps else {
        return Ok(Vec::new());
    };
    if directory.bytes > MAX_DIRECTORY {
        let text = format!("{} bytes; at most {MAX_DIRECTORY}", directory.bytes);
        return Err(Error::limit("qcow2 bitmap directory", text).at(directory.offset));
    }
    let bytes = usize_of(directory.bytes);
    let bytes = read(file, "qcow2 bitmap directory", directory.offset, bytes)?;
    let f = Fields::new("qcow2 bitmap directory", directory.offset, &bytes);
    let mut all = Vec::new();
    let mut at = 0usize;
    for _ in 0..directory.count {
        let entry = f.sub("qcow2 bitmap directory", at, ENTRY)?;
        let name_size = usize::from(entry.be16(18)?);
        let extra = usize_of(u64::from(entry.be32(20)?));
        let name_at = extra.saturating_add(ENTRY);
        let whole = name_at.saturating_add(name_size);
        let entry = f.sub("qcow2 bitmap directory", at, whole)?;
        let granularity_bits = entry.u8(17)?;
        if granularity_bits > MAX_GRANULARITY_BITS {
            let error = entry.corrupt(17).expected("at most 31");
            return Err(error.found(granularity_bits));
        }
        all.push(Bitmap {
            name: String::from_utf8_lossy(entry.bytes(name_at, name_size)?).into_owned(),
            granularity_bits,
            in_use: entry.be32(12)? & IN_USE != 0 || !header.bitmaps_are_kept,
            kind: entry.u8(16)?,
            table_offset: entry.be64(0)?,
            table_size: entry.be32(8)?,
        });
        at = at.saturating_add(whole.checked_next_multiple_of(8).unwrap_or(whole));
    }
    Ok(all)
}

/// The bitmap called `wanted`.
pub(super) fn find(file: &RawFile, header: &Header, wanted: &str) -> Result<Bitmap> {
    let all = read_all(file, header)?;
    match all.iter().find(|bitmap| bitmap.name == wanted) {
        Some(bitmap) => Ok(bitmap.clone()),
        None => {
            let names = all.iter().map(|bitmap| bitmap.name.as_str());
            let text = format!("no bitmap {wanted:?}; {}", listed(names, all.len()));
            Err(Error::io("qcow2 bitmap", text))
        }
    }
}

impl Bitmap {
    /// Bytes of the disk that a bit stands for.
    pub(super) fn granularity(&self) -> u64 {
        1 << self.granularity_bits
    }

    /// What of a disk of `disk_size` bytes has its bit set; more where it is in more than `most`
    /// pieces.
    pub(super) fn ranges(
        &self,
        file: &RawFile,
        header: &Header,
        disk_size: u64,
        most: usize,
    ) -> Result<RangeSet> {
        if self.kind != DIRTY_TRACKING {
            let text = format!("bitmap {:?} of type {}", self.name, self.kind);
            return Err(Error::unsupported("qcow2 bitmap", text));
        }
        let cluster = header.cluster_size();
        // A cluster of the bitmap has a bit for each unit.
        let covers = self.granularity().saturating_mul(cluster).saturating_mul(8);
        let needed = disk_size.div_ceil(covers.max(1));
        let error = || Error::corrupt("qcow2 bitmap table").at(self.table_offset);
        if self.table_size > MAX_TABLE || u64::from(self.table_size) < needed {
            let expected = format!("{needed} entries, and at most {MAX_TABLE}");
            return Err(error().expected(expected).found(self.table_size));
        }
        let bytes = usize_of(needed.saturating_mul(8));
        let table = read(file, "qcow2 bitmap table", self.table_offset, bytes)?;
        let mut all = Ranges::new(most);
        for (number, entry) in (0u64..).zip(table.as_chunks::<8>().0) {
            let entry = u64::from_be_bytes(*entry);
            let start = number.saturating_mul(covers);
            let window = ByteRange::new(start, start.saturating_add(covers).min(disk_size));
            match entry & OFFSET {
                0 if entry & ALL_ONES != 0 => all.add(window),
                0 => {}
                at => {
                    let bits = read(file, "qcow2 bitmap", at, usize_of(cluster))?;
                    self.add_bits(&bits, window, &mut all);
                }
            }
        }
        Ok(all.within(ByteRange::new(0, disk_size)))
    }

    /// The lowest bit of a byte comes first.
    fn add_bits(&self, bits: &[u8], window: ByteRange, all: &mut Ranges) {
        let unit = self.granularity();
        for (number, byte) in (0u64..).zip(bits).filter(|(_, byte)| **byte != 0) {
            for bit in (0..8u64).filter(|bit| byte >> bit & 1 != 0) {
                let unit_number = number.saturating_mul(8).saturating_add(bit);
                let start = window
                    .start()
                    .saturating_add(unit_number.saturating_mul(unit));
                let range = ByteRange::new(start, start.saturating_add(unit));
                all.add(range.intersection(&window).unwrap_or_default());
            }
        }
    }
}
