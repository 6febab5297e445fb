//! Where the pieces of a disk start, to be searched for many places.

/// Pieces of a region, on average: few enough to lie in a line or two of a cache.
const TOGETHER: u64 = 8;

/// Where pieces start that lie one behind the other. Each search stands by itself, so that a
/// processor can begin the next ones while one of them waits for memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Starts {
    /// Rising, from 0.
    starts: Vec<u64>,
    /// Where the last piece ends.
    end: u64,
    /// The regions of the disk have two to the power of so many bytes.
    shift: u32,
    /// Of each region the piece that holds its first byte, and behind the last one the last piece.
    regions: Vec<u32>,
}

impl Starts {
    /// Of pieces that start at `starts`, which rise from 0, the last one up to `end`. `None` where
    /// there are more of them than 32 bits count.
    pub(crate) fn new(mut starts: Vec<u64>, end: u64) -> Option<Self> {
        starts.shrink_to_fit();
        let last = u32::try_from(starts.len().checked_sub(1)?).ok()?;
        let pieces = starts.len() as u64;
        let region = (end / pieces).saturating_mul(TOGETHER).max(1);
        let shift = region.ilog2();
        let mut regions = Vec::with_capacity(usize::try_from((end >> shift) + 2).ok()?);
        let mut holds = 0;
        for region in 0..=end >> shift {
            let from = region << shift;
            while starts
                .get(holds as usize + 1)
                .is_some_and(|start| *start <= from)
            {
                holds += 1;
            }
            regions.push(holds);
        }
        regions.push(last);
        Some(Self {
            starts,
            end,
            shift,
            regions,
        })
    }

    /// How many pieces there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Where the last piece ends.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Where a piece starts; where the last one ends for the number behind it.
    pub(crate) fn start(&self, piece: usize) -> u64 {
        self.starts.get(piece).copied().unwrap_or(self.end)
    }

    /// The piece that holds the byte at `place`; the last one for a place behind it.
    pub(crate) fn piece_at(&self, place: u64) -> usize {
        let region = usize::try_from(place >> self.shift).unwrap_or(usize::MAX);
        let Some([from, to]) = self.regions.get(region..).and_then(|r| r.first_chunk()) else {
            return self.starts.len().saturating_sub(1);
        };
        let (from, to) = (*from as usize, *to as usize);
        let near = self.starts.get(from..=to).unwrap_or_default();
        let past = near.partition_point(|start| *start <= place);
        from + past.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_search_finds_what_a_walk_finds(
            lengths in proptest::collection::vec((1..5u64, 0..40u32), 1..200),
            scale in 0..3u32,
        ) {
            // Mostly short ones, and some that are as long as many others together.
            let long = |(length, chance): &(u64, u32)| {
                length << if *chance == 0 { 12 } else { scale }
            };
            let mut end = 0;
            let starts: Vec<u64> = lengths.iter().map(|piece| {
                let start = end;
                end += long(piece);
                start
            }).collect();
            let searched = Starts::new(starts.clone(), end).unwrap();
            prop_assert_eq!(searched.len(), starts.len());
            for (piece, start) in starts.iter().enumerate() {
                prop_assert_eq!(searched.start(piece), *start);
                let next = starts.get(piece + 1).copied().unwrap_or(end);
                for place in [*start, (*start + next) / 2, next - 1] {
                    prop_assert_eq!(searched.piece_at(place), piece);
                }
            }
            prop_assert_eq!(searched.start(starts.len()), end);
            prop_assert_eq!(searched.piece_at(end), starts.len() - 1);
            prop_assert_eq!(searched.piece_at(u64::MAX), starts.len() - 1);
        }
    }

    #[test]
    fn nothing_has_no_pieces() {
        assert!(Starts::new(Vec::new(), 0).is_none());
        let nothing = Starts::default();
        assert_eq!(
            (nothing.len(), nothing.end(), nothing.piece_at(7)),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_disk_of_all_addresses_has_few_regions() {
        let all = Starts::new(vec![0, 4096, 1 << 62], u64::MAX).unwrap();
        assert_eq!(all.piece_at(4095), 0);
        assert_eq!(all.piece_at(1 << 61), 1);
        assert_eq!(all.piece_at(u64::MAX - 1), 2);
        assert!(all.regions.len() < 8);
    }
}
