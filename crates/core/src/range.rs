//! Half-open byte ranges, the only currency that crosses a crate border.

use std::fmt;

/// A half-open range of bytes `[start, end)` on a disk, on a volume or in a file; which of the
/// three is said by whoever hands it out. `start <= end` always holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// The range from `start` up to and without `end`; empty at `start` when `end < start`.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Self {
        Self {
            start,
            end: if end < start { start } else { end },
        }
    }

    /// The range of `length` bytes at `start`; `None` when its end does not fit 64 bits.
    #[must_use]
    pub const fn at(start: u64, length: u64) -> Option<Self> {
        match start.checked_add(length) {
            Some(end) => Some(Self { start, end }),
            None => None,
        }
    }

    /// First byte.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// One past the last byte.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Number of bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether it holds no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether `offset` lies within.
    #[must_use]
    pub const fn contains(&self, offset: u64) -> bool {
        self.start <= offset && offset < self.end
    }

    /// Whether the two share at least one byte.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// What both have; `None` when they share no byte.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        (start < end).then_some(Self { start, end })
    }

    /// The range moved up by `by` bytes; `None` when it leaves 64 bits.
    #[must_use]
    pub const fn moved_up(&self, by: u64) -> Option<Self> {
        match (self.start.checked_add(by), self.end.checked_add(by)) {
            (Some(start), Some(end)) => Some(Self { start, end }),
            _ => None,
        }
    }

    /// The range moved down by `by` bytes; `None` when it would start below zero.
    #[must_use]
    pub const fn moved_down(&self, by: u64) -> Option<Self> {
        match (self.start.checked_sub(by), self.end.checked_sub(by)) {
            (Some(start), Some(end)) => Some(Self { start, end }),
            _ => None,
        }
    }

    /// The smallest range of whole `unit`s that covers this one. `unit` must not be zero; the end
    /// stays where it is when rounding up would leave 64 bits.
    #[must_use]
    pub fn aligned_out(&self, unit: u64) -> Self {
        let start = self.start / unit * unit;
        let end = self.end.checked_next_multiple_of(unit).unwrap_or(self.end);
        Self { start, end }
    }
}

impl fmt::Debug for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_leave_64_bits_are_refused() {
        assert_eq!(ByteRange::at(u64::MAX, 1), None);
        assert_eq!(
            ByteRange::at(u64::MAX, 0),
            Some(ByteRange::new(u64::MAX, u64::MAX))
        );
        assert_eq!(ByteRange::new(10, 20).moved_up(u64::MAX - 15), None);
        assert_eq!(ByteRange::new(10, 20).moved_down(11), None);
    }

    #[test]
    fn touching_ranges_share_no_byte() {
        let a = ByteRange::new(0, 10);
        let b = ByteRange::new(10, 20);
        assert!(!a.overlaps(&b));
        assert_eq!(a.intersection(&b), None);
        assert_eq!(
            ByteRange::new(5, 15).intersection(&b),
            Some(ByteRange::new(10, 15))
        );
    }

    #[test]
    fn aligning_out_covers_the_range() {
        assert_eq!(ByteRange::new(5, 15).aligned_out(8), ByteRange::new(0, 16));
        assert_eq!(ByteRange::new(8, 16).aligned_out(8), ByteRange::new(8, 16));
    }
}
