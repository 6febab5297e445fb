//! Positioned reading, without a cursor, by several threads.

use std::io;
use std::sync::Arc;

use crate::{ByteRange, RangeSet};

/// Why bytes could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The range reaches past the end. Bytes that are not there are an error, never zeros.
    #[error("read of {length} bytes at {offset} reaches past the end at {size}")]
    OutOfBounds {
        /// Where the read started.
        offset: u64,
        /// How much was asked for.
        length: u64,
        /// Length of what is read.
        size: u64,
    },
    /// The medium or file failed.
    #[error("read at {offset} failed")]
    Io {
        /// Where the read started.
        offset: u64,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// What holds the bytes (an archive, a compressed cluster) is damaged.
    #[error("damaged at {offset}: {reason}")]
    Damaged {
        /// Where the read started.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
}

impl ReadError {
    /// The offset the failed read started at, from the start of the reader that failed.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            Self::OutOfBounds { offset, .. }
            | Self::Io { offset, .. }
            | Self::Damaged { offset, .. } => *offset,
        }
    }
}

/// Bytes by position: a disk, a volume, a file. `&self`, because scans run in parallel.
pub trait ReadAt: Send + Sync {
    /// Number of bytes.
    fn len(&self) -> u64;

    /// Fills `buf` with the bytes at `offset`. Never short and never filled up with zeros: an
    /// error when any byte can't be had.
    ///
    /// # Errors
    /// [`ReadError`], with the offset.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError>;

    /// The pieces of `range` that may hold other bytes than zero, rising. A reader that knows its
    /// holes says so here; by default all of it may.
    fn data_in(&self, range: ByteRange) -> RangeSet {
        range
            .intersection(&ByteRange::new(0, self.len()))
            .into_iter()
            .collect()
    }

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Checks that `length` bytes at `offset` lie within `size`.
///
/// # Errors
/// [`ReadError::OutOfBounds`] when they don't.
pub fn check_bounds(offset: u64, length: usize, size: u64) -> Result<(), ReadError> {
    let length = length as u64;
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(ReadError::OutOfBounds {
            offset,
            length,
            size,
        }),
    }
}

/// Reads `length` bytes at `offset` into a new buffer, which is only made once the range is known
/// to lie within the reader.
///
/// # Errors
/// As [`ReadAt::read_exact_at`].
pub fn read_vec(reader: &dyn ReadAt, offset: u64, length: usize) -> Result<Vec<u8>, ReadError> {
    check_bounds(offset, length, reader.len())?;
    let mut buf = vec![0; length];
    reader.read_exact_at(offset, &mut buf)?;
    Ok(buf)
}

/// Bytes that are lost together when a medium fails.
const SECTOR: usize = 512;

/// Fills `buf` with the bytes at `offset`, and with zeros for sectors that can't be had. Gives the
/// ranges of those, rising, each with what failed at its start.
pub fn read_around(
    reader: &dyn ReadAt,
    offset: u64,
    buf: &mut [u8],
) -> Vec<(ByteRange, ReadError)> {
    let mut lost: Vec<(ByteRange, ReadError)> = Vec::new();
    let mut pending = vec![(offset, buf)];
    while let Some((at, part)) = pending.pop() {
        let Err(error) = reader.read_exact_at(at, part) else {
            continue;
        };
        if part.len() > SECTOR {
            let middle = (part.len() / 2)
                .next_multiple_of(SECTOR)
                .min(part.len() - 1);
            let (low, high) = part.split_at_mut(middle);
            pending.push((at.saturating_add(middle as u64), high));
            pending.push((at, low));
            continue;
        }
        part.fill(0);
        let range = ByteRange::new(at, at.saturating_add(part.len() as u64));
        match lost.last_mut() {
            Some((last, _)) if last.end() == at => {
                *last = ByteRange::new(last.start(), range.end());
            }
            _ => lost.push((range, error)),
        }
    }
    lost
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), ReadAt::len(self))?;
        let start = offset as usize;
        buf.copy_from_slice(&self[start..start + buf.len()]);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        ReadAt::len(self.as_slice())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.as_slice().read_exact_at(offset, buf)
    }
}

impl<R: ReadAt + ?Sized> ReadAt for Arc<R> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        (**self).read_exact_at(offset, buf)
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        (**self).data_in(range)
    }
}
