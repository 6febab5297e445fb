//! What an image format has to say: where each piece of its disk lies. Reading, holes, chains and
//! the comparison of two images are written over this, once (see [`crate::image`]).

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use hexz_resolve::{ByteRange, Error, Result};

use crate::cache::Cache;
use crate::file::RawFile;
use crate::num::usize_of;

/// Where the bytes of a piece of a disk are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Nowhere: they read as zeros, whatever lies below.
    Zero,
    /// Not in this image: in the one below, and zeros where there is none.
    Below,
    /// As they are, from byte `offset` of the layer's file number `file` on.
    At { file: usize, offset: u64 },
    /// In a unit that is compressed, into `length` bytes from byte `offset` of the layer's file
    /// number `file` on.
    Packed {
        file: usize,
        offset: u64,
        length: u32,
    },
    /// Not known: what should say it is damaged.
    Damaged(Arc<Error>),
}

impl Place {
    /// Where the byte `by` further is, in the same piece.
    pub(crate) fn after(&self, by: u64) -> Self {
        match self {
            // A place past 64 bits is past the end of any file, and reading it an error.
            Self::At { file, offset } => Self::At {
                file: *file,
                offset: offset.saturating_add(by),
            },
            other => other.clone(),
        }
    }

    pub(crate) fn damaged(error: Error) -> Self {
        Self::Damaged(Arc::new(error))
    }

    /// Whether both lead to the same bytes of the same files. What is damaged is like nothing
    /// else, since its bytes are not known.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Zero, Self::Zero) | (Self::Below, Self::Below) => true,
            (
                Self::At { file, offset },
                Self::At {
                    file: other,
                    offset: at,
                },
            ) => file == other && offset == at,
            (
                Self::Packed {
                    file,
                    offset,
                    length,
                },
                Self::Packed {
                    file: other,
                    offset: at,
                    length: bytes,
                },
            ) => file == other && offset == at && length == bytes,
            _ => false,
        }
    }

    /// Whether a piece of this place that is followed by one of `next`, `length` bytes further, is
    /// one piece with it.
    fn joins(&self, length: u64, next: &Self) -> bool {
        match self {
            // Each unit is decoded by itself, and each damage is told by itself.
            Self::Packed { .. } => false,
            Self::Damaged(error) => matches!(next, Self::Damaged(of) if Arc::ptr_eq(error, of)),
            place => place.after(length).is_same(next),
        }
    }
}

/// Where the bytes of a compressed unit lie in one of the files of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed {
    pub(crate) file: usize,
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

/// Is handed the pieces of a range.
pub(crate) type Visit<'a> = dyn FnMut(ByteRange, Place) -> ControlFlow<()> + 'a;

/// One image of a chain, without what it stands on. A format is an `ondisk.rs` and one of these.
pub(crate) trait Layer: Send + Sync {
    /// Bytes of the disk.
    fn size(&self) -> u64;

    /// Bytes of the smallest piece that is mapped by itself; a power of two.
    fn unit(&self) -> u64;

    /// Bytes of a logical sector of the disk, where the format tells it.
    fn sector_size(&self) -> Option<u64> {
        None
    }

    /// Hands `visit` the pieces of `range`, which lies on the disk: rising and without gaps, until
    /// it breaks. What the tables do not tell is [`Place::Damaged`].
    fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> ControlFlow<()>;

    /// A file that places lead to; they are numbered from 0.
    fn file(&self, number: usize) -> Option<&RawFile>;

    /// Fills `out` with `piece` of the disk, which lies in the unit `packed` and does not leave it.
    ///
    /// # Errors
    /// With what is wrong with the unit.
    fn read_packed(&self, packed: Packed, piece: ByteRange, out: &mut [u8]) -> Result<()> {
        let (_, _) = (piece, out);
        Err(Error::corrupt("image")
            .at(packed.offset)
            .message("a compressed unit in a format that has none"))
    }

    /// What tells the image from others, to those that stand on it.
    fn id(&self) -> Option<ImageId> {
        None
    }

    /// Reads what says where things are once more, and tells whether it is what it was: an image
    /// in use may have moved its tables meanwhile.
    fn is_unmoved(&self) -> bool {
        true
    }
}

/// What an image has for a child to know it by, in the words of its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageId(pub(crate) String);

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Joins neighbours that lie in one piece, so that they are read and told as one.
pub(crate) struct Joined<'a, 'b> {
    last: Option<(ByteRange, Place)>,
    visit: &'a mut Visit<'b>,
}

impl<'a, 'b> Joined<'a, 'b> {
    pub(crate) fn new(visit: &'a mut Visit<'b>) -> Self {
        Self { last: None, visit }
    }

