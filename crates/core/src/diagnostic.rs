//! Findings beside the result: what was odd, and where.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Error, View};

/// How much a finding matters to the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; the result is complete.
    Info,
    /// The image is odd here; the result may lack or blur something.
    Warning,
    /// Something could not be read or resolved; the result lacks it.
    Error,
}

impl Severity {
    /// The word the report uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A finding. `code` is stable and kebab-case, such as `meta-torn-tail`; `message` is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Stable kebab-case name of the kind of finding.
    pub code: Cow<'static, str>,
    /// What was found, for people. Not escaped: whoever prints it escapes it.
    pub message: String,
    /// The volume it is about, when it is about one (`p2`).
    pub volume: Option<String>,
    /// The view it was found in.
    pub view: Option<View>,
    /// Byte offset: from the start of the volume where `volume` is set, else of the disk or file.
    pub offset: Option<u64>,
}

impl Diagnostic {
    /// A finding without a place.
    #[must_use]
    pub fn new(
        severity: Severity,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            code: code.into(),
            message: message.into(),
            volume: None,
            view: None,
            offset: None,
        }
    }

    /// [`Severity::Info`].
    #[must_use]
    pub fn info(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, message)
    }

    /// [`Severity::Warning`].
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// [`Severity::Error`].
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// Sets the byte offset.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Sets the volume, unless it is set.
    #[must_use]
    pub fn volume(mut self, volume: &str) -> Self {
        self.volume.get_or_insert_with(|| volume.to_owned());
        self
    }

    /// Sets the view, unless it is set.
    #[must_use]
    pub fn view(mut self, view: View) -> Self {
        self.view.get_or_insert(view);
        self
    }
}

impl From<&Error> for Diagnostic {
    /// An error that ended one unit of work and not the whole: code `KIND-STRUCTURE`.
    fn from(error: &Error) -> Self {
        let code = format!("{}-{}", error.kind().as_str(), error.structure())
            .to_lowercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let mut diagnostic = Self::new(Severity::Error, code, error.chain());
        diagnostic.view = error.in_view();
        diagnostic.offset = error.offset();
        diagnostic
    }
}

/// Where findings are collected. Shared between threads; keeps at most
/// [`Diagnostics::PER_CODE`] of one code and counts the rest.
#[derive(Debug, Default)]
pub struct Diagnostics {
    inner: Mutex<Collected>,
}

#[derive(Debug, Default)]
struct Collected {
    list: Vec<Diagnostic>,
    counts: BTreeMap<Cow<'static, str>, u64>,
}

impl Diagnostics {
    /// How many findings of one code are kept.
    pub const PER_CODE: u64 = 100;

    /// An empty collection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        // A panic elsewhere cannot leave a pushed list half-written.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a finding, unless it is there: several passes meet the same bad place.
    pub fn push(&self, diagnostic: Diagnostic) {
        let mut inner = self.lock();
        let mut alike = inner.list.iter().filter(|d| d.code == diagnostic.code);
        if alike.any(|known| *known == diagnostic) {
            return;
        }
        let count = inner.counts.entry(diagnostic.code.clone()).or_default();
        *count += 1;
        if *count <= Self::PER_CODE {
            inner.list.push(diagnostic);
        }
    }

    /// Takes all findings out, in the order they came, each code that overflowed followed by one
    /// `…-more` finding with the count that was left out.
    #[must_use]
    pub fn take(&self) -> Vec<Diagnostic> {
        let Collected { mut list, counts } = std::mem::take(&mut *self.lock());
        for (code, count) in counts {
            if let Some(more) = count.checked_sub(Self::PER_CODE).filter(|more| *more > 0) {
                let severity = list
                    .iter()
                    .filter(|d| d.code == code)
                    .map(|d| d.severity)
                    .max();
                list.push(Diagnostic::new(
                    severity.unwrap_or(Severity::Info),
                    format!("{code}-more"),
                    format!("{more} more findings of kind {code} were left out"),
                ));
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_code_is_counted_not_kept() {
        let all = Diagnostics::new();
        for n in 0..Diagnostics::PER_CODE + 5 {
            all.push(Diagnostic::warning("odd", "x").at(n));
        }
        all.push(Diagnostic::info("other", "y"));
        all.push(Diagnostic::info("other", "y"));
        let list = all.take();
        assert_eq!(list.len() as u64, Diagnostics::PER_CODE + 2);
        assert_eq!(list.last().map(|d| d.code.as_ref()), Some("odd-more"));
        assert!(all.take().is_empty());
    }
}
