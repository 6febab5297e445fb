//! Tables of blocks: an entry a block, read in pieces, since a small file can have a large one.

use std::sync::Arc;

use hexz_ondisk::read;
use hexz_resolve::{Error, ReadAt, Result};

use crate::cache::Cache;
use crate::num::{u64_of, usize_of};

/// Bytes that are read at a time.
const PIECE: u64 = 64 << 10;

/// Reads entries, of `width` bytes each and little-endian, and keeps some of what was read.
pub(crate) struct Tables {
    structure: &'static str,
    width: u64,
    pieces: Cache<[u8]>,
}

impl Tables {
    pub(crate) fn new(structure: &'static str, width: u64, cache_bytes: usize) -> Self {
        Self {
            structure,
            width,
            pieces: Cache::new(cache_bytes, usize_of(PIECE)),
        }
    }

    /// Checks that a table of `count` entries at `at` lies within a file of `file_len` bytes.
    pub(crate) fn check(&self, at: u64, count: u64, file_len: u64) -> Result<()> {
        let end = count
            .checked_mul(self.width)
            .and_then(|length| length.checked_add(at));
        if end.is_some_and(|end| end <= file_len) {
            return Ok(());
        }
        let error = Error::corrupt(self.structure).at(at);
        Err(error
            .expected("a table within the file")
            .found(format_args!("{count} entries")))
    }

    /// Entry `number` of the table at `at`, and how many from there on, before number `last`, have
    /// the same value: one at least, and not more than are read at a time.
    pub(crate) fn run(
        &self,
        file: &dyn ReadAt,
        at: u64,
        number: u64,
        last: u64,
    ) -> Result<(u64, u64)> {
        let error = || Error::corrupt(self.structure).at(at);
        let per_piece = PIECE.checked_div(self.width).unwrap_or(1).max(1);
        let first = number
            .checked_div(per_piece)
            .unwrap_or(0)
            .saturating_mul(per_piece);
        let start = first
            .checked_mul(self.width)
            .and_then(|bytes| bytes.checked_add(at))
            .ok_or_else(|| error().message("a table past 64 bits"))?;
        let piece = match self.pieces.get(start) {
            Some(piece) => piece,
            None => {
                let length = PIECE.min(file.len().saturating_sub(start));
                let bytes = read(file, self.structure, start, usize_of(length))?;
                let piece: Arc<[u8]> = Arc::from(bytes);
                self.pieces
                    .insert(start, Arc::clone(&piece), usize_of(PIECE));
                piece
            }
        };
        let skip = number.saturating_sub(first).saturating_mul(self.width);
        let entries = piece.get(usize_of(skip)..).unwrap_or_default();
        let mut entries = entries.chunks_exact(usize_of(self.width));
        let most = usize_of(last.saturating_sub(number).max(1));
        let value = entries.next().ok_or_else(|| {
            error()
                .message("it ends early")
                .found(format_args!("entry {number}"))
        })?;
        let same = entries
            .take(most.saturating_sub(1))
            .take_while(|entry| *entry == value);
        let count = u64_of(same.count()).saturating_add(1);
        let rising = value.iter().rev();
        Ok((
            count,
            rising.fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_the_value_does_and_where_a_piece_does() {
        let mut entries = vec![7u32; 40_000];
        entries[3] = 9;
        let mut file = vec![0; 100];
        file.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
        let tables = Tables::new("table", 4, 1 << 20);
        let run = |number, last| tables.run(&file, 100, number, last).unwrap();
        assert_eq!(run(0, 40_000), (3, 7));
        assert_eq!(run(1, 2), (1, 7));
        assert_eq!(run(3, 40_000), (1, 9));
        assert_eq!(run(4, 40_000), (16_384 - 4, 7));
        assert_eq!(run(39_999, 50_000), (1, 7));
        assert!(tables.run(&file, 100, 40_000, 40_001).is_err());
        tables.check(100, 40_000, 160_100).unwrap();
        assert!(tables.check(100, 40_001, 160_100).is_err());
        assert!(tables.check(u64::MAX, 1, 160_100).is_err());
    }
}
