//! How many bytes of a list are whose.

use hexz_resolve::{ByteRange, RangeSet};

use crate::map::{DiskMap, Number};

/// Bytes of a list with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// Whose they are: number of its [`DiskMap::answer`].
    pub answer: usize,
    /// How many.
    pub bytes: u64,
}

/// Pieces of the disk that are looked at for all lists before the next ones: what the map says of
/// them stays in a near cache then.
const TILE: usize = if cfg!(test) { 8 } else { 8192 };

/// What of one list is summed.
#[derive(Debug, Default)]
struct Sums {
    /// Of answers that one piece has: these rise as the pieces do.
    single: Vec<Total>,
    /// Of answers of several pieces, as often as they come.
    shared: Vec<Total>,
}

impl DiskMap {
    /// The bytes of each list by answer, in the order in which the answers come first on the disk.
    /// They sum to the bytes of the list that lie on the disk. Lists that are asked about together
    /// take less time than each by itself.
    #[must_use]
    pub fn sums(&self, lists: &[RangeSet]) -> Vec<Vec<Total>> {
        let mut all: Vec<Sums> = lists.iter().map(|_| Sums::default()).collect();
        let mut left: Vec<&[ByteRange]> = lists.iter().map(RangeSet::as_slice).collect();
        for tile in (TILE..).step_by(TILE) {
            let end = self.starts.start(tile);
            for (left, sums) in left.iter_mut().zip(&mut all) {
                let here = left.iter().take_while(|range| range.start() < end).count();
                let (ranges, behind) = left.split_at(here);
                self.each_piece(ranges, |range, number| sums.add(number, range.len()));
                *left = behind;
            }
            if end >= self.size() {
                break;
            }
        }
        all.into_iter().map(Sums::merged).collect()
    }
}

impl Sums {
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

    /// The totals in the order of the answers.
    fn merged(mut self) -> Vec<Total> {
        self.shared.sort_unstable_by_key(|total| total.answer);
        self.shared.dedup_by(|next, kept| {
            let same = next.answer == kept.answer;
            kept.bytes += if same { next.bytes } else { 0 };
            same
        });
        let mut totals = Vec::with_capacity(self.shared.len() + self.single.len());
        let mut shared = self.shared.into_iter().peekable();
        for single in self.single {
            let before = |total: &Total| total.answer < single.answer;
            while let Some(total) = shared.next_if(before) {
                totals.push(total);
            }
            totals.push(single);
        }
        totals.extend(shared);
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{Answers, NewAnswer};
    use crate::map::NO_OFFSET;
    use crate::starts::Starts;
    use hexz_resolve::Class;
    use proptest::prelude::*;

    /// A map of pieces with these lengths, the first ones each of one of four answers, and the last
    /// ones each of one of its own.
    fn map(lengths: &[u64], shared: usize) -> DiskMap {
        let answer = |class, path: Option<usize>| NewAnswer {
            volume: Some(0),
            class,
            paths: path
                .map(|n| n.to_string().into_bytes())
                .into_iter()
                .collect(),
        };
        let classes = [Class::FileData, Class::Free, Class::Journal, Class::Gap];
        let mut answers = Answers::default();
        for class in classes {
            answers.push(&answer(class, None)).unwrap();
        }
        let (mut starts, mut at) = (Vec::new(), 0);
        let (mut numbers, mut file_offsets) = (Vec::new(), Vec::new());
        for (n, length) in lengths.iter().enumerate() {
            starts.push(at);
            file_offsets.push(if n % 2 == 0 { at * 3 } else { NO_OFFSET });
            at += length;
            numbers.push(if n < shared {
                Number::new(n % 4).unwrap().shared()
            } else {
                answers.push(&answer(Class::Directory, Some(n))).unwrap();
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
            let lists: Vec<RangeSet> = lists.iter().map(|list| {
                list.iter().map(|(at, length)| ByteRange::new(*at, at + length)).collect()
            }).collect();
            let together = map.sums(&lists);
            for (ranges, together) in lists.iter().zip(together) {
                let alone = map.sums(std::slice::from_ref(ranges));
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