    pub(crate) fn add(&mut self, piece: ByteRange, place: Place) -> ControlFlow<()> {
        if let Some((last, of)) = &mut self.last
            && last.end() == piece.start()
            && of.joins(last.len(), &place)
        {
            *last = ByteRange::new(last.start(), piece.end());
            return ControlFlow::Continue(());
        }
        match self.last.replace((piece, place)) {
            Some((last, of)) => (self.visit)(last, of),
            None => ControlFlow::Continue(()),
        }
    }

    pub(crate) fn finish(self) -> ControlFlow<()> {
        match self.last {
            Some((last, of)) => (self.visit)(last, of),
            None => ControlFlow::Continue(()),
        }
    }
}

/// Hands `visit` the pieces of `range` of a disk in blocks of `block` bytes, of which `runs` tells
/// where they lie: given the number of a block and one that lies past those wanted, it gives how
/// many from there on have the place, as far as it knows, and the place of the first of them.
pub(crate) fn by_block(
    range: ByteRange,
    block: u64,
    mut runs: impl FnMut(u64, u64) -> (u64, Place),
    visit: &mut Visit<'_>,
) -> ControlFlow<()> {
    let block = block.max(1);
    let last = range.end().div_ceil(block);
    let mut at = range.start();
    while at < range.end() {
        let number = at.checked_div(block).unwrap_or(0);
        let (count, place) = runs(number, last);
        let start = number.saturating_mul(block);
        let end = start.saturating_add(count.max(1).saturating_mul(block));
        let piece = ByteRange::new(at, end.min(range.end()));
        visit(piece, place.after(at.saturating_sub(start)))?;
        at = piece.end();
    }
    ControlFlow::Continue(())
}

/// Compressed units, decoded, by where they lie in their file.
pub(crate) struct Units {
    cache: Cache<[u8]>,
    /// Bytes of the disk that one holds.
    unit: u64,
}

impl Units {
    /// Keeps up to `bytes` of units of `unit` bytes.
    pub(crate) fn new(bytes: usize, unit: u64) -> Self {
        Self {
            cache: Cache::new(bytes, usize_of(unit)),
            unit,
        }
    }

    /// Fills `out` with `piece` of the disk, of the unit that lies at `offset` and that `decode`
    /// fills a whole unit with. It says how much of it there is: the last one may be shorter.
    pub(crate) fn read(
        &self,
        offset: u64,
        piece: ByteRange,
        out: &mut [u8],
        decode: impl FnOnce(&mut [u8]) -> Result<usize>,
    ) -> Result<()> {
        let skip = usize_of(piece.start().checked_rem(self.unit).unwrap_or(0));
        let from = |bytes: &[u8], out: &mut [u8]| {
            let end = skip.checked_add(out.len());
            let bytes = end.and_then(|end| bytes.get(skip..end));
            let short = || {
                Error::corrupt("compressed unit")
                    .at(offset)
                    .message("it ends early")
            };
            out.copy_from_slice(bytes.ok_or_else(short)?);
            Ok(())
        };
        if let Some(bytes) = self.cache.get(offset) {
            return from(&bytes, out);
        }
        let size = usize_of(self.unit);
        // What is read as a whole is not read again soon.
        if out.len() == size {
            return match decode(out)? {
                written if written == size => Ok(()),
                _ => from(&[], out),
            };
        }
        let mut bytes = vec![0; size];
        let written = decode(&mut bytes)?;
        bytes.truncate(written);
        from(&bytes, out)?;
        self.cache.insert(offset, Arc::from(bytes), size);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_joined_where_their_bytes_are() {
        let at = |offset| Place::At { file: 0, offset };
        let damage = Place::damaged(Error::corrupt("table"));
        let packed = |offset| Place::Packed {
            file: 0,
            offset,
            length: 5,
        };
        let all = [
            at(100),
            at(110),
            at(121),
            Place::Below,
            Place::Below,
            Place::Zero,
            packed(1),
            packed(1),
            damage.clone(),
            damage,
            Place::damaged(Error::corrupt("table")),
        ];
        let mut found = Vec::new();
        let mut visit = |piece: ByteRange, _| {
            found.push((piece.start(), piece.end()));
            ControlFlow::Continue(())
        };
        let mut joined = Joined::new(&mut visit);
        for (start, place) in (0..).step_by(10).zip(all) {
            let _ = joined.add(ByteRange::new(start, start + 10), place);
        }
        let _ = joined.finish();
        let expected = [
            (0, 20),
            (20, 30),
            (30, 50),
            (50, 60),
            (60, 70),
            (70, 80),
            (80, 100),
            (100, 110),
        ];
        assert_eq!(found, expected);
    }
}
