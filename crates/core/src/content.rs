//! The content of a file, put together from where it lies.

use std::sync::Arc;

use crate::{ByteRange, Claim, Error, RangeSet, ReadAt, ReadError, Result, Role, check_bounds};

/// The content of a file of `size` bytes as it lies on `volume`: no part of it is encoded.
pub(crate) fn of_claims(
    claims: &[Claim],
    size: u64,
    volume: &Arc<dyn ReadAt>,
) -> Result<Arc<dyn ReadAt>> {
    let extents: Vec<Extent> = claims.iter().map(Extent::of).collect();
    if claims.iter().any(|c| c.encoded) {
        let text = "the content is encrypted, or compressed in a way that is not known";
        return Err(Error::unsupported("content", text));
    }
    Ok(Arc::new(Content {
        pieces: pieces(&extents, size).collect(),
        size,
        volume: Arc::clone(volume),
    }))
}

/// Where a part of a file's content lies: what a claim says of it, kept small, since a file may have
/// a million of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) range: ByteRange,
    pub(crate) file_offset: Option<u64>,
    pub(crate) decoded: Option<Box<ByteRange>>,
    pub(crate) role: Role,
    pub(crate) encoded: bool,
}

impl Extent {
    pub(crate) fn of(claim: &Claim) -> Self {
        Self {
            range: claim.range,
            file_offset: claim.file_offset,
            decoded: claim.decoded.clone(),
            role: claim.role,
            encoded: claim.encoded,
        }
    }
}

/// A piece of a file and where its bytes lie on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) file: ByteRange,
    pub(crate) volume: u64,
}

/// The pieces of a file that hold bytes: rising, without overlap, within its first `size` bytes.
/// What lies between them reads as zeros.
pub(crate) fn pieces(extents: &[Extent], size: u64) -> impl Iterator<Item = Piece> {
    let mut end = 0;
    let data = extents.iter().filter(|e| e.role == Role::Data);
    data.filter_map(move |extent| {
        let offset = extent.file_offset?;
        // Of several copies the first is read.
        let from = offset.max(end);
        // What lies past 64 bits lies past the size too.
        let to = offset.saturating_add(extent.range.len()).min(size);
        (from < to).then(|| {
            end = to;
            Piece {
                file: ByteRange::new(from, to),
                volume: extent.range.start() + (from - offset),
            }
        })
    })
}

/// A file's content over the volume it lies on.
struct Content {
    volume: Arc<dyn ReadAt>,
    pieces: Vec<Piece>,
    size: u64,
}

impl Content {
    /// The pieces that share a byte with `range`.
    fn overlapping(&self, range: ByteRange) -> impl Iterator<Item = &Piece> {
        let from = self
            .pieces
            .partition_point(|p| p.file.end() <= range.start());
        let pieces = self.pieces.get(from..).unwrap_or_default();
        pieces
            .iter()
            .take_while(move |p| p.file.start() < range.end())
    }
}

impl ReadAt for Content {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.size)?;
        let range = ByteRange::new(offset, offset + buf.len() as u64);
        // All of the range lies within `buf`, and so in memory.
        let within = |at: u64| (at - offset) as usize;
        let mut done = offset;
        for piece in self.overlapping(range) {
            let (start, end) = (
                piece.file.start().max(offset),
                piece.file.end().min(range.end()),
            );
            buf[within(done)..within(start)].fill(0);
            let place = piece.volume + (start - piece.file.start());
            self.volume
                .read_exact_at(place, &mut buf[within(start)..within(end)])?;
            done = end;
        }
        buf[within(done)..].fill(0);
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let mut out = Vec::new();
        for piece in self.overlapping(range) {
            let Some(part) = piece.file.intersection(&range) else {
                continue;
            };
            let place = piece.volume + (part.start() - piece.file.start());
            let data = self
                .volume
                .data_in(ByteRange::new(place, place + part.len()));
            out.extend(
                data.iter()
                    .filter_map(|r| r.moved_down(place)?.moved_up(part.start())),
            );
        }
        out.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileKey;
    use crate::read_vec;

    fn content(pieces: &[(u64, u64, u64)], size: u64) -> Content {
        let extents: Vec<Extent> = pieces
            .iter()
            .map(|(file, volume, length)| {
                let range = ByteRange::new(*volume, volume + length);
                Extent::of(&Claim::file(range, FileKey::new(1), Role::Data).offset(*file))
            })
            .collect();
        Content {
            volume: Arc::new((0..=255u8).collect::<Vec<u8>>()),
            pieces: super::pieces(&extents, size).collect(),
            size,
        }
    }

    #[test]
    fn holes_are_zeros_and_the_size_cuts() {
        let file = content(&[(2, 100, 3), (8, 200, 10)], 12);
        let all = read_vec(&file, 0, 12).unwrap();
        assert_eq!(all, [0, 0, 100, 101, 102, 0, 0, 0, 200, 201, 202, 203]);
        for from in 0..12 {
            for to in from..=12 {
                let part = read_vec(&file, from as u64, to - from).unwrap();
                assert_eq!(part, all[from..to], "{from}..{to}");
            }
        }
        assert!(read_vec(&file, 12, 1).is_err());
        let data = file.data_in(ByteRange::new(3, 9));
        let expected = [ByteRange::new(3, 5), ByteRange::new(8, 9)];
        assert_eq!(data, expected.into_iter().collect());
    }

    #[test]
    fn the_first_of_two_copies_is_read() {
        let file = content(&[(0, 10, 4), (0, 50, 4), (4, 60, 2)], 6);
        assert_eq!(read_vec(&file, 0, 6).unwrap(), [10, 11, 12, 13, 60, 61]);
    }
}
