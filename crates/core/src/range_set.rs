//! Sorted, disjoint, coalesced sets of byte ranges.

use std::cell::Cell;

use crate::ByteRange;
use crate::seek::seek;

/// A set of bytes, kept as sorted ranges that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RangeSet {
    ranges: Vec<ByteRange>,
}

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Adds `range`. Appending in rising order is constant time; anywhere else moves what lies
    /// behind it, so collect unsorted input with [`FromIterator`] instead.
    pub fn insert(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if range.start() > last.end() => self.ranges.push(range),
            Some(last) if range.start() >= last.start() => {
                *last = ByteRange::new(last.start(), last.end().max(range.end()));
            }
            Some(_) => self.insert_inside(range),
            None => self.ranges.push(range),
        }
    }

    fn insert_inside(&mut self, range: ByteRange) {
        let from = self.ranges.partition_point(|r| r.end() < range.start());
        let to = self.ranges.partition_point(|r| r.start() <= range.end());
        let merged = match self.ranges.get(from..to) {
            Some([first, .., last]) => ByteRange::new(
                first.start().min(range.start()),
                last.end().max(range.end()),
            ),
            Some([only]) => {
                ByteRange::new(only.start().min(range.start()), only.end().max(range.end()))
            }
            _ => range,
        };
        self.ranges.splice(from..to, [merged]);
    }

    /// The ranges, rising.
    pub fn iter(&self) -> std::iter::Copied<std::slice::Iter<'_, ByteRange>> {
        self.ranges.iter().copied()
    }

    /// The ranges, rising, as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[ByteRange] {
        &self.ranges
    }

    /// Number of separate ranges.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.ranges.len()
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(ByteRange::len).sum()
    }

    /// Whether no byte is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// From the first byte to past the last; `None` when empty.
    #[must_use]
    pub fn bounds(&self) -> Option<ByteRange> {
        Some(ByteRange::new(
            self.ranges.first()?.start(),
            self.ranges.last()?.end(),
        ))
    }

    /// Whether `offset` is in the set.
    #[must_use]
    pub fn contains(&self, offset: u64) -> bool {
        let at = self.ranges.partition_point(|r| r.end() <= offset);
        self.ranges.get(at).is_some_and(|r| r.contains(offset))
    }

    /// Whether any byte of `range` is in the set.
    #[must_use]
    pub fn overlaps(&self, range: ByteRange) -> bool {
        self.overlapping(range).next().is_some()
    }

    /// The pieces of the set that lie within `range`, rising, clipped to it.
    pub fn overlapping(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        let from = self.ranges.partition_point(|r| r.end() <= range.start());
        clipped(&self.ranges, from, range)
    }

    /// The part of the set within `range`.
    #[must_use]
    pub fn clipped(&self, range: ByteRange) -> Self {
        Self {
            ranges: self.overlapping(range).collect(),
        }
    }

    /// Bytes that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out = Vec::with_capacity(self.runs().max(other.runs()));
        let (mut a, mut b) = (self.iter().peekable(), other.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            out.extend(x.intersection(y));
            if x.end() <= y.end() {
                a.next();
            } else {
                b.next();
            }
        }
        Self { ranges: out }
    }

    /// Bytes that are in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = Self {
            ranges: Vec::with_capacity(self.runs().max(other.runs())),
        };
        let (mut a, mut b) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let next = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) if x.start() <= y.start() => a.next(),
                (_, Some(_)) => b.next(),
                (Some(_), None) => a.next(),
                (None, None) => return out,
            };
            if let Some(range) = next {
                out.insert(range);
            }
        }
    }

    /// Bytes of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut out = Vec::with_capacity(self.runs());
        let other = RangeCursor::new(other);
        self.iter()
            .for_each(|range| out.extend(other.outside(range)));
        Self { ranges: out }
    }

    /// Number of `unit`s that hold a byte of the set. `unit` must not be zero.
    #[must_use]
    pub fn units(&self, unit: u64) -> u64 {
        let (mut count, mut behind) = (0, 0);
        for range in self.iter() {
            let first = (range.start() / unit).max(behind);
            behind = range.end().div_ceil(unit);
            count += behind.saturating_sub(first);
        }
        count
    }

    /// The set with every range grown to whole `unit`s (see [`ByteRange::aligned_out`]).
    #[must_use]
    pub fn aligned_out(&self, unit: u64) -> Self {
        self.iter().map(|r| r.aligned_out(unit)).collect()
    }
}

/// The parts of `ranges` within `range`, which none of those before `from` reaches.
fn clipped(ranges: &[ByteRange], from: usize, range: ByteRange) -> impl Iterator<Item = ByteRange> {
    let ranges = ranges.get(from..).unwrap_or_default().iter();
    ranges
        .take_while(move |r| r.start() < range.end())
        .filter_map(move |r| r.intersection(&range))
}

/// Asks a set about many ranges that lie near each other, such as the extents of files in the
/// order of their numbers: it remembers where the last one was.
#[derive(Debug)]
pub struct RangeCursor<'a> {
    set: &'a RangeSet,
    at: Cell<usize>,
}

impl<'a> RangeCursor<'a> {
    /// Asks `set`.
    #[must_use]
    pub const fn new(set: &'a RangeSet) -> Self {
        Self {
            set,
            at: Cell::new(0),
        }
    }

