//! A disk in memory that keeps only what was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_resolve::{ByteRange, RangeSet, ReadAt, ReadError, check_bounds};

const PAGE: u64 = 4096;

/// A disk of any size; what was never written reads as zeros and is a hole.
#[derive(Clone, Debug, Default)]
pub struct SparseDisk {
    size: u64,
    pages: BTreeMap<u64, Arc<[u8]>>,
}

impl SparseDisk {
    /// A disk of `size` bytes, all zero.
    #[must_use]
    pub const fn new(size: u64) -> Self {
        Self {
            size,
            pages: BTreeMap::new(),
        }
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Panics
    /// When they reach past the end of the disk.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        check_bounds(offset, bytes.len(), self.size).expect("the write lies on the disk");
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = (at % PAGE) as usize;
            let (now, later) = rest.split_at(rest.len().min(PAGE as usize - within));
            let old = self.pages.get(&(at / PAGE));
            let mut page = old.map_or_else(|| vec![0; PAGE as usize], |p| p.to_vec());
            page[within..within + now.len()].copy_from_slice(now);
            self.pages.insert(at / PAGE, page.into());
            at += now.len() as u64;
            rest = later;
        }
    }
}

impl ReadAt for SparseDisk {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.size)?;
        buf.fill(0);
        let end = offset + buf.len() as u64;
        for (&page, bytes) in self.pages.range(offset / PAGE..end.div_ceil(PAGE)) {
            let page = ByteRange::new(page * PAGE, (page + 1) * PAGE);
            if let Some(part) = page.intersection(&ByteRange::new(offset, end)) {
                let from = (part.start() - page.start()) as usize;
                let to = (part.start() - offset) as usize;
                let length = part.len() as usize;
                buf[to..to + length].copy_from_slice(&bytes[from..from + length]);
            }
        }
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let disk = ByteRange::new(0, self.size);
        let pages = self.pages.range(range.start() / PAGE..);
        pages
            .map(|(page, _)| ByteRange::new(page * PAGE, (page + 1) * PAGE))
            .take_while(|page| page.start() < range.end())
            .filter_map(|page| page.intersection(&range)?.intersection(&disk))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_and_zeros_elsewhere() {
        let mut disk = SparseDisk::new(1 << 40);
        disk.write((1 << 30) - 2, &[1, 2, 3, 4]);
        let mut buf = [9; 8];
        disk.read_exact_at((1 << 30) - 4, &mut buf).unwrap();
        assert_eq!(buf, [0, 0, 1, 2, 3, 4, 0, 0]);
        let data = disk.data_in(ByteRange::new(0, u64::MAX));
        let around = ByteRange::new((1 << 30) - PAGE, (1 << 30) + PAGE);
        assert_eq!(data, around.into());
        assert!(disk.read_exact_at((1 << 40) - 4, &mut buf).is_err());
    }
}
