//! Which bytes really differ: changed blocks of base and merged, compared.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::run::Run;
use crate::seek::seek;
use crate::{ByteRange, Diagnostic, RangeSet, ReadAt, ReadError, Result, with_buffer};

/// Differences closer together than this are one run: smaller than any record that is looked at
/// by itself, and large enough that rewritten random data is one run and not hundreds.
const GAP: usize = 16;
/// Past so many runs, one run a block is kept.
const FINE_RUNS: usize = 1 << 20;
/// Past so many, one run of several blocks.
const MOST_RUNS: usize = 2 << 20;
/// Runs end at its multiples, so that the count of a block is known without another reading.
const BLOCK: u64 = 4096;
const CHUNK: u64 = 1 << 20;
/// Chunks that are compared before their results are put together.
const BATCH: usize = 256;

/// Differing bytes, from the first to the last of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DiffRun {
    range: ByteRange,
    differing: u64,
}

/// A block with the bytes of both: the parts of one are asked for one after another.
struct Held {
    range: ByteRange,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Where two readers differ within a set of ranges.
pub(super) struct Differences {
    base: Arc<dyn ReadAt>,
    merged: Arc<dyn ReadAt>,
    runs: Vec<DiffRun>,
    ranges: RangeSet,
    /// Whether something could not be read, and counts as different for that.
    unreadable: bool,
    /// The block that was looked at last.
    held: Mutex<Option<Held>>,
}

impl Differences {
    /// Compares `wanted` in both. What only one of them has is compared with zeros, which is what
    /// the other one reads as when it grows. What can't be read differs for all that is known, and
    /// is a finding.
    pub(super) fn find(
        run: &Run<'_>,
        base: &Arc<dyn ReadAt>,
        merged: &Arc<dyn ReadAt>,
        wanted: &RangeSet,
        block: u64,
    ) -> Result<Self> {
        let pieces = near(wanted.as_slice()).flat_map(|near| {
            // There may be nothing but holes for long.
            let data = match run.check() {
                Ok(()) => where_data_is(&**base, &**merged, near, block),
                Err(_) => RangeSet::new(),
            };
            let all: u64 = near.iter().map(ByteRange::len).sum();
            run.options.progress.advance(all - data.len());
            let parts = Vec::from(data.as_slice()).into_iter();
            parts.flat_map(|part| chunks(part, CHUNK))
        });
        let mut spans = Span::all(pieces);
        let mut unreadable = false;
        let compare = |span: &Span| {
            if run.check().is_err() {
                return (Vec::new(), Vec::new());
            }
            let bytes = span.0.iter().map(ByteRange::len).sum();
            run.options.progress.advance(bytes);
            span.compare(&**base, &**merged, block)
        };
        let mut runs: Vec<DiffRun> = Vec::new();
        // In batches, so that cancellation is seen and few chunks wait to be put together.
        let mut unit = block;
        loop {
            let batch: Vec<Span> = spans.by_ref().take(BATCH).collect();
            run.check()?;
            if batch.is_empty() {
                break;
            }
            let results: Vec<(Vec<DiffRun>, Vec<ReadError>)> = match run.started() {
                Some(threads) => threads
                    .pool()
                    .install(|| batch.par_iter().map(compare).collect()),
                None => batch.iter().map(compare).collect(),
            };
            for (found, errors) in results {
                unreadable |= !errors.is_empty();
                for error in errors {
                    let offset = error.offset();
                    let text =
                        format!("a changed block can't be read, and counts as different: {error}");
                    run.report(
                        None,
                        Diagnostic::error("changed-block-unreadable", text).at(offset),
                    );
                }
                if runs.len() > FINE_RUNS {
                    runs.extend(by_block(&found, unit));
                } else {
                    runs.extend(found);
                }
                while runs.len() > MOST_RUNS {
                    unit = unit.saturating_mul(2);
                    runs = by_block(&runs, unit);
                }
            }
        }
        let ranges = runs.iter().map(|r| r.range).collect();
        Ok(Self {
            base: Arc::clone(base),
            merged: Arc::clone(merged),
            runs,
            ranges,
            unreadable,
            held: Mutex::new(None),
        })
    }

