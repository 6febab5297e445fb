//! What could not be taken out, and why.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hexz_resolve::engine::Answered;
use hexz_resolve::{Diagnostic, Diagnostics};

/// A file that was left out, or that lacks something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The volume it is on.
    pub volume: String,
    /// Its path there.
    pub path: Vec<u8>,
    /// Why, for people. Not escaped: whoever prints it escapes it.
    pub reason: String,
    /// Whether it is there, with its content, and lacks something else.
    pub kept: bool,
}

/// Collects problems and findings; shared between threads.
#[derive(Debug, Default)]
pub struct Problems {
    left_out: Mutex<Vec<Problem>>,
    more: AtomicU64,
    findings: Diagnostics,
    partial: AtomicBool,
}

impl Problems {
    /// How many files that were left out are kept by name.
    const MOST: usize = 1_000_000;

    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that a file was left out.
    pub fn left_out(&self, volume: &str, path: &[u8], reason: impl Into<String>) {
        self.add(volume, path, reason.into(), false);
    }

    /// Notes that a file lacks something beside its content.
    pub fn lacks(&self, volume: &str, path: &[u8], reason: impl Into<String>) {
        self.add(volume, path, reason.into(), true);
    }

    fn add(&self, volume: &str, path: &[u8], reason: String, kept: bool) {
        self.partial.store(true, Ordering::Relaxed);
        let mut all = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < Self::MOST {
            all.push(Problem {
                volume: volume.to_owned(),
                path: path.to_vec(),
                reason,
                kept,
            });
        } else {
            self.more.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds a finding that leaves nothing out.
    pub fn note(&self, finding: Diagnostic) {
        self.findings.push(finding);
    }

    /// The answer of a filesystem, with its findings noted; `None` when there is none.
    pub fn take<T>(&self, answered: Answered<T>) -> Option<T> {
        if answered.partial {
            self.partial.store(true, Ordering::Relaxed);
        }
        answered.findings.into_iter().for_each(|d| self.note(d));
        match answered.result {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(Diagnostic::from(&error));
                None
            }
        }
    }

    /// Whether everything that was wanted is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.partial.load(Ordering::Relaxed)
    }

    /// Takes out the files that were left out, in the order they were met, and how many more
    /// there were than are kept.
    #[must_use]
    pub fn take_left_out(&self) -> (Vec<Problem>, u64) {
        let mut all = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        (
            std::mem::take(&mut *all),
            self.more.swap(0, Ordering::Relaxed),
        )
    }

    /// Takes out the findings.
    #[must_use]
    pub fn take_findings(&self) -> Vec<Diagnostic> {
        self.findings.take()
    }
}
