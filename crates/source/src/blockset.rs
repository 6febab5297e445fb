//! A set of block numbers, of which there may be a hundred million, scattered.

use std::collections::BTreeMap;

use hexz_resolve::ByteRange;

use crate::num::{u64_of, usize_of};

/// Numbers of one group, as the low bits of a number tell them apart.
const GROUP: u64 = 1 << 16;
/// A group of so many is a bitmap from then on: it takes up 8 KiB however many there are.
const FEW: usize = 4096;
/// Bytes that all groups may take up.
const MOST_BYTES: usize = 512 << 20;
/// Bytes that a group takes up at least, with its place in the map.
const GROUP_BYTES: usize = 64;

/// Why numbers were not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// They lie too far apart to be held.
    TooMany,
    /// That was asked for.
    Asked,
}

/// Numbers, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockSet {
    groups: BTreeMap<u64, Group>,
    count: u64,
    bytes: usize,
}

#[derive(Clone, Debug)]
enum Group {
    /// Rising.
    Few(Box<[u16]>),
    /// A bit each.
    Many(Box<[u64]>),
}

impl BlockSet {
    /// Adds `numbers`, which are in any order and may come twice, and leaves them empty. Many at a
    /// time cost little each: a group is put together once for all of them that it gets.
    ///
    /// # Errors
    /// When they would take up too much memory, or when `goes_on` says no.
    pub(crate) fn add(
        &mut self,
        numbers: &mut Vec<u64>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(), Stop> {
        // Logs are mostly in order.
        if !numbers.is_sorted() {
            numbers.sort_unstable();
        }
        numbers.dedup();
        let parts = numbers.chunk_by(|a, b| a / GROUP == b / GROUP);
        for part in parts {
            if !goes_on() {
                return Err(Stop::Asked);
            }
            let high = part.first().map_or(0, |number| number / GROUP);
            let bytes = &mut self.bytes;
            let group = self.groups.entry(high).or_insert_with(|| {
                *bytes = bytes.saturating_add(GROUP_BYTES);
                Group::Few(Box::default())
            });
            let before = group.bytes();
            let new = group.add(part);
            self.bytes = self
                .bytes
                .saturating_add(group.bytes())
                .saturating_sub(before);
            self.count = self.count.saturating_add(new);
            if self.bytes > MOST_BYTES {
                return Err(Stop::TooMany);
            }
        }
        numbers.clear();
        Ok(())
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The numbers, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.from(0)
    }

    /// Those of `start` and above, rising.
    pub(crate) fn from(&self, start: u64) -> impl Iterator<Item = u64> + '_ {
        let first = start / GROUP;
        self.groups.range(first..).flat_map(move |(high, group)| {
            let low = if *high == first { start % GROUP } else { 0 };
            let base = high.saturating_mul(GROUP);
            group
                .from(low_bits(low))
                .map(move |low| base.saturating_add(u64::from(low)))
        })
    }

    /// The numbers as runs, rising. The last number there is has no half-open range.
    pub(crate) fn runs(&self) -> impl Iterator<Item = ByteRange> + '_ {
        self.runs_within(ByteRange::new(0, u64::MAX))
    }

    /// The numbers in `range` as runs, rising.
    pub(crate) fn runs_within(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        let numbers = self.from(range.start());
        let mut numbers = numbers.take_while(move |n| *n < range.end()).peekable();
        std::iter::from_fn(move || {
            let start = numbers.next()?;
            let mut end = start.saturating_add(1);
            while numbers.next_if_eq(&end).is_some() {
                end = end.saturating_add(1);
            }
            Some(ByteRange::new(start, end))
        })
    }
}

/// What tells a number apart from the others of its group.
fn low_bits(number: u64) -> u16 {
    u16::try_from(number % GROUP).unwrap_or(0)
}