    /// The blocks of `disk` in which a byte differs.
    pub(super) fn blocks(&self, block: u64, disk: &RangeSet) -> RangeSet {
        self.ranges.aligned_out(block).intersection(disk)
    }

    /// Whether something could not be read, and counts as different for that.
    pub(super) fn unreadable(&self) -> bool {
        self.unreadable
    }

    /// The differing ranges: each starts and ends with a byte that differs.
    pub(super) fn ranges(&self) -> &RangeSet {
        &self.ranges
    }

    /// Asks for ranges that lie near each other.
    pub(super) fn counter(&self) -> Counter<'_> {
        Counter {
            differences: self,
            at: Cell::new(0),
        }
    }

    /// How many bytes of `part` differ, by what is held of its block. `None` where another thread is
    /// looking, it is no part of one block, or that can't be read.
    fn count_held(&self, part: ByteRange) -> Option<u64> {
        let range = ByteRange::at(part.start() / BLOCK * BLOCK, BLOCK)?;
        // A larger part would have it read for nothing.
        (part.end() <= range.end()).then_some(())?;
        let mut held = self.held.try_lock().ok()?;
        if held.as_ref().is_none_or(|held| held.range != range) {
            let keep = |before: &[u8], after: &[u8]| Held {
                range,
                before: before.to_vec(),
                after: after.to_vec(),
            };
            *held = Some(both(&*self.base, &*self.merged, range, keep).ok()?);
        }
        let held = held.as_ref()?;
        let part = part.moved_down(range.start())?;
        let within = part.start() as usize..part.end() as usize;
        let (before, after) = (held.before.get(within.clone())?, held.after.get(within)?);
        Some(count_bytes(before, after))
    }

    fn recount(&self, part: ByteRange) -> u64 {
        let mut differing = 0;
        for chunk in chunks(part, CHUNK) {
            // What can't be read was counted as different before, and is now.
            let count = both(&*self.base, &*self.merged, chunk, count_bytes);
            differing += count.unwrap_or(chunk.len());
        }
        differing
    }
}

/// Asks how many bytes of many ranges differ: it remembers where the last one lay.
pub(super) struct Counter<'a> {
    differences: &'a Differences,
    at: Cell<usize>,
}

impl<'a> Counter<'a> {
    /// The differing ranges: each starts and ends with a byte that differs.
    pub(super) fn ranges(&self) -> &'a RangeSet {
        &self.differences.ranges
    }

    /// The runs that share a byte with `range`.
    fn within(&self, range: ByteRange) -> impl Iterator<Item = &'a DiffRun> {
        let runs = &self.differences.runs;
        let from = seek(runs, self.at.get(), |r| r.range.end() <= range.start());
        self.at.set(from);
        let runs = runs.get(from..).unwrap_or_default().iter();
        runs.take_while(move |r| r.range.start() < range.end())
    }

    /// Whether any byte of `part` differs.
    pub(super) fn any(&self, part: ByteRange) -> bool {
        // A run starts and ends with a byte that differs, and what lies between is seldom equal.
        self.within(part).any(|r| {
            part.contains(r.range.start())
                || part.contains(r.range.end() - 1)
                || self.count(part) > 0
        })
    }

    /// How many bytes of `range` differ, exactly.
    pub(super) fn count(&self, range: ByteRange) -> u64 {
        let differences = self.differences;
        self.within(range)
            .filter_map(|r| Some((r, r.range.intersection(&range)?)))
            .map(|(r, part)| {
                if part == r.range {
                    r.differing
                } else {
                    let held = differences.count_held(part);
                    held.unwrap_or_else(|| differences.recount(part))
                }
            })
            .sum()
    }
}

/// Ranges that are asked about together, since they lie near each other: the answer says little of
/// what lies between them, and is short.
fn near(ranges: &[ByteRange]) -> impl Iterator<Item = &[ByteRange]> {
    const GAP: u64 = 256 << 10;
    const MOST: usize = 1024;
    let near = ranges.chunk_by(|one, next| next.start() - one.end() <= GAP);
    near.flat_map(|near| near.chunks(MOST))
}

