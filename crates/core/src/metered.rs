//! Counting what is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{ByteRange, Loaded, RangeSet, ReadAt, ReadError};

/// How much was asked of some readers.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// `reader`, with what is asked of it counted here.
    pub(crate) fn on(self: &Arc<Self>, reader: &Arc<dyn ReadAt>) -> Arc<dyn ReadAt> {
        Arc::new(Metered {
            inner: Arc::clone(reader),
            meter: Arc::clone(self),
        })
    }

    /// Both disks of `loaded`, likewise.
    pub(crate) fn on_both(self: &Arc<Self>, loaded: &Loaded) -> [Option<Arc<dyn ReadAt>>; 2] {
        [&loaded.base, &loaded.merged].map(|disk| disk.as_ref().map(|disk| self.on(disk)))
    }
}

struct Metered {
    inner: Arc<dyn ReadAt>,
    meter: Arc<Meter>,
}

impl ReadAt for Metered {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.meter.requests.fetch_add(1, Ordering::Relaxed);
        let bytes = buf.len() as u64;
        self.meter.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.inner.read_exact_at(offset, buf)
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        self.inner.data_in(range)
    }
}
