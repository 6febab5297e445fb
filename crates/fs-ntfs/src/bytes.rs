//! The content of an attribute: where it lies, and reading it.

use hexz_ondisk::read_what_can_be;
use hexz_resolve::{ByteRange, Error, ReadAt, Result};

use crate::ondisk::{size, wide};
use crate::record::Piece;

/// The whole content of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content {
    pub(crate) size: u64,
    /// From here on it reads as zeros.
    pub(crate) initialized: u64,
    /// By rising offset.
    pub(crate) pieces: Vec<Piece>,
}

impl Content {
    /// `length` bytes at `offset`; holes and what lies past the end are zeros. The caller bounds
    /// `length`.
    pub(crate) fn read(&self, reader: &dyn ReadAt, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.read_what_can_be(reader, offset, length, &mut |_, error| Err(error))
    }

    /// The same, where what can't be read is told to `lost` by its offset, and is zeros.
    pub(crate) fn read_what_can_be(
        &self,
        reader: &dyn ReadAt,
        offset: u64,
        length: usize,
        lost: &mut dyn FnMut(ByteRange, Error) -> Result<()>,
    ) -> Result<Vec<u8>> {
        let mut out = vec![0; length];
        let end = offset.saturating_add(wide(length));
        let want = ByteRange::new(offset, end.min(self.size).min(self.initialized));
        for (at, range) in self.places(want) {
            let from = size(at.saturating_sub(offset));
            let to = from.saturating_add(size(range.len()));
            let Some(part) = out.get_mut(from..to) else {
                continue;
            };
            let mut note = |bad: ByteRange, error: Error| {
                let within = bad.moved_down(range.start()).and_then(|r| r.moved_up(at));
                lost(within.unwrap_or(want), error)
            };
            read_what_can_be(reader, "attribute", range.start(), part, &mut note)?;
        }
        Ok(out)
    }

    /// What is needed to read some of its bytes.
    pub(crate) fn part(&self, want: ByteRange) -> Self {
        let pieces = self.pieces.iter().filter(|p| {
            p.offset < want.end() && p.offset.saturating_add(p.range.len()) > want.start()
        });
        Self {
            size: self.size.min(want.end()),
            initialized: self.initialized,
            pieces: pieces.copied().collect(),
        }
    }

    /// Where a part of it lies, each piece with its offset.
    pub(crate) fn places(&self, want: ByteRange) -> impl Iterator<Item = (u64, ByteRange)> + '_ {
        let from = self
            .pieces
            .partition_point(|p| p.offset.saturating_add(p.range.len()) <= want.start());
        let pieces = self.pieces.get(from..).unwrap_or_default().iter();
        pieces
            .take_while(move |p| p.offset < want.end())
            .filter_map(move |p| {
                let own = ByteRange::new(p.offset, p.offset.saturating_add(p.range.len()));
                let part = own.intersection(&want)?;
                let place = part.moved_down(p.offset)?.moved_up(p.range.start())?;
                Some((part.start(), place))
            })
    }
}
