//! A set of block numbers, of which there may be a hundred million, scattered.

use std::collections::BTreeMap;

use hexz_resolve::{ByteRange, Error, Result};

use crate::num::usize_of;

/// Numbers of one group, as the low bits of a number tell them apart.
const GROUP: u64 = 1 << 16;
/// A group of so many is a bitmap from then on: it takes up 8 KiB however many there are.
const FEW: usize = 4096;
/// Bytes that all groups may take up.
const MOST_BYTES: usize = 1 << 30;
/// Bytes that a group takes up at least, with its place in the map.
const GROUP_BYTES: usize = 64;

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
    Few(Vec<u16>),
    /// A bit each.
    Many(Box<[u64]>),
}

impl BlockSet {
    /// Adds `number`.
    ///
    /// # Errors
    /// `Limit`, when it would take up too much memory.
    pub(crate) fn insert(&mut self, number: u64) -> Result<()> {
        let low = u16::try_from(number % GROUP).unwrap_or(0);
        let bytes = &mut self.bytes;
        let group = self.groups.entry(number / GROUP).or_insert_with(|| {
            *bytes = bytes.saturating_add(GROUP_BYTES);
            Group::Few(Vec::new())
        });
        let before = group.bytes();
        let new = group.insert(low);
        self.bytes = self
            .bytes
            .saturating_add(group.bytes())
            .saturating_sub(before);
        self.count = self.count.saturating_add(u64::from(new));
        if self.bytes > MOST_BYTES {
            let text = format!("{} distinct blocks, scattered too widely", self.count);
            return Err(Error::limit("overlay index", text));
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The numbers, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.groups.iter().flat_map(|(high, group)| {
            let start = high.saturating_mul(GROUP);
            group
                .iter()
                .map(move |low| start.saturating_add(u64::from(low)))
        })
    }

    /// The numbers as runs, rising. The last number there is has no half-open range.
    pub(crate) fn runs(&self) -> impl Iterator<Item = ByteRange> + '_ {
        let mut numbers = self.iter().filter(|number| *number < u64::MAX).peekable();
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

impl Group {
    fn insert(&mut self, low: u16) -> bool {
        match self {
            Self::Few(all) => {
                // Logs are mostly in order.
                let at = match all.last() {
                    Some(last) if *last < low => all.len(),
                    None => 0,
                    Some(_) => match all.binary_search(&low) {
                        Ok(_) => return false,
                        Err(at) => at,
                    },
                };
                all.insert(at, low);
                if all.len() > FEW {
                    let mut bits = vec![0u64; usize_of(GROUP / 64)].into_boxed_slice();
                    for low in all.iter() {
                        set(&mut bits, *low);
                    }
                    *self = Self::Many(bits);
                }
                true
            }
            Self::Many(bits) => set(bits, low),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Few(all) => all.capacity().saturating_mul(2),
            Self::Many(bits) => bits.len().saturating_mul(8),
        }
    }

    fn iter(&self) -> Box<dyn Iterator<Item = u16> + '_> {
        match self {
            Self::Few(all) => Box::new(all.iter().copied()),
            Self::Many(bits) => {
                let is_set = |low: &u16| {
                    let word = bits.get(usize::from(*low >> 6)).copied().unwrap_or(0);
                    word >> (low & 63) & 1 != 0
                };
                Box::new((0..=u16::MAX).filter(is_set))
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
        set.insert(u64::MAX).unwrap();
        plain.insert(u64::MAX);
        for n in 0..60_000u64 {
            let number = match n % 3 {
                0 => n,
                1 => random.below(1 << 17),
                _ => random.below(1 << 50),
            };
            set.insert(number).unwrap();
            plain.insert(number);
        }
        assert_eq!(set.count(), plain.len() as u64);
        assert!(set.iter().eq(plain.iter().copied()));
        let runs: Vec<ByteRange> = set.runs().collect();
        assert!(runs.windows(2).all(|pair| pair[0].end() < pair[1].start()));
        let sum: u64 = runs.iter().map(ByteRange::len).sum();
        assert_eq!(sum, plain.len() as u64 - 1);
    }

    #[test]
    fn every_other_block_of_a_huge_disk_stays_small() {
        let mut set = BlockSet::default();
        for number in 0..4_000_000u64 {
            set.insert(number * 2).unwrap();
        }
        assert_eq!(set.count(), 4_000_000);
        assert!(set.bytes < 2 << 20, "{}", set.bytes);
    }
}
