//! Pieces of the inode tables: what a sweep reads at a time.

use hexz_resolve::{ByteRange, Error, RangeSet, Scan};

use crate::fs::Ext4;

/// Bytes of a slice: few, since a slice in which a byte changed is read in both views.
const SLICE: u64 = 128 << 10;

/// A slice of the inode table of one group. Holds all that its result depends on beside the bytes
/// it reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slice {
    /// Byte of the first inode.
    pub(crate) start: u64,
    /// Its number.
    pub(crate) first: u64,
    /// How many.
    pub(crate) count: u64,
    /// The orphans among them.
    orphans: Vec<u64>,
}

impl Slice {
    /// Where it lies; each inode takes `size` bytes.
    fn table(&self, size: u64) -> ByteRange {
        let length = self.count.saturating_mul(size);
        ByteRange::new(self.start, self.start.saturating_add(length))
    }

    /// It in smaller ones; each inode takes `size` bytes.
    pub(crate) fn parts(&self, size: u64) -> impl Iterator<Item = Self> {
        const INODES: u64 = 64;
        let starts = (0..self.count.div_ceil(INODES)).map(|n| n.saturating_mul(INODES));
        starts.map(move |from| {
            let to = from.saturating_add(INODES).min(self.count);
            self.part(from, to, size)
        })
    }

    /// Its inodes from the one with index `from` up to that with index `to`.
    fn part(&self, from: u64, to: u64, size: u64) -> Self {
        let first = self.first.saturating_add(from);
        let numbers = first..self.first.saturating_add(to);
        let orphans = self.orphans.iter().copied();
        Self {
            start: self.start.saturating_add(from.saturating_mul(size)),
            first,
            count: to.saturating_sub(from),
            orphans: orphans.filter(|n| numbers.contains(n)).collect(),
        }
    }
}

/// Cuts `slices` into what holds the inodes, of `size` bytes each, that share a byte with `wanted`,
/// and the rest.
pub(crate) fn cut(slices: &[Slice], wanted: &RangeSet, size: u64) -> (Vec<Slice>, Vec<Slice>) {
    let size = size.max(1);
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for slice in slices {
        let mut done = 0;
        for part in wanted.overlapping(slice.table(size)) {
            let within = |byte: u64| byte.saturating_sub(slice.start);
            let from = within(part.start()).checked_div(size).unwrap_or(0);
            let to = within(part.end()).div_ceil(size).min(slice.count);
            // The inode before may have been wanted for another range.
            let from = from.max(done);
            far.extend((done < from).then(|| slice.part(done, from, size)));
            near.extend((from < to).then(|| slice.part(from, to, size)));
            done = done.max(to);
        }
        far.extend((done < slice.count).then(|| slice.part(done, slice.count, size)));
    }
    (near, far)
}

impl Ext4 {
    /// The used parts of the inode tables that `keep` wants, in pieces that fit a unit.
    pub(crate) fn slices(&self, cx: &Scan<'_>, keep: impl Fn(ByteRange) -> bool) -> Vec<Slice> {
        let size = u64::from(self.geometry.sb.s_inode_size);
        let unit = u64::try_from(cx.limits().unit_bytes).unwrap_or(u64::MAX);
        let most = unit.min(SLICE).checked_div(size).unwrap_or(0).max(1);
        let mut slices = Vec::new();
        // Tables don't overlap, so together they are no longer than the volume. Where descriptors
        // say otherwise, the same bytes must not be swept over and over.
        let mut left = self.geometry.volume;
        for group in 0..self.geometry.groups.len() {
            let Some((start, first, count)) = self.geometry.inode_table(group) else {
                continue;
            };
            let Some(rest) = left.checked_sub(count.saturating_mul(size)) else {
                let text = "inode tables are longer than the volume; the rest is left out";
                let _ = cx.tolerate(Error::corrupt("group descriptors").message(text));
                break;
            };
            left = rest;
            let mut done = 0;
            while done < count {
                let now = count.saturating_sub(done).min(most);
                let start = start.saturating_add(done.saturating_mul(size));
                let first = first.saturating_add(done);
                let table = ByteRange::at(start, now.saturating_mul(size));
                if table.is_some_and(&keep) {
                    let orphans = self.orphans.range(first..first.saturating_add(now));
                    let orphans = orphans.copied().collect();
                    slices.push(Slice {
                        start,
                        first,
                        count: now,
                        orphans,
                    });
                }
                done = done.saturating_add(now);
            }
        }
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_inode_is_in_one_of_the_two() {
        let slice = Slice {
            start: 1000,
            first: 17,
            count: 16,
            orphans: vec![18, 20],
        };
        let wanted = [
            (0, 900),
            (1100, 1101),
            (1350, 1360),
            (1390, 1405),
            (2599, 9999),
        ];
        let wanted: RangeSet = wanted
            .map(|(a, b)| ByteRange::new(a, b))
            .into_iter()
            .collect();
        let (near, far) = cut(&[slice], &wanted, 100);
        let told = |slices: &[Slice]| -> Vec<(u64, u64, u64)> {
            slices.iter().map(|s| (s.start, s.first, s.count)).collect()
        };
        assert_eq!(
            told(&near),
            [(1100, 18, 1), (1300, 20, 1), (1400, 21, 1), (2500, 32, 1)]
        );
        assert_eq!(told(&far), [(1000, 17, 1), (1200, 19, 1), (1500, 22, 10)]);
        assert_eq!(near[0].orphans, [18]);
        assert_eq!(near[1].orphans, [20]);
        assert!(far.iter().all(|s| s.orphans.is_empty()));
    }
}
