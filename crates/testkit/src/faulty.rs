//! A reader that fails where it is told to, and notes what was read.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hexz_resolve::{ByteRange, RangeSet, ReadAt, ReadError, check_bounds};

/// Another reader with bad places: a read that shares a byte with one fails as a medium would.
/// Counts reads and bytes, and records the ranges that were asked for.
pub struct Faulty {
    inner: Arc<dyn ReadAt>,
    bad: RangeSet,
    reads: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
    seen: Mutex<Vec<ByteRange>>,
}

impl Faulty {
    /// `inner` without any bad place: only counts and records.
    #[must_use]
    pub fn new(inner: Arc<dyn ReadAt>) -> Self {
        Self::failing(inner, RangeSet::new())
    }

    /// `inner`, where every read that shares a byte with `bad` fails.
    #[must_use]
    pub fn failing(inner: Arc<dyn ReadAt>, bad: RangeSet) -> Self {
        Self {
            inner,
            bad,
            reads: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            seen: Mutex::default(),
        }
    }

    /// Number of reads so far, failed ones included.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Number of bytes asked for so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Number of reads that failed so far.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// What was asked for so far.
    #[must_use]
    pub fn seen(&self) -> RangeSet {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().copied().collect()
    }
}

impl ReadAt for Faulty {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len())?;
        let range = ByteRange::new(offset, offset + buf.len() as u64);
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(range.len(), Ordering::Relaxed);
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(range);
        if self.bad.overlaps(range) {
            self.failed.fetch_add(1, Ordering::Relaxed);
            let source = io::Error::other("injected fault");
            return Err(ReadError::Io { offset, source });
        }
        self.inner.read_exact_at(offset, buf)
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        // A bad place is no hole.
        let bad = self.bad.clipped(range);
        self.inner.data_in(range).union(&bad)
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("bad", &self.bad)
            .field("reads", &self.reads())
            .field("failed", &self.failed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fails_where_told_and_records_the_rest() {
        let disk = Faulty::failing(Arc::new(vec![7; 100]), ByteRange::new(50, 51).into());
        let mut buf = [0; 10];
        disk.read_exact_at(40, &mut buf).unwrap();
        let error = disk.read_exact_at(45, &mut buf).unwrap_err();
        assert!(matches!(error, ReadError::Io { offset: 45, .. }));
        assert!(disk.read_exact_at(95, &mut buf).is_err());
        assert_eq!((disk.reads(), disk.bytes(), disk.failed()), (2, 20, 1));
        assert_eq!(disk.seen(), ByteRange::new(40, 55).into());
    }
}