impl Group {
    /// Adds numbers of this group, rising, each once. Gives how many of them are new.
    fn add(&mut self, numbers: &[u64]) -> u64 {
        match self {
            Self::Few(all) => {
                let before = all.len();
                let mut both = Vec::with_capacity(before.saturating_add(numbers.len()));
                both.extend_from_slice(all);
                both.extend(numbers.iter().map(|number| low_bits(*number)));
                // Two runs that rise, which a stable sort merges.
                both.sort();
                both.dedup();
                let new = u64_of(both.len().saturating_sub(before));
                *self = if both.len() > FEW {
                    let mut bits = vec![0u64; usize_of(GROUP / 64)].into_boxed_slice();
                    for low in both {
                        set(&mut bits, low);
                    }
                    Self::Many(bits)
                } else {
                    Self::Few(both.into_boxed_slice())
                };
                new
            }
            Self::Many(bits) => {
                let new = numbers.iter().filter(|n| set(bits, low_bits(**n)));
                u64_of(new.count())
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Few(all) => all.len().saturating_mul(2),
            Self::Many(bits) => bits.len().saturating_mul(8),
        }
    }

    /// The numbers of `start` and above, rising.
    fn from(&self, start: u16) -> Box<dyn Iterator<Item = u16> + '_> {
        match self {
            Self::Few(all) => {
                let at = all.partition_point(|low| *low < start);
                Box::new(all.iter().skip(at).copied())
            }
            Self::Many(bits) => {
                let is_set = |low: &u16| {
                    let word = bits.get(usize::from(*low >> 6)).copied().unwrap_or(0);
                    word >> (low & 63) & 1 != 0
                };
                Box::new((start..=u16::MAX).filter(is_set))
            }
        }
    }
}

/// Sets a bit, and gives whether it was clear.
fn set(bits: &mut [u64], low: u16) -> bool {
    let Some(word) = bits.get_mut(usize::from(low >> 6)) else {
        return false;
    };
    let bit = 1u64 << (low & 63);
    let new = *word & bit == 0;
    *word |= bit;
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_holds_what_a_plain_set_holds() {
        let mut random = hexz_testkit::Rng::new(7);
        let (mut set, mut plain) = (BlockSet::default(), BTreeSet::new());
        set.add(&mut vec![u64::MAX], &|| true).unwrap();
        plain.insert(u64::MAX);
        let mut batch = Vec::new();
        for n in 0..60_000u64 {
            let number = match n % 3 {
                0 => n,
                1 => random.below(1 << 17),
                _ => random.below(1 << 50),
            };
            batch.push(number);
            plain.insert(number);
            if random.below(1 << 10) == 0 {
                set.add(&mut batch, &|| true).unwrap();
            }
        }
        set.add(&mut batch, &|| true).unwrap();
        assert_eq!(set.count(), plain.len() as u64);
        assert!(set.iter().eq(plain.iter().copied()));
        let runs: Vec<ByteRange> = set.runs().collect();
        assert!(runs.windows(2).all(|pair| pair[0].end() < pair[1].start()));
        let sum: u64 = runs.iter().map(ByteRange::len).sum();
        assert_eq!(sum, plain.len() as u64 - 1);
        for _ in 0..1000 {
            let start = random.below(1 << 17);
            let range = ByteRange::new(start, start + random.below(1 << 12));
            let runs = set.runs_within(range);
            let numbers = runs.flat_map(|run| run.start()..run.end());
            let expected = plain.range(range.start()..range.end()).copied();
            assert!(numbers.eq(expected), "{range:?}");
        }
    }

    #[test]
    fn every_other_block_of_a_huge_disk_stays_small() {
        let mut set = BlockSet::default();
        let mut all = (0..4_000_000).map(|n| n * 2).collect();
        set.add(&mut all, &|| true).unwrap();
        assert_eq!(set.count(), 4_000_000);
        assert!(set.bytes < 2 << 20, "{}", set.bytes);
    }

    #[test]
    fn too_many_that_lie_too_far_apart_are_an_error() {
        let mut set = BlockSet::default();
        let mut far = (0..9 << 20).map(|n| n << 17).collect();
        assert_eq!(set.add(&mut far, &|| true), Err(Stop::TooMany));
        assert_eq!(set.add(&mut vec![1], &|| false), Err(Stop::Asked));
    }
}