    /// The set.
    #[must_use]
    pub const fn set(&self) -> &'a RangeSet {
        self.set
    }

    /// Whether any byte of `range` is in the set.
    #[must_use]
    pub fn overlaps(&self, range: ByteRange) -> bool {
        self.overlapping(range).next().is_some()
    }

    /// The pieces of the set that lie within `range`, rising, clipped to it.
    pub fn overlapping(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + 'a {
        let ranges = self.set.as_slice();
        let from = seek(ranges, self.at.get(), |r| r.end() <= range.start());
        self.at.set(from);
        clipped(ranges, from, range)
    }

    /// The pieces of `range` that are not in the set, rising.
    pub fn outside(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + 'a {
        let mut inside = self.overlapping(range);
        let mut at = range.start();
        std::iter::from_fn(move || {
            while at < range.end() {
                let next = inside.next();
                let gap = ByteRange::new(at, next.map_or(range.end(), |next| next.start()));
                at = next.map_or(range.end(), |next| next.end());
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }
}

impl FromIterator<ByteRange> for RangeSet {
    fn from_iter<I: IntoIterator<Item = ByteRange>>(iter: I) -> Self {
        let mut ranges: Vec<ByteRange> = iter.into_iter().filter(|r| !r.is_empty()).collect();
        if !ranges.is_sorted() {
            // Those that start at one place become one, in whatever order.
            ranges.sort_unstable_by_key(ByteRange::start);
        }
        ranges.dedup_by(|next, kept| {
            let joins = next.start() <= kept.end();
            if joins {
                *kept = ByteRange::new(kept.start(), kept.end().max(next.end()));
            }
            joins
        });
        Self { ranges }
    }
}

impl From<ByteRange> for RangeSet {
    fn from(range: ByteRange) -> Self {
        [range].into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a RangeSet {
    type Item = ByteRange;
    type IntoIter = std::iter::Copied<std::slice::Iter<'a, ByteRange>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_counted_once() {
        let set = |ranges: &[(u64, u64)]| -> RangeSet {
            ranges.iter().map(|(a, b)| ByteRange::new(*a, *b)).collect()
        };
        for ranges in [
            &[][..],
            &[(0, 1)],
            &[(7, 9), (10, 12), (30, 40)],
            &[(0, 8), (9, 10), (15, 17), (23, 24)],
            &[(3, 4), (5, 6), (7, 100)],
        ] {
            let set = set(ranges);
            assert_eq!(set.units(8), set.aligned_out(8).len() / 8, "{set:?}");
        }
    }
    use proptest::prelude::*;

    const SPACE: usize = 96;

    fn ranges() -> impl Strategy<Value = Vec<ByteRange>> {
        let one = (0..SPACE as u64, 0..20u64)
            .prop_map(|(s, l)| ByteRange::new(s, (s + l).min(SPACE as u64)));
        proptest::collection::vec(one, 0..12)
    }

    fn bitmap(ranges: impl IntoIterator<Item = ByteRange>) -> [bool; SPACE] {
        let mut bits = [false; SPACE];
        for range in ranges {
            bits[range.start() as usize..range.end() as usize].fill(true);
        }
        bits
    }

    fn well_formed(set: &RangeSet) -> bool {
        set.iter().all(|r| !r.is_empty())
            && set.as_slice().windows(2).all(|w| w[0].end() < w[1].start())
    }

    proptest! {
        #[test]
        fn agrees_with_a_bitmap(a in ranges(), b in ranges(), clip in ranges()) {
            let (x, y): (RangeSet, RangeSet) =
                (a.iter().copied().collect(), b.iter().copied().collect());
            let mut inserted = RangeSet::new();
            for &range in &a {
                inserted.insert(range);
                prop_assert!(well_formed(&inserted));
            }
            prop_assert_eq!(&inserted, &x);
            let (bx, by) = (bitmap(a), bitmap(b));
            let each = |f: fn(bool, bool) -> bool| {
                std::array::from_fn::<bool, SPACE, _>(|i| f(bx[i], by[i]))
            };
            for (set, want) in [
                (x.union(&y), each(|p, q| p || q)),
                (x.intersection(&y), each(|p, q| p && q)),
                (x.difference(&y), each(|p, q| p && !q)),
            ] {
                prop_assert!(well_formed(&set));
                prop_assert_eq!(bitmap(&set), want);
            }
            prop_assert_eq!(x.len(), bx.iter().filter(|b| **b).count() as u64);
            for (i, &bit) in bx.iter().enumerate() {
                prop_assert_eq!(x.contains(i as u64), bit);
            }
            let cursor = RangeCursor::new(&x);
            for range in clip {
                prop_assert_eq!(cursor.overlaps(range), x.overlaps(range));
                prop_assert!(cursor.overlapping(range).eq(x.overlapping(range)));
                let bits = bitmap([range]);
                let clipped = x.clipped(range);
                prop_assert!(well_formed(&clipped));
                prop_assert_eq!(
                    bitmap(&clipped),
                    std::array::from_fn::<bool, SPACE, _>(|i| bx[i] && bits[i])
                );
                prop_assert_eq!(x.overlaps(range), !clipped.is_empty());
            }
        }
    }
}
