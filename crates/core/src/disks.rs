//! Several disks of one machine, as one space of offsets.

use std::sync::Arc;

use crate::{ByteRange, Error, RangeSet, ReadAt, ReadError, Result, View, check_bounds};

/// Disks begin at its multiples, so that no unit of changes reaches into two.
const ALIGNMENT: u64 = 64 << 20;

/// One of several disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// The disk before, as the user named it.
    pub base: Option<String>,
    /// What changed on it, as the user named that.
    pub overlay: Option<String>,
    /// Bytes of the disk before and after.
    pub lengths: [u64; 2],
}

impl Disk {
    /// Bytes of it in a view.
    #[must_use]
    pub const fn length(&self, view: View) -> u64 {
        let [base, merged] = self.lengths;
        match view {
            View::Base => base,
            View::Merged => merged,
        }
    }
}

/// The disks of one machine, one behind the other in one space of offsets, with room between
/// them. The engine counts in that space; reports count each disk from its own start. Empty where
/// there is one disk only, which is the space itself.
#[derive(Clone, Debug, Default)]
pub struct Disks {
    all: Vec<(u64, Disk)>,
}

impl Disks {
    /// Puts disks behind each other.
    ///
    /// # Errors
    /// When they are longer than 64 bits count.
    pub fn new(disks: Vec<Disk>) -> Result<Self> {
        let mut all = Vec::new();
        let mut start = 0u64;
        for disk in disks {
            let [base, merged] = disk.lengths;
            all.push((start, disk));
            // One byte at least lies between two disks, so that no range is of both.
            let end = start.checked_add(base.max(merged));
            let next = end.and_then(|end| end.checked_add(1)?.checked_next_multiple_of(ALIGNMENT));
            start = next.ok_or_else(|| {
                Error::unsupported("disks", "together they are longer than 64 bits count")
            })?;
        }
        Ok(Self { all })
    }

    /// The disks; none where there is one only.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Disk> {
        self.all.iter().map(|(_, disk)| disk)
    }

    /// Whether there are several.
    #[must_use]
    pub fn several(&self) -> bool {
        self.all.len() > 1
    }

    /// All of them in `view` as one reader, in the order of the disks.
    #[must_use]
    pub fn join(&self, readers: &[Arc<dyn ReadAt>]) -> Arc<dyn ReadAt> {
        let starts = self.all.iter().map(|(start, _)| *start);
        Arc::new(Joined::new(starts.zip(readers.iter().cloned())))
    }

    /// Where each disk lies in the space of a view that is `length` bytes long.
    pub(crate) fn ranges(&self, view: View, length: u64) -> Vec<ByteRange> {
        if self.all.is_empty() {
            return vec![ByteRange::new(0, length)];
        }
        let all = self.all.iter();
        all.filter_map(|(start, disk)| ByteRange::at(*start, disk.length(view)))
            .collect()
    }

    /// All bytes of the disks, in either view.
    #[must_use]
    pub fn whole(&self, length: u64) -> RangeSet {
        let views = [View::Base, View::Merged];
        let ranges = views.map(|view| self.ranges(view, length));
        ranges.into_iter().flatten().collect()
    }

    /// Ranges of one disk, counted from zero, in the space of all.
    #[must_use]
    pub fn shifted(&self, disk: usize, ranges: &RangeSet) -> RangeSet {
        let start = self.all.get(disk).map_or(0, |(start, _)| *start);
        ranges.iter().filter_map(|r| r.moved_up(start)).collect()
    }

    /// The disk that an offset of the space is of, from 1 on, and the offset there. Where there is
    /// one disk only it has no number.
    #[must_use]
    pub fn place(&self, offset: u64) -> (Option<u32>, u64) {
        let behind = self.all.partition_point(|(start, _)| *start <= offset);
        let disk = behind.checked_sub(1).and_then(|n| self.all.get(n));
        match disk {
            Some((start, _)) => (u32::try_from(behind).ok(), offset - start),
            None => (None, offset),
        }
    }

    /// The offset of the space for one of a disk, which has a number from 1 on; `None` where there
    /// is no such disk, or it is shorter.
    #[must_use]
    pub fn offset(&self, disk: u32, offset: u64) -> Option<u64> {
        let index = usize::try_from(disk).ok()?.checked_sub(1)?;
        let (start, _) = self.all.get(index)?;
        start.checked_add(offset)
    }
}

