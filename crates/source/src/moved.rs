//! Pieces of a disk that lie elsewhere in another order: chunks of a snapshot's store, blocks that
//! were kept before they were written over.

use std::fmt;
use std::sync::Arc;

use hexz_resolve::{ByteRange, RangeSet, ReadAt, ReadError, check_bounds};

use crate::num::{take_front, u64_of};

/// Reads as a disk of which only some pieces are there.
pub(crate) struct Moved {
    from: Arc<dyn ReadAt>,
    /// Ranges of the disk, rising and apart, and the byte of `from` at which each begins.
    pieces: Vec<(ByteRange, u64)>,
}

impl Moved {
    /// The given pieces: a range of the disk, and where it begins in `from`. Where two of them have
    /// the same byte, the one that comes first in `pieces` holds.
    #[must_use]
    pub(crate) fn new(from: Arc<dyn ReadAt>, pieces: Vec<(ByteRange, u64)>) -> Self {
        let mut pieces = pieces;
        pieces.retain(|(range, _)| !range.is_empty());
        pieces.sort_by_key(|(range, _)| range.start());
        let mut apart: Vec<(ByteRange, u64)> = Vec::with_capacity(pieces.len());
        for (range, at) in pieces {
            let start = apart.last().map_or(0, |(last, _)| last.end());
            let cut = start.saturating_sub(range.start());
            let rest = ByteRange::new(range.start().saturating_add(cut), range.end().max(start));
            if !rest.is_empty() {
                apart.push((rest, at.saturating_add(cut)));
            }
        }
        Self {
            from,
            pieces: apart,
        }
    }

    /// What of the disk is there.
    #[must_use]
    pub(crate) fn ranges(&self) -> RangeSet {
        self.pieces.iter().map(|(range, _)| *range).collect()
    }

    /// The pieces that share a byte with `range`, cut to it.
    fn within(&self, range: ByteRange) -> impl Iterator<Item = (ByteRange, u64)> + '_ {
        let first = self
            .pieces
            .partition_point(|(piece, _)| piece.end() <= range.start());
        let rest = self.pieces.iter().skip(first);
        rest.map_while(move |(piece, at)| {
            let part = piece.intersection(&range)?;
            let skip = part.start().saturating_sub(piece.start());
            Some((part, at.saturating_add(skip)))
        })
    }
}

impl ReadAt for Moved {
    fn len(&self) -> u64 {
        self.pieces.last().map_or(0, |(range, _)| range.end())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len())?;
        let end = offset.saturating_add(u64_of(buf.len()));
        let (mut rest, mut at) = (buf, offset);
        let missing = |offset: u64| ReadError::Damaged {
            offset,
            reason: "nothing is kept of these bytes".to_owned(),
        };
        for (piece, place) in self.within(ByteRange::new(offset, end)) {
            if piece.start() != at {
                return Err(missing(at));
            }
            let out = take_front(&mut rest, piece.len());
            let read = self.from.read_exact_at(place, out);
            read.map_err(|error| ReadError::Damaged {
                offset: at,
                reason: format!("kept at byte {place}: {error}"),
            })?;
            at = piece.end();
        }
        match at == end {
            true => Ok(()),
            false => Err(missing(at)),
        }
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        self.within(range).map(|(piece, _)| piece).collect()
    }
}

impl fmt::Debug for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moved")
            .field("pieces", &self.pieces.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexz_resolve::read_vec;

    #[test]
    fn pieces_are_read_where_they_lie() {
        let from: Arc<dyn ReadAt> = Arc::new((0..100).collect::<Vec<u8>>());
        let at = |start, end| ByteRange::new(start, end);
        let pieces = vec![
            (at(20, 30), 0),
            (at(10, 20), 90),
            (at(25, 40), 50),
            (at(60, 70), 95),
        ];
        let moved = Moved::new(from, pieces);
        assert_eq!(moved.len(), 70);
        assert_eq!(
            moved.ranges(),
            [at(10, 40), at(60, 70)].into_iter().collect()
        );
        let bytes = read_vec(&moved, 18, 14).unwrap();
        assert_eq!(bytes, [98, 99, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 55, 56]);
        assert!(read_vec(&moved, 0, 11).is_err());
        assert!(read_vec(&moved, 39, 2).is_err());
        assert!(read_vec(&moved, 60, 5).is_ok());
        assert!(
            read_vec(&moved, 60, 6).is_err(),
            "past the end of what it lies in"
        );
        assert_eq!(
            moved.data_in(at(35, 65)),
            [at(35, 40), at(60, 65)].into_iter().collect()
        );
    }
}
