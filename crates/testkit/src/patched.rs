//! An image with some bytes written over, without a copy of it.

use std::fmt;
use std::sync::Arc;

use hexz_resolve::{ByteRange, RangeSet, ReadAt, ReadError, check_bounds};

/// Another reader cut to a length, with patches over it; a later patch covers an earlier one.
#[derive(Clone)]
pub struct Patched {
    inner: Arc<dyn ReadAt>,
    size: u64,
    patches: Vec<(u64, Vec<u8>)>,
}

impl Patched {
    /// `inner` as it is.
    #[must_use]
    pub fn new(inner: Arc<dyn ReadAt>) -> Self {
        Self {
            size: inner.len(),
            inner,
            patches: Vec::new(),
        }
    }

    /// Writes `bytes` at `offset`; what lies past the end is dropped.
    #[must_use]
    pub fn patch(mut self, offset: u64, bytes: impl Into<Vec<u8>>) -> Self {
        let mut bytes = bytes.into();
        let room = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        bytes.truncate(room);
        self.patches.push((offset, bytes));
        self
    }

    /// Ends the image at `size`, when it is longer.
    #[must_use]
    pub fn truncate(mut self, size: u64) -> Self {
        self.size = self.size.min(size);
        self
    }

    /// What was written over.
    #[must_use]
    pub fn patched(&self) -> RangeSet {
        let ranges = self.patches.iter();
        ranges
            .filter_map(|(at, bytes)| ByteRange::at(*at, bytes.len() as u64))
            .collect()
    }
}

impl ReadAt for Patched {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.size)?;
        self.inner.read_exact_at(offset, buf)?;
        let wanted = ByteRange::new(offset, offset + buf.len() as u64);
        for (at, bytes) in &self.patches {
            let patch = ByteRange::new(*at, *at + bytes.len() as u64);
            if let Some(part) = patch.intersection(&wanted) {
                let from = (part.start() - at) as usize;
                let to = (part.start() - offset) as usize;
                let length = part.len() as usize;
                buf[to..to + length].copy_from_slice(&bytes[from..from + length]);
            }
        }
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let disk = ByteRange::new(0, self.size);
        let all = self.inner.data_in(range).union(&self.patched());
        all.clipped(range).clipped(disk)
    }
}

impl fmt::Debug for Patched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patched")
            .field("size", &self.size)
            .field("patches", &self.patches)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_last_patch_and_ends_where_cut() {
        let disk = Patched::new(Arc::new(vec![1; 10]))
            .patch(2, [2, 2, 2])
            .patch(4, [3, 3])
            .truncate(8);
        let mut buf = [0; 8];
        disk.read_exact_at(0, &mut buf).unwrap();
        assert_eq!(buf, [1, 1, 2, 2, 3, 3, 1, 1]);
        assert!(disk.read_exact_at(1, &mut buf).is_err());
        assert_eq!(disk.patched(), ByteRange::new(2, 6).into());
    }
}
