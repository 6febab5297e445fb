//! How many bytes of a list are whose.

use hexz_resolve::RangeSet;

use crate::map::DiskMap;

/// Bytes of a list with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// Whose they are: index into [`DiskMap::answers`].
    pub answer: usize,
    /// How many.
    pub bytes: u64,
}

/// Sums lists, one after another: its memory is used again for each.
#[derive(Debug)]
pub struct Summer<'a> {
    map: &'a DiskMap,
    /// By answer.
    bytes: Vec<u64>,
    /// The answers with any bytes.
    found: Vec<usize>,
}

impl<'a> Summer<'a> {
    /// Sums lists of the disk of `map`.
    #[must_use]
    pub fn new(map: &'a DiskMap) -> Self {
        Self {
            map,
            bytes: vec![0; map.answers.len()],
            found: Vec::new(),
        }
    }

    /// The bytes of `ranges` by answer, in the order in which the answers come first on the disk.
    /// They sum to the bytes of `ranges` that lie on the disk.
    pub fn sum(&mut self, ranges: &RangeSet) -> impl Iterator<Item = Total> + '_ {
        for number in self.found.drain(..) {
            self.bytes[number] = 0;
        }
        let (bytes, found) = (&mut self.bytes, &mut self.found);
        self.map.pieces(ranges, |piece| {
            let sum = &mut bytes[piece.answer];
            if *sum == 0 {
                found.push(piece.answer);
            }
            *sum += piece.range.len();
        });
        if !found.is_sorted() {
            found.sort_unstable();
        }
        let (bytes, found) = (&self.bytes, &self.found);
        found.iter().map(move |number| Total {
            answer: *number,
            bytes: bytes[*number],
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::map::{Answer, Entry, NO_OFFSET};
    use hexz_resolve::{ByteRange, Class};
    use proptest::prelude::*;

    /// A map of pieces with these lengths, each of one of four answers.
    fn map(lengths: &[u64]) -> DiskMap {
        let answer = |class| Answer {
            volume: Some(0),
            class,
            owners: Arc::new([]),
        };
        let classes = [Class::FileData, Class::Free, Class::Journal, Class::Gap];
        let mut at = 0;
        let pieces = lengths.iter().zip(0..).map(|(length, n)| {
            let start = at;
            at += length;
            let entry = Entry {
                file_offset: if n % 2 == 0 { start * 3 } else { NO_OFFSET },
                answer: n % 4,
            };
            (start, entry)
        });
        let (starts, entries) = pieces.unzip();
        DiskMap {
            volumes: vec!["disk".to_owned()],
            starts,
            entries,
            answers: classes.map(answer).to_vec(),
            size: lengths.iter().sum(),
        }
    }

    /// The piece with the byte at `place`, and where it starts.
    fn at(map: &DiskMap, place: u64) -> (u64, Entry) {
        let mut pieces = map.starts.iter().zip(&map.entries).rev();
        let (start, entry) = pieces.find(|(start, _)| **start <= place).unwrap();
        (*start, *entry)
    }

    proptest! {
        #[test]
        fn sums_are_those_of_single_bytes(
            lengths in proptest::collection::vec(1..9u64, 1..40),
            lists in proptest::collection::vec(
                proptest::collection::vec((0..200u64, 0..30u64), 0..12), 1..4),
        ) {
            let map = map(&lengths);
            let mut summer = Summer::new(&map);
            for list in lists {
                let ranges: RangeSet =
                    list.iter().map(|(at, length)| ByteRange::new(*at, at + length)).collect();
                let mut plain = vec![0u64; map.answers.len()];
                for byte in (0..map.size).filter(|byte| ranges.contains(*byte)) {
                    let (_, entry) = at(&map, byte);
                    plain[entry.answer as usize] += 1;
                }
                let summed: Vec<_> =
                    summer.sum(&ranges).map(|t| (map.answers[t.answer].class, t.bytes)).collect();
                let expected: Vec<_> = map.answers.iter().zip(&plain)
                    .filter(|(_, bytes)| **bytes > 0)
                    .map(|(answer, bytes)| (answer.class, *bytes))
                    .collect();
                prop_assert_eq!(summed, expected);
                let mut pieces = Vec::new();
                map.pieces(&ranges, |piece| pieces.push(piece));
                for piece in pieces {
                    let start = piece.range.start();
                    let (from, entry) = at(&map, start);
                    let offset = (entry.file_offset != NO_OFFSET)
                        .then(|| entry.file_offset + start - from);
                    prop_assert_eq!(piece.file_offset, offset);
                }
            }
        }
    }
}
