//! How far a long run has come.

use std::time::Duration;

/// Told what is being done. Called from several threads, often: must be cheap.
pub trait Progress: Send + Sync {
    /// A new stage begins, of `total` bytes or steps where that is known.
    fn stage(&self, name: &str, total: Option<u64>) {
        let _ = (name, total);
    }

    /// `amount` more of the stage is done.
    fn advance(&self, amount: u64) {
        let _ = amount;
    }

    /// The time since the caller began, where it has a clock.
    fn elapsed(&self) -> Option<Duration> {
        None
    }
}

/// Tells no one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}