/// The part of `ranges`, in whole blocks, that is not a hole of both disks: where both have one, and
/// past their ends, both read as zeros.
fn where_data_is(
    base: &dyn ReadAt,
    merged: &dyn ReadAt,
    ranges: &[ByteRange],
    block: u64,
) -> RangeSet {
    // A few short ones are not worth the question.
    const FEW: usize = 16;
    let all = || ranges.iter().copied().collect::<RangeSet>();
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return RangeSet::new();
    };
    if ranges.len() < FEW && ranges.iter().map(ByteRange::len).sum::<u64>() < CHUNK {
        return all();
    }
    let window = ByteRange::new(first.start(), last.end());
    let data = base.data_in(window).union(&merged.data_in(window));
    data.aligned_out(block).intersection(&all())
}

fn chunks(range: ByteRange, size: u64) -> impl Iterator<Item = ByteRange> {
    let mut at = range.start();
    std::iter::from_fn(move || {
        // Cut at multiples of `size`, so that no block is cut in two.
        let end = (at / size)
            .saturating_add(1)
            .saturating_mul(size)
            .min(range.end());
        let chunk = ByteRange::new(at, end);
        at = end;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Listed pieces that lie near each other: they are read together.
struct Span(Vec<ByteRange>);

impl Span {
    /// So many bytes between two pieces cost less than another request.
    const NEAR: u64 = 16 << 10;

    /// `pieces`, which rise, each with those near it.
    fn all(pieces: impl Iterator<Item = ByteRange>) -> impl Iterator<Item = Self> {
        let mut pieces = pieces.peekable();
        std::iter::from_fn(move || {
            let first = pieces.next()?;
            let mut span = vec![first];
            let mut end = first.end();
            let near = |next: &ByteRange, end: u64| {
                next.start().saturating_sub(end) <= Self::NEAR
                    && next.end().saturating_sub(first.start()) <= CHUNK
            };
            while let Some(next) = pieces.next_if(|next| near(next, end)) {
                end = next.end();
                span.push(next);
            }
            Some(Self(span))
        })
    }

    /// Where the two differ in the pieces, and what can't be read.
    fn compare(
        &self,
        base: &dyn ReadAt,
        merged: &dyn ReadAt,
        block: u64,
    ) -> (Vec<DiffRun>, Vec<ReadError>) {
        if let Ok(runs) = compare_bytes(base, merged, &self.0) {
            return (runs, Vec::new());
        }
        // Once more by block: one bad block must not blur its neighbours.
        let (mut runs, mut errors) = (Vec::new(), Vec::new());
        for piece in self.0.iter().flat_map(|part| chunks(*part, block)) {
            match compare_bytes(base, merged, &[piece]) {
                Ok(found) => runs.extend(found),
                Err(error) => {
                    errors.push(error);
                    runs.push(DiffRun {
                        range: piece,
                        differing: piece.len(),
                    });
                }
            }
        }
        (runs, errors)
    }
}

/// Compares `parts`, which rise, in one reading of all that lies from the first to the last.
fn compare_bytes(
    base: &dyn ReadAt,
    merged: &dyn ReadAt,
    parts: &[ByteRange],
) -> Result<Vec<DiffRun>, ReadError> {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return Ok(Vec::new());
    };
    let span = ByteRange::new(first.start(), last.end());
    both(base, merged, span, |before, after| {
        let mut runs = Vec::new();
        for part in parts {
            // The span lies in memory, and so its parts.
            let within = |at: u64| (at - span.start()) as usize;
            let bytes = within(part.start())..within(part.end());
            let (x, y) = (&before[bytes.clone()], &after[bytes]);
            runs.extend(differing_runs(x, y, part.start()));
        }
        runs
    })
}

/// What `work` makes of the bytes of `range` in both disks, with zeros past the end of one.
fn both<T>(
    base: &dyn ReadAt,
    merged: &dyn ReadAt,
    range: ByteRange,
    work: impl FnOnce(&[u8], &[u8]) -> T,
) -> Result<T, ReadError> {
    let length = range.len() as usize;
    with_buffer(2 * length, |bytes| {
        let (before, after) = bytes.split_at_mut(length);
        for (disk, bytes) in [(base, &mut *before), (merged, &mut *after)] {
            let there = disk.len().saturating_sub(range.start()).min(range.len());
            let (there, past) = bytes.split_at_mut(there as usize);
            if !there.is_empty() {
                disk.read_exact_at(range.start(), there)?;
            }
            past.fill(0);
        }
        Ok(work(before, after))
    })
}

/// Bytes that are compared at a time: one bit of a word for each.
const STEP: usize = 64;

/// Where `before` and `after`, which lie at `start`, differ.
fn differing_runs(before: &[u8], after: &[u8], start: u64) -> Vec<DiffRun> {
    let mut runs: Vec<DiffRun> = Vec::new();
    // Blocks are compared as wholes first: most listed bytes are equal, or nearly all differ.
    let mut at = 0usize;
    while at < before.len() {
        let block_end = (start + at as u64) / BLOCK * BLOCK + BLOCK;
        let end = before.len().min((block_end - start) as usize);
        let (x, y) = (&before[at..end], &after[at..end]);
        if x != y {
            let mut last: Option<DiffRun> = None;
            for (n, (x, y)) in x.chunks(STEP).zip(y.chunks(STEP)).enumerate() {
                if x != y {
                    let place = start + (at + n * STEP) as u64;
                    extend_runs(differing(x, y), place, &mut last, &mut runs);
                }
            }
            runs.extend(last);
        }
        at = end;
    }
    runs
}

/// Adds the bytes at `start` for which `mask` has a bit to the `last` run or behind it.
fn extend_runs(mask: u64, start: u64, last: &mut Option<DiffRun>, runs: &mut Vec<DiffRun>) {
    let mut left = mask;
    while left != 0 {
        let from = left.trailing_zeros();
        let count = (!(left >> from)).trailing_zeros();
        let at = start + u64::from(from);
        let end = at + u64::from(count);
        match last {
            Some(run) if at - run.range.end() < GAP as u64 => {
                run.range = ByteRange::new(run.range.start(), end);
                run.differing += u64::from(count);
            }
            _ => runs.extend(last.replace(DiffRun {
                range: ByteRange::new(at, end),
                differing: u64::from(count),
            })),
        }
        left &= u64::MAX.checked_shl(from + count).unwrap_or(0);
    }
}

/// A bit for each of up to [`STEP`] bytes in which the two differ, the first one lowest.
fn differing(x: &[u8], y: &[u8]) -> u64 {
    // Of a fixed length, which is compared without a loop.
    let whole = |bytes: &[u8]| {
        bytes.first_chunk::<STEP>().copied().unwrap_or_else(|| {
            let mut padded = [0; STEP];
            padded[..bytes.len()].copy_from_slice(bytes);
            padded
        })
    };
    let (x, y) = (whole(x), whole(y));
    let words = x.as_chunks().0.iter().zip(y.as_chunks().0);
    words.enumerate().fold(0, |mask, (n, (x, y))| {
        let word = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        mask | (bytes_that_are_set(word) << (8 * n))
    })
}

/// A bit for each byte of `word` that is not zero, the first one lowest.
fn bytes_that_are_set(word: u64) -> u64 {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let tops = (((word & LOW) + LOW) | word) & !LOW;
    // Puts the eight bits, which stand eight apart, side by side at the top.
    (tops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// How many bytes of the two, which are equally long, differ.
pub(super) fn count_bytes(before: &[u8], after: &[u8]) -> u64 {
    let steps = before.chunks(STEP).zip(after.chunks(STEP));
    let differing = steps.filter(|(x, y)| x != y).map(|(x, y)| differing(x, y));
    differing.map(|mask| u64::from(mask.count_ones())).sum()
}

fn by_block(runs: &[DiffRun], block: u64) -> Vec<DiffRun> {
    let mut coarse: Vec<DiffRun> = Vec::new();
    for run in runs {
        match coarse.last_mut() {
            Some(last) if last.range.start() / block == run.range.start() / block => {
                last.range = ByteRange::new(last.range.start(), run.range.end());
                last.differing += run.differing;
            }
            _ => coarse.push(*run),
        }
    }
    coarse
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_hold_exactly_the_differing_bytes(
            before in proptest::collection::vec(0..3u8, 300),
            after in proptest::collection::vec(0..3u8, 300),
            equal in 0..300usize,
        ) {
            let mut after = after;
            after[..equal].copy_from_slice(&before[..equal]);
            // Over a border of blocks.
            let runs = differing_runs(&before, &after, 4000);
            let total: u64 = runs.iter().map(|r| r.differing).sum();
            let plainly = before.iter().zip(&after).filter(|(x, y)| x != y).count();
            prop_assert_eq!(total, plainly as u64);
            prop_assert_eq!(total, count_bytes(&before, &after));
            for run in &runs {
                for at in [run.range.start(), run.range.end() - 1] {
                    let i = (at - 4000) as usize;
                    prop_assert_ne!(before[i], after[i]);
                }
            }
            for pair in runs.windows(2) {
                let (one, next) = (pair[0].range, pair[1].range);
                let apart = next.start() - one.end() >= GAP as u64;
                prop_assert!(apart || one.start() / BLOCK != next.start() / BLOCK);
            }
            let coarse: u64 = by_block(&runs, 64).iter().map(|r| r.differing).sum();
            prop_assert_eq!(coarse, total);
        }
    }

    #[test]
    fn what_only_one_has_is_compared_with_zeros() {
        let (short, mut long) = (vec![1; 100], vec![1; 100]);
        long.resize(300, 0);
        long[200] = 7;
        for (base, merged) in [(&short, &long), (&long, &short)] {
            let (runs, errors) = Span(vec![ByteRange::new(50, 300)]).compare(base, merged, 64);
            let range = ByteRange::new(200, 201);
            let differing = 1;
            assert_eq!(runs, [DiffRun { range, differing }]);
            assert!(errors.is_empty());
        }
    }

    #[test]
    fn holes_of_both_are_not_read() {
        struct Sparse(u64, ByteRange);
        impl ReadAt for Sparse {
            fn len(&self) -> u64 {
                self.0
            }
            fn read_exact_at(&self, _: u64, _: &mut [u8]) -> Result<(), ReadError> {
                unreachable!()
            }
            fn data_in(&self, range: ByteRange) -> RangeSet {
                RangeSet::from(self.1).clipped(range)
            }
        }
        let huge = 1 << 60;
        let base = Sparse(huge, ByteRange::new(5000, 5001));
        let merged = Sparse(huge / 2, ByteRange::new(1 << 40, (1 << 40) + 1));
        let whole = ByteRange::new(100, huge);
        let data = where_data_is(&base, &merged, &[whole], 4096);
        let expected = [
            ByteRange::new(4096, 8192),
            ByteRange::new(1 << 40, (1 << 40) + 4096),
        ];
        assert_eq!(data.as_slice(), expected);
        let short = [ByteRange::new(0, 4096), ByteRange::new(8192, 9000)];
        let all: RangeSet = short.into_iter().collect();
        assert_eq!(where_data_is(&base, &merged, &short, 4096), all);
        // Many are asked about together.
        let block = |n: u64| ByteRange::new(n * 8192, n * 8192 + 4096);
        let many: Vec<ByteRange> = (0..5000).map(block).collect();
        let (mut asked, mut data) = (0, RangeSet::new());
        for near in near(&many) {
            asked += 1;
            data = data.union(&where_data_is(&base, &merged, near, 4096));
        }
        assert_eq!((asked, data), (5, RangeSet::new()));
        let many: Vec<ByteRange> = (0..5000).map(|n| block(n * 1000)).collect();
        assert_eq!(near(&many).count(), 5000);
    }

    #[test]
    fn chunks_end_at_multiples() {
        let all: Vec<_> = chunks(ByteRange::new(5, 25), 10).collect();
        let expected = [
            ByteRange::new(5, 10),
            ByteRange::new(10, 20),
            ByteRange::new(20, 25),
        ];
        assert_eq!(all, expected);
        assert_eq!(chunks(ByteRange::new(5, 5), 10).count(), 0);
    }
}