/// Several devices, each at its place; what lies between them reads as zeros.
pub struct Joined {
    /// By start; they do not overlap.
    parts: Vec<(u64, Arc<dyn ReadAt>)>,
    length: u64,
}

impl Joined {
    /// Devices with the places at which they begin, rising.
    #[must_use]
    pub fn new(parts: impl IntoIterator<Item = (u64, Arc<dyn ReadAt>)>) -> Self {
        let parts: Vec<_> = parts.into_iter().collect();
        let ends = parts
            .iter()
            .map(|(start, device)| start.checked_add(device.len()));
        let length = ends.flatten().max().unwrap_or_default();
        Self { parts, length }
    }

    /// The parts that share a byte with `range`, each with what it has of it, from its own start.
    fn within(&self, range: ByteRange) -> impl Iterator<Item = (u64, &dyn ReadAt, ByteRange)> {
        let from = self
            .parts
            .partition_point(|(start, _)| *start <= range.start());
        let parts = self.parts.get(from.saturating_sub(1)..).unwrap_or_default();
        parts.iter().filter_map(move |(start, device)| {
            let own = ByteRange::at(*start, device.len())?.intersection(&range)?;
            Some((*start, &**device, own.moved_down(*start)?))
        })
    }
}

impl ReadAt for Joined {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::result::Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.length)?;
        let range = ByteRange::new(offset, offset + buf.len() as u64);
        let mut done = 0;
        for (start, device, part) in self.within(range) {
            // Parts lie within the range, which is as long as `buf`.
            let from = (start + part.start() - offset) as usize;
            let to = from + part.len() as usize;
            buf[done..from].fill(0);
            device.read_exact_at(part.start(), &mut buf[from..to])?;
            done = to;
        }
        buf[done..].fill(0);
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let mut all = Vec::new();
        for (start, device, part) in self.within(range) {
            let data = device.data_in(part);
            all.extend(data.iter().filter_map(|r| r.moved_up(start)));
        }
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_counts_from_its_own_start() {
        let disk = |base, merged| Disk {
            lengths: [base, merged],
            ..Disk::default()
        };
        let disks = Disks::new(vec![disk(10, 20), disk(ALIGNMENT, 5), disk(7, 7)]).unwrap();
        let second = disks.offset(2, 3).unwrap();
        assert_eq!(disks.place(second), (Some(2), 3));
        assert_eq!(disks.place(0), (Some(1), 0));
        assert_eq!(disks.offset(4, 0), None);
        assert_eq!(disks.offset(0, 0), None);
        assert_eq!(Disks::default().place(5), (None, 5));
        let readers: Vec<Arc<dyn ReadAt>> = vec![
            Arc::new(vec![1; 20]),
            Arc::new(vec![2; 5]),
            Arc::new(vec![3; 7]),
        ];
        let joined = disks.join(&readers);
        let mut buf = [9; 8];
        joined.read_exact_at(second - 4, &mut buf).unwrap();
        assert_eq!(buf, [0, 2, 2, 2, 2, 2, 0, 0]);
        joined.read_exact_at(16, &mut buf).unwrap();
        assert_eq!(buf, [1, 1, 1, 1, 0, 0, 0, 0]);
        assert!(joined.read_exact_at(joined.len(), &mut buf).is_err());
        assert_eq!(disks.ranges(View::Base, 0)[1].len(), ALIGNMENT);
        assert!(Disks::new(vec![disk(u64::MAX - 5, 0); 2]).is_err());
    }
}
