//! How much an image may make us write.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes and files that may still be written. Shared between threads.
#[derive(Debug)]
pub struct Budget {
    bytes: AtomicU64,
    files: AtomicU64,
    most: [u64; 2],
}

impl Budget {
    /// Files that are written when no one says how many: more than most filesystems hold.
    pub const FILES: u64 = 50_000_000;
    /// The least number of bytes that may be written when no one says how many.
    const LEAST: u64 = 1 << 30;
    /// How many times as much as the disk holds may be written: compressed files are larger when
    /// they are written out, and shared ones are written several times.
    const TIMES: u64 = 8;

    /// A budget of `max_size` bytes of content, holes aside, and `max_files` files. Without them,
    /// what follows from the size of the disk.
    #[must_use]
    pub fn new(max_size: Option<u64>, max_files: Option<u64>, disk: u64) -> Self {
        let usual = disk.saturating_mul(Self::TIMES);
        let most = [
            max_size.unwrap_or(usual.max(Self::LEAST)),
            max_files.unwrap_or(Self::FILES),
        ];
        Self {
            bytes: AtomicU64::new(most[0]),
            files: AtomicU64::new(most[1]),
            most,
        }
    }

    /// Takes one file of `bytes`.
    ///
    /// # Errors
    /// When it is more than is left; nothing is taken then.
    pub fn file(&self, bytes: u64) -> Result<(), String> {
        let [size, files] = self.most;
        let take = |from: &AtomicU64, amount: u64| {
            let order = Ordering::Relaxed;
            from.fetch_update(order, order, |left| left.checked_sub(amount))
                .is_ok()
        };
        if !take(&self.files, 1) {
            return Err(format!("more than {files} files; --max-files allows more"));
        }
        if !take(&self.bytes, bytes) {
            self.files.fetch_add(1, Ordering::Relaxed);
            return Err(format!(
                "its {bytes} bytes are more than is left of {size}; --max-size allows more"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_the_rest_goes_on() {
        let budget = Budget::new(Some(100), Some(3), 0);
        budget.file(60).unwrap();
        assert!(budget.file(u64::MAX).unwrap_err().contains("--max-size"));
        budget.file(40).unwrap();
        budget.file(0).unwrap();
        assert!(budget.file(0).unwrap_err().contains("--max-files"));
        assert!(Budget::new(None, None, u64::MAX).file(1 << 60).is_ok());
    }
}
