//! How many bytes of a list are whose.

use hexz_resolve::{ByteRange, RangeSet};

use crate::map::{DiskMap, Number};

/// Bytes of a list with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// Whose they are: index into [`DiskMap::answers`].
    pub answer: usize,
    /// How many.
    pub bytes: u64,
}

/// Pieces of the disk that are looked at for all lists before the next ones: what the map says of
/// them stays in a near cache then.
const TILE: usize = if cfg!(test) { 8 } else { 8192 };

/// Sums lists, some together: its memory is used again for the next ones.
#[derive(Debug)]
pub struct Summer<'a> {
    map: &'a DiskMap,
    lists: Vec<Sums>,
}

/// What of one list is summed.
#[derive(Debug, Default)]
struct Sums {
    /// Of answers that one piece has: these rise as the pieces do.
    single: Vec<Total>,
    /// Of answers of several pieces, as often as they come.
    shared: Vec<Total>,
    totals: Vec<Total>,
}

impl<'a> Summer<'a> {
    /// Sums lists of the disk of `map`.
    #[must_use]
    pub fn new(map: &'a DiskMap) -> Self {
        let lists = Vec::new();
        Self { map, lists }
    }

    /// The bytes of each list by answer, in the order in which the answers come first on the disk.
    /// They sum to the bytes of the list that lie on the disk.
    pub fn sum(&mut self, lists: &[RangeSet]) -> impl Iterator<Item = &[Total]> {
        self.lists.resize_with(lists.len(), Sums::default);
        self.lists.iter_mut().for_each(Sums::clear);
        let mut left: Vec<&[ByteRange]> = lists.iter().map(RangeSet::as_slice).collect();
        for tile in (TILE..).step_by(TILE) {
            let end = self.map.starts.start(tile);
            for (left, sums) in left.iter_mut().zip(&mut self.lists) {
                let here = left.iter().take_while(|range| range.start() < end).count();
                let (ranges, behind) = left.split_at(here);
                self.map.each_piece(ranges, |range, number| {
                    sums.add(number, range.len());
                });
                *left = behind;
            }
            if end >= self.map.size() {
                break;
            }
        }
        self.lists.iter_mut().map(|sums| {
            sums.merge();
            sums.totals.as_slice()
        })
    }
}

impl Sums {
    fn clear(&mut self) {
        self.single.clear();
        self.shared.clear();
        self.totals.clear();
    }

    fn add(&mut self, number: Number, bytes: u64) {
        let totals = match number.is_shared() {
            true => &mut self.shared,
            false => &mut self.single,
        };
        let answer = number.answer();
        match totals.last_mut() {
            Some(last) if last.answer == answer => last.bytes += bytes,
            _ => totals.push(Total { answer, bytes }),
        }
    }

    /// Puts the totals in the order of the answers.
    fn merge(&mut self) {
        self.shared.sort_unstable_by_key(|total| total.answer);
        self.shared.dedup_by(|next, kept| {
            let same = next.answer == kept.answer;
            kept.bytes += if same { next.bytes } else { 0 };
            same
        });
        let mut shared = self.shared.iter().copied().peekable();
        for single in &self.single {
            let before = |total: &Total| total.answer < single.answer;
            while let Some(total) = shared.next_if(before) {
                self.totals.push(total);
            }
            self.totals.push(*single);
        }
        self.totals.extend(shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{Answer, NO_OFFSET};
    use crate::starts::Starts;
    use hexz_resolve::Class;
    use proptest::prelude::*;

    /// A map of pieces with these lengths, the first ones each of one of four answers, and the last
    /// ones each of one of its own.
    fn map(lengths: &[u64], shared: usize) -> DiskMap {
        let answer = |class, path: Option<usize>| Answer {
            volume: Some(0),
            class,
            paths: path
                .map(|n| n.to_string().into_bytes())
                .into_iter()
                .collect(),
        };
        let classes = [Class::FileData, Class::Free, Class::Journal, Class::Gap];
        let mut answers: Vec<_> = classes.map(|class| answer(class, None)).to_vec();
        let (mut starts, mut at) = (Vec::new(), 0);
        let (mut numbers, mut file_offsets) = (Vec::new(), Vec::new());
        for (n, length) in lengths.iter().enumerate() {
            starts.push(at);
            file_offsets.push(if n % 2 == 0 { at * 3 } else { NO_OFFSET });
            at += length;
            numbers.push(if n < shared {
                Number::new(n % 4).unwrap().shared()
            } else {
                answers.push(answer(Class::Directory, Some(n)));
                Number::new(answers.len() - 1).unwrap()
            });
        }
        DiskMap {
            volumes: vec!["disk".to_owned()],
            starts: Starts::new(starts, at).unwrap(),
            numbers,
            file_offsets,
            answers,
        }
    }

    /// The piece with the byte at `place`.
    fn at(map: &DiskMap, place: u64) -> usize {
        let mut pieces = (0..map.len()).rev();
        pieces
            .find(|piece| map.starts.start(*piece) <= place)
            .unwrap()
    }

    proptest! {
        #[test]
        fn sums_are_those_of_single_bytes(
            lengths in proptest::collection::vec(1..9u64, 1..40),
            shared in 0..40usize,
            lists in proptest::collection::vec(
                proptest::collection::vec((0..200u64, 0..30u64), 0..12), 1..4),
        ) {
            let map = map(&lengths, shared);
            let mut summer = Summer::new(&map);
            let lists: Vec<RangeSet> = lists.iter().map(|list| {
                list.iter().map(|(at, length)| ByteRange::new(*at, at + length)).collect()
            }).collect();
            // All together, and then each by itself with what was used before.
            let together: Vec<Vec<Total>> =
                summer.sum(&lists).map(<[Total]>::to_vec).collect();
            for (ranges, together) in lists.iter().zip(together) {
                let alone: Vec<Vec<Total>> = (summer.sum(std::slice::from_ref(ranges)))
                    .map(<[Total]>::to_vec).collect();
                prop_assert_eq!(&alone, std::slice::from_ref(&together));
                let mut plain = vec![0u64; map.answers.len()];
                for byte in (0..map.size()).filter(|byte| ranges.contains(*byte)) {
                    plain[map.numbers[at(&map, byte)].answer()] += 1;
                }
                let summed: Vec<_> = together.iter().map(|t| (t.answer, t.bytes)).collect();
                let expected: Vec<_> =
                    plain.iter().copied().enumerate().filter(|(_, bytes)| *bytes > 0).collect();
                prop_assert_eq!(summed, expected);
                let mut pieces = Vec::new();
                map.pieces(ranges, |piece| pieces.push(piece));
                for piece in pieces {
                    let start = piece.range.start();
                    let found = at(&map, start);
                    let offset = map.file_offsets[found];
                    let offset = (offset != NO_OFFSET)
                        .then(|| offset + start - map.starts.start(found));
                    prop_assert_eq!(piece.file_offset, offset);
                }
            }
        }
    }
}
