//! The memory that long lists share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering as Order};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, Result, Scratch, ScratchFile};

/// Bytes of a page, unless memory is short.
pub(super) const PAGE: usize = 64 << 10;

/// The memory that the lists of one run share.
pub(super) struct Memory {
    pub(super) budget: usize,
    pub(super) held: AtomicUsize,
    /// Whether a list was put away.
    pub(super) away: AtomicBool,
    scratch: Option<Arc<dyn Scratch>>,
    /// Why what was put away, or should be, is lost.
    failed: Mutex<Option<String>>,
}

impl Memory {
    /// Room for `budget` bytes; past that, lists go to files of `scratch`. Without one they stay in
    /// memory.
    pub(super) fn new(budget: usize, scratch: Option<Arc<dyn Scratch>>) -> Self {
        Self {
            budget,
            held: AtomicUsize::new(0),
            away: AtomicBool::new(false),
            scratch,
            failed: Mutex::new(None),
        }
    }

    /// Says whether all that was put away can be had.
    ///
    /// # Errors
    /// A limit, when it can't: what follows from the lists would be wrong.
    pub(super) fn check(&self) -> Result<()> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*failed {
            Some(text) => Err(Error::limit("memory", text.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn fail(&self, error: &std::io::Error) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = self.budget;
        failed.get_or_insert_with(|| {
            format!(
                "more than {budget} bytes are needed, and the temporary file for them failed: \
                 {error}"
            )
        });
    }

    pub(super) fn is_short(&self) -> bool {
        self.scratch.is_some() && self.held.load(Order::Relaxed) > self.budget
    }

    pub(super) fn file(&self) -> Option<Box<dyn ScratchFile>> {
        let made = self.scratch.as_ref()?.file();
        made.inspect_err(|error| self.fail(error)).ok()
    }

    /// Items of `bytes` in a page.
    pub(super) fn page(&self, bytes: usize) -> usize {
        ((self.budget / 256).min(PAGE) / bytes).max(16)
    }
}
