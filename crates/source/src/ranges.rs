//! Ranges that are collected within a bound.

use hexz_resolve::{ByteRange, RangeSet};

/// Collects rising ranges, up to a number of them. Past that they are rounded out to units, larger
/// and larger ones: all that was added stays in it, and more is. An image of few bytes can have
/// tables that tell of more pieces of its disk than fit into memory.
#[derive(Debug)]
pub(crate) struct Ranges {
    kept: Vec<ByteRange>,
    most: usize,
    /// What ranges are rounded out to; a power of two.
    unit: u64,
}

impl Ranges {
    /// Keeps up to `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            kept: Vec::new(),
            most: most.max(2),
            unit: 1,
        }
    }

    /// Adds `range`, which does not start before the last one.
    pub(crate) fn add(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let range = range.aligned_out(self.unit);
        match self.kept.last_mut() {
            Some(last) if range.start() <= last.end() => *last = joined(*last, range),
            _ => self.kept.push(range),
        }
        if self.kept.len() > self.most {
            self.coarsen();
        }
    }

    /// To half of them at most: otherwise the next one would begin it all again.
    fn coarsen(&mut self) {
        while self.kept.len() > self.most >> 1 && self.unit < 1 << 63 {
            self.unit = self.unit.saturating_mul(2);
            let unit = self.unit;
            for range in &mut self.kept {
                *range = range.aligned_out(unit);
            }
            self.kept.dedup_by(|next, kept| {
                let joins = next.start() <= kept.end();
                if joins {
                    *kept = joined(*kept, *next);
                }
                joins
            });
        }
    }

    /// What lies within `whole`.
    pub(crate) fn within(self, whole: ByteRange) -> RangeSet {
        let clipped = self.kept.into_iter().map(|range| {
            let inside = range.intersection(&whole);
            inside.unwrap_or_default()
        });
        clipped.collect()
    }
}

fn joined(a: ByteRange, b: ByteRange) -> ByteRange {
    ByteRange::new(a.start().min(b.start()), a.end().max(b.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_kept_as_they_are_and_many_within_the_bound() {
        let all: Vec<ByteRange> = (0..10_000)
            .map(|n| ByteRange::new(n * 8192 + 512, n * 8192 + 1024))
            .collect();
        let whole = ByteRange::new(600, 10_000 * 8192);
        let exact: RangeSet = all.iter().copied().collect();
        let exact = exact.clipped(whole);
        for most in [1, 2, 3, 100, 9_999, 10_000, 20_000] {
            let mut ranges = Ranges::new(most);
            for range in &all {
                ranges.add(*range);
                assert!(ranges.kept.len() <= most.max(2));
            }
            let kept = ranges.within(whole);
            assert!(exact.difference(&kept).is_empty());
            assert_eq!(kept == exact, most >= 10_000, "{most}");
        }
    }
}
