//! What one run of the engine carries along.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Options;
use crate::{Diagnostic, Diagnostics, Error, ErrorKind, OpenContext, Result, Scan, Shared, View};

/// Options, threads and findings of one run.
pub(super) struct Run<'a> {
    pub(super) options: &'a Options<'a>,
    pub(super) diagnostics: Diagnostics,
    pool: Option<rayon::ThreadPool>,
    partial: AtomicBool,
}

impl<'a> Run<'a> {
    pub(super) fn new(options: &'a Options<'a>) -> Self {
        let pool = (options.threads != 1)
            .then(|| {
                rayon::ThreadPoolBuilder::new()
                    .num_threads(options.threads)
                    .build()
                    .ok()
            })
            .flatten();
        Self {
            options,
            diagnostics: Diagnostics::new(),
            pool,
            partial: AtomicBool::new(false),
        }
    }

    pub(super) fn pool(&self) -> Option<&rayon::ThreadPool> {
        self.pool.as_ref()
    }

    /// Whether nothing was left out so far.
    pub(super) fn is_complete(&self) -> bool {
        !self.partial.load(Ordering::Relaxed)
    }

    pub(super) fn note_partial(&self) {
        self.partial.store(true, Ordering::Relaxed);
    }

    /// Ends the run when it was cancelled; else notes the error and goes on.
    pub(super) fn tolerate(&self, volume: Option<&str>, error: Error) -> Result<()> {
        if error.kind() == ErrorKind::Cancelled {
            return Err(error);
        }
        self.note_partial();
        self.report(volume, Diagnostic::from(&error));
        Ok(())
    }

    /// Adds a finding about `volume`, or about the disk.
    pub(super) fn report(&self, volume: Option<&str>, diagnostic: Diagnostic) {
        self.diagnostics.push(match volume {
            Some(name) => diagnostic.volume(name),
            None => diagnostic,
        });
    }

    /// Runs `open` with a context of `view`; its findings are about `volume`.
    pub(super) fn opening<T>(
        &self,
        view: View,
        volume: Option<&str>,
        open: impl FnOnce(&OpenContext<'_>) -> Result<T>,
    ) -> Result<T> {
        let diagnostics = Diagnostics::new();
        let cx = OpenContext {
            limits: &self.options.limits,
            journal: self.options.journal,
            view,
            diagnostics: &diagnostics,
        };
        let result = guarded(|| open(&cx)).map_err(|e| e.view(view));
        diagnostics
            .take()
            .into_iter()
            .for_each(|d| self.report(volume, d));
        result
    }

    /// Runs one pass of a plugin over `view` of `volume`. What a pass gave before it failed is
    /// kept by its caller; the failure is a finding.
    pub(super) fn pass(
        &self,
        view: View,
        volume: &str,
        shared: Option<&Shared>,
        pass: impl FnOnce(&Scan<'_>) -> Result<()>,
    ) -> Result<()> {
        let diagnostics = Diagnostics::new();
        let scan = Scan::new(
            &self.options.limits,
            view,
            &diagnostics,
            self.options.progress,
        )
        .pool(self.pool())
        .cancel(self.options.cancel)
        .shared(shared);
        let result = guarded(|| pass(&scan));
        if scan.is_partial() {
            self.note_partial();
        }
        diagnostics
            .take()
            .into_iter()
            .for_each(|d| self.report(Some(volume), d));
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.tolerate(Some(volume), error.view(view)),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self
            .options
            .cancel
            .is_some_and(|c| c.load(Ordering::Relaxed))
        {
            return Err(Error::new(ErrorKind::Cancelled, "run"));
        }
        Ok(())
    }
}

/// Runs plugin code. A panic there is a bug, and costs the plugin's result and not the report.
pub(super) fn guarded<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic_text(&*panic);
        Err(Error::new(ErrorKind::Corrupt, "plugin").message(format!("it panicked: {text}")))
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
