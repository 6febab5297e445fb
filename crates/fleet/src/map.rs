//! The map of a disk in memory.

use hexz_resolve::{ByteRange, RangeSet};

use crate::answers::{Answer, Answers};
use crate::starts::Starts;

/// Which answer a piece has, and whether another piece has it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(u32);

impl Number {
    const SHARED: u32 = 1 << 31;

    /// `None` for more answers than are numbered.
    pub(crate) fn new(answer: usize) -> Option<Self> {
        let number = u32::try_from(answer).ok();
        number.filter(|n| *n < Self::SHARED).map(Self)
    }

    pub(crate) fn shared(self) -> Self {
        Self(self.0 | Self::SHARED)
    }

    pub(crate) fn is_shared(self) -> bool {
        self.0 & Self::SHARED != 0
    }

    /// Number of the answer.
    pub(crate) fn answer(self) -> usize {
        (self.0 & !Self::SHARED) as usize
    }
}

/// Stands for no offset: no byte of a file has it, since lengths have 64 bits too.
pub(crate) const NO_OFFSET: u64 = u64::MAX;

/// A piece of the disk that a list asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPiece {
    /// Where it lies on the disk.
    pub range: ByteRange,
    /// Number of its [`DiskMap::answer`].
    pub answer: usize,
    /// Offset of its first byte in the first file that owns it.
    pub file_offset: Option<u64>,
}

/// Who owns each byte of a disk. What is searched stands apart from what is only said.
#[derive(Clone, Debug, Default)]
pub struct DiskMap {
    pub(crate) volumes: Vec<String>,
    pub(crate) starts: Starts,
    /// Of each piece.
    pub(crate) numbers: Vec<Number>,
    /// Of each piece, in the first file that owns it; [`NO_OFFSET`] where there is none.
    pub(crate) file_offsets: Vec<u64>,
    /// In the order in which they come first on the disk.
    pub(crate) answers: Answers,
}

impl DiskMap {
    /// Names of the volumes, in disk order.
    #[must_use]
    pub fn volumes(&self) -> &[String] {
        &self.volumes
    }

    /// What is said of pieces, by the number that [`MapPiece::answer`] and
    /// [`Total::answer`](crate::Total::answer) have; the numbers begin at 0 without a gap.
    #[must_use]
    pub fn answer(&self, number: usize) -> Option<Answer<'_>> {
        self.answers.get(number)
    }

    /// Bytes of the disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.starts.end()
    }

    /// Number of pieces of the whole disk.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether the disk has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces of `ranges`, by start. What lies past the end of the disk has none.
    pub fn pieces(&self, ranges: &RangeSet, mut each: impl FnMut(MapPiece)) {
        self.each_part(ranges.as_slice(), |range, piece| {
            let (Some(number), Some(offset)) =
                (self.numbers.get(piece), self.file_offsets.get(piece))
            else {
                return;
            };
            let skipped = range.start() - self.starts.start(piece);
            let file_offset = (*offset != NO_OFFSET).then(|| offset.checked_add(skipped));
            each(MapPiece {
                range,
                answer: number.answer(),
                file_offset: file_offset.flatten(),
            });
        });
    }

    /// The same, each with the number of its answer.
    pub(crate) fn each_piece(&self, ranges: &[ByteRange], mut each: impl FnMut(ByteRange, Number)) {
        self.each_part(ranges, |range, piece| {
            if let Some(number) = self.numbers.get(piece) {
                each(range, *number);
            }
        });
    }

    /// The same, each with the piece of the disk that it is a part of.
    fn each_part(&self, ranges: &[ByteRange], mut each: impl FnMut(ByteRange, usize)) {
        // Searched before any of them is told: the searches don't wait for each other then.
        const AHEAD: usize = 32;
        let size = self.size();
        for ranges in ranges.chunks(AHEAD) {
            let mut first = [0; AHEAD];
            for (piece, range) in first.iter_mut().zip(ranges) {
                *piece = self.starts.piece_at(range.start());
            }
            for (piece, range) in first.into_iter().zip(ranges) {
                let (mut piece, mut start) = (piece, range.start());
                let end = range.end().min(size);
                while start < end {
                    let piece_end = end.min(self.starts.start(piece + 1));
                    each(ByteRange::new(start, piece_end), piece);
                    start = piece_end;
                    piece += 1;
                }
            }
        }
    }
}
