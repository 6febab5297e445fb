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

    /// Bytes of a logical sector, where what holds the disk tells it: the container of a virtual
    /// disk, or a block device. A hint for what counts in sectors and does not say how large they
    /// are.
    fn sector_size(&self) -> Option<u64> {
        None
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

/// Where a read fails it is tried again in pieces of this size, the usual unit of a disk and of
/// what caches it,
const PIECE: u64 = 4096;
/// and those that fail in the smallest unit.
const SECTOR: u64 = 512;

/// Fills `buf` with the bytes at `offset`, and with zeros for sectors that can't be had. Gives the
/// stretches of those, rising, each with what failed at its start.
pub fn read_around(
    reader: &dyn ReadAt,
    offset: u64,
    buf: &mut [u8],
) -> Vec<(ByteRange, ReadError)> {
    let mut lost: Vec<(ByteRange, ReadError)> = Vec::new();
    if reader.read_exact_at(offset, buf).is_ok() {
        return lost;
    }
    for (at, piece) in pieces(offset, buf, PIECE) {
        if reader.read_exact_at(at, piece).is_ok() {
            continue;
        }
        for (at, sector) in pieces(at, piece, SECTOR) {
            let Err(error) = reader.read_exact_at(at, sector) else {
                continue;
            };
            sector.fill(0);
            let end = at.saturating_add(sector.len() as u64);
            match lost.last_mut() {
                Some((last, _)) if last.end() == at => *last = ByteRange::new(last.start(), end),
                _ => lost.push((ByteRange::new(at, end), error)),
            }
        }
    }
    lost
}

/// Cuts `buf`, which lies at `offset`, into pieces that end at multiples of `size`.
fn pieces(offset: u64, buf: &mut [u8], size: u64) -> impl Iterator<Item = (u64, &mut [u8])> {
    let (mut at, mut rest) = (offset, buf);
    std::iter::from_fn(move || {
        let length = rest.len().min((size - at % size) as usize);
        let (now, later) = std::mem::take(&mut rest).split_at_mut(length);
        let piece = (at, now);
        at = at.saturating_add(length as u64);
        rest = later;
        (length > 0).then_some(piece)
    })
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

    fn sector_size(&self) -> Option<u64> {
        (**self).sector_size()
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        (**self).data_in(range)
    }
}
