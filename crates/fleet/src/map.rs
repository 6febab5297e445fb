//! The map of a disk in memory.

use std::sync::Arc;

use hexz_resolve::report::PathBytes;
use hexz_resolve::{ByteRange, Class, RangeSet};

/// All names of one file.
pub type Names = Arc<[PathBytes]>;

/// What is said of many pieces: whose they are, and what they are to their owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// Index into [`DiskMap::volumes`]; `None` outside every volume.
    pub volume: Option<usize>,
    /// The class of the bytes.
    pub class: Class,
    /// The names of each file that owns them, the first of each file first.
    pub owners: Arc<[Names]>,
}

impl Answer {
    /// The first name of the first file that owns the bytes.
    #[must_use]
    pub fn path(&self) -> Option<&[u8]> {
        let names = self.owners.iter().find_map(|names| names.first());
        names.map(Vec::as_slice)
    }
}

/// What is said of a piece of the disk, which ends where the next one starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Offset in the first file that owns it; [`NO_OFFSET`] where there is none.
    pub(crate) file_offset: u64,
    /// Index into the answers.
    pub(crate) answer: u32,
}

/// Stands for no offset: no byte of a file has it, since lengths have 64 bits too.
pub(crate) const NO_OFFSET: u64 = u64::MAX;

/// A piece of the disk that a list asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPiece {
    /// Where it lies on the disk.
    pub range: ByteRange,
    /// Index into [`DiskMap::answers`].
    pub answer: usize,
    /// Offset of its first byte in the first file that owns it.
    pub file_offset: Option<u64>,
}

/// Who owns each byte of a disk.
#[derive(Clone, Debug, Default)]
pub struct DiskMap {
    pub(crate) volumes: Vec<String>,
    /// Where pieces start, rising, from 0 to `size` without a gap. They stand by themselves, since
    /// they are searched for each range of each list.
    pub(crate) starts: Vec<u64>,
    /// Of each piece.
    pub(crate) entries: Vec<Entry>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) size: u64,
}

impl DiskMap {
    /// Names of the volumes, in disk order.
    #[must_use]
    pub fn volumes(&self) -> &[String] {
        &self.volumes
    }

    /// What is said of the pieces.
    #[must_use]
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// Bytes of the disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Number of pieces of the whole disk.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the disk has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The pieces of `ranges`, by start. What lies past the end of the disk has none.
    pub fn pieces(&self, ranges: &RangeSet, mut each: impl FnMut(MapPiece)) {
        let mut from = 0;
        for range in ranges {
            let end = range.end().min(self.size);
            from = self.at(range.start(), from);
            let mut index = from;
            let mut start = range.start();
            while start < end {
                let (Some(from), Some(entry)) = (self.starts.get(index), self.entries.get(index))
                else {
                    return;
                };
                let next = self.starts.get(index + 1).unwrap_or(&self.size);
                let piece_end = end.min(*next);
                let skipped = start - from;
                let file_offset = (entry.file_offset != NO_OFFSET)
                    .then(|| entry.file_offset.checked_add(skipped))
                    .flatten();
                each(MapPiece {
                    range: ByteRange::new(start, piece_end),
                    answer: entry.answer as usize,
                    file_offset,
                });
                start = piece_end;
                index += 1;
            }
            from = index.saturating_sub(1);
        }
    }

    /// The entry that holds the byte at `offset`, sought from entry `from` on: lists rise, and
    /// their next range is often near.
    fn at(&self, offset: u64, from: usize) -> usize {
        let behind = self.starts.get(from..).unwrap_or_default();
        let mut step = 1;
        while behind.get(step).is_some_and(|start| *start <= offset) {
            step *= 2;
        }
        let near = behind.get(..step.min(behind.len())).unwrap_or_default();
        let past = near.partition_point(|start| *start <= offset);
        from + past.saturating_sub(1)
    }
}
