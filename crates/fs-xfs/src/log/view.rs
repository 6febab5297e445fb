//! The volume with some sectors rewritten.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_ondisk::{read, to_usize};
use hexz_resolve::{ByteRange, Error, RangeSet, ReadAt, ReadError, Result, check_bounds};

const SECTOR: u64 = 512;
const SECTOR_BYTES: usize = 512;

/// A volume that is written to in memory only.
pub(super) struct View {
    volume: Arc<dyn ReadAt>,
    /// By number.
    sectors: BTreeMap<u64, Box<[u8; SECTOR_BYTES]>>,
    limit: usize,
}

impl View {
    /// `volume` as it is; more than `limit` bytes are not rewritten.
    pub(super) fn new(volume: Arc<dyn ReadAt>, limit: usize) -> Self {
        Self {
            volume,
            sectors: BTreeMap::new(),
            limit,
        }
    }

    /// Reads `length` bytes at `offset`.
    pub(super) fn read(
        &self,
        structure: &'static str,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>> {
        read(self, structure, offset, length)
    }

    /// Rewrites `bytes` at `offset`.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = u64::try_from(bytes.len())
            .ok()
            .and_then(|l| offset.checked_add(l));
        let Some(end) = end.filter(|end| *end <= self.volume.len()) else {
            return Err(Error::corrupt("log item")
                .at(offset)
                .message("it lies past the end"));
        };
        let mut rest = bytes;
        let mut at = offset;
        while at < end {
            let number = at / SECTOR;
            let skip = to_usize(at % SECTOR).unwrap_or(0);
            let length = rest.len().min(SECTOR_BYTES.saturating_sub(skip));
            let (now, later) = rest.split_at(length);
            let sector = self.sector(number)?;
            if let Some(target) = sector.get_mut(skip..skip.saturating_add(length)) {
                target.copy_from_slice(now);
            }
            rest = later;
            at = at.saturating_add(u64::try_from(length).unwrap_or(SECTOR));
        }
        Ok(())
    }

    fn sector(&mut self, number: u64) -> Result<&mut [u8; SECTOR_BYTES]> {
        if !self.sectors.contains_key(&number) {
            if self.sectors.len().saturating_mul(SECTOR_BYTES) >= self.limit {
                let text = format!("it rewrites more than {} bytes", self.limit);
                return Err(Error::limit("log", text));
            }
            let mut bytes = Box::new([0; SECTOR_BYTES]);
            let offset = number.saturating_mul(SECTOR);
            let there = self.volume.len().saturating_sub(offset).min(SECTOR);
            let length = to_usize(there).unwrap_or(0);
            if let Some(part) = bytes.get_mut(..length) {
                hexz_ondisk::read_into(&*self.volume, "log target", offset, part)?;
            }
            self.sectors.insert(number, bytes);
        }
        self.sectors
            .get_mut(&number)
            .map(|sector| &mut **sector)
            .ok_or_else(|| Error::corrupt("log"))
    }

    /// Forgets the sectors that are as they lie; the ranges of the others.
    pub(super) fn ranges(&mut self) -> Result<RangeSet> {
        let mut same = Vec::new();
        for (number, bytes) in &self.sectors {
            let offset = number.saturating_mul(SECTOR);
            let length = to_usize(self.volume.len().saturating_sub(offset)).unwrap_or(SECTOR_BYTES);
            let there = read(
                &*self.volume,
                "log target",
                offset,
                length.min(SECTOR_BYTES),
            )?;
            if bytes.starts_with(&there) {
                same.push(*number);
            }
        }
        for number in same {
            self.sectors.remove(&number);
        }
        let range = |number: &u64| {
            let start = number.saturating_mul(SECTOR);
            ByteRange::new(start, start.saturating_add(SECTOR).min(self.volume.len()))
        };
        Ok(self.sectors.keys().map(range).collect())
    }
}

impl ReadAt for View {
    fn len(&self) -> u64 {
        self.volume.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len())?;
        let end = offset.saturating_add(u64::try_from(buf.len()).unwrap_or(u64::MAX));
        let sectors = self.sectors.range(offset / SECTOR..end.div_ceil(SECTOR));
        self.volume.read_exact_at(offset, buf)?;
        for (number, bytes) in sectors {
            let start = number.saturating_mul(SECTOR);
            let from = start.max(offset);
            let to = start.saturating_add(SECTOR).min(end);
            let part = |base: u64| {
                let from = to_usize(from.saturating_sub(base))?;
                let to = to_usize(to.saturating_sub(base))?;
                Some(from..to)
            };
            let (Some(source), Some(target)) = (part(start), part(offset)) else {
                continue;
            };
            if let (Some(target), Some(source)) = (buf.get_mut(target), bytes.get(source)) {
                target.copy_from_slice(source);
            }
        }
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let rewritten = self.sectors.keys().map(|number| {
            let start = number.saturating_mul(SECTOR);
            ByteRange::new(start, start.saturating_add(SECTOR))
        });
        let rewritten: RangeSet = rewritten.collect();
        self.volume.data_in(range).union(&rewritten.clipped(range))
    }
}
