//! Findings beside the result: what was odd, and where.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
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

/// What a finding costs the result. A report is complete when none of its findings lost anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// The result has all it would have without it.
    #[default]
    Nothing,
    /// A part of the result is missing, or can't be told for sure.
    Part,
}

/// A finding. `code` is stable and kebab-case, such as `meta-torn-tail`; `message` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// What it costs.
    pub loses: Loss,
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
    /// Whether the message still lacks the layer that an error was met in.
    no_layer: bool,
}

impl Diagnostic {
    /// A finding without a place. An error loses a part of the result, others nothing.
    #[must_use]
    pub fn new(
        severity: Severity,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            loses: match severity {
                Severity::Error => Loss::Part,
                Severity::Info | Severity::Warning => Loss::Nothing,
            },
            code: code.into(),
            message: message.into(),
            volume: None,
            view: None,
            offset: None,
            no_layer: false,
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

    /// Says that a part of the result is missing for it.
    #[must_use]
    pub fn losing(mut self) -> Self {
        self.loses = Loss::Part;
        self
    }

    /// Puts the layer (`ext4`) before the message of an error that was met without one.
    #[must_use]
    pub(crate) fn layer(mut self, layer: &str) -> Self {
        if std::mem::take(&mut self.no_layer) {
            self.message = format!("{layer}: {}", self.message);
        }
        self
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
        diagnostic.no_layer = error.in_layer().is_none();
        diagnostic
    }
}

/// Where findings are collected. Shared between threads; keeps at most
/// [`Diagnostics::PER_CODE`] of one code and counts the rest. It is the one door to the report: what
/// is lost is known from what came through it.
#[derive(Debug, Default)]
pub struct Diagnostics {
    inner: Mutex<Collected>,
}

#[derive(Debug, Default)]
struct Collected {
    list: Vec<Diagnostic>,
    /// How many of each code were left out.
    more: BTreeMap<Cow<'static, str>, u64>,
    /// Hashes of the findings of each code.
    seen: BTreeMap<Cow<'static, str>, HashSet<u64>>,
    /// What is said once, at the end, however often it was met.
    once: BTreeMap<Cow<'static, str>, Diagnostic>,
    lost: bool,
    /// The volumes of which something could not be read or understood.
    broken: BTreeSet<String>,
}

/// Findings of one code that are told apart; past that, one that was met before counts again.
const TOLD_APART: usize = 1 << 16;

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
        self.lock().push(diagnostic);
    }

    /// Adds a finding that comes last, and once for its code, from whatever thread it is met on.
    pub fn push_once(&self, diagnostic: Diagnostic) {
        let mut inner = self.lock();
        inner.note(&diagnostic);
        let once = &mut inner.once;
        once.entry(diagnostic.code.clone()).or_insert(diagnostic);
    }

    /// Whether no finding so far lost a part of the result.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.lock().lost
    }

    /// Whether no error so far was about `volume`.
    #[must_use]
    pub fn is_whole(&self, volume: &str) -> bool {
        !self.lock().broken.contains(volume)
    }

    /// Takes all findings out, in the order they came, each code that overflowed followed by one
    /// `…-more` finding with the count that was left out.
    #[must_use]
    pub fn take(&self) -> Vec<Diagnostic> {
        let mut inner = self.lock();
        let once = std::mem::take(&mut inner.once);
        once.into_values().for_each(|d| inner.push(d));
        let Collected { mut list, more, .. } = std::mem::take(&mut *inner);
        for (code, more) in more {
            let alike = list.iter().filter(|d| d.code == code);
            let severity = alike.map(|d| d.severity).max();
            list.push(Diagnostic::new(
                severity.unwrap_or(Severity::Info),
                format!("{code}-more"),
                format!("{more} more findings of kind {code} were left out"),
            ));
        }
        list
    }

    /// Takes the findings of another collection, in their order, each as `change` makes it.
    pub(crate) fn absorb(&self, other: &Self, change: impl Fn(Diagnostic) -> Diagnostic) {
        let Collected {
            list,
            more,
            once,
            lost,
            ..
        } = std::mem::take(&mut *other.lock());
        let mut inner = self.lock();
        list.into_iter().for_each(|d| inner.push(change(d)));
        for (code, left_out) in more {
            *inner.more.entry(code).or_default() += left_out;
        }
        for (code, diagnostic) in once {
            let diagnostic = change(diagnostic);
            inner.note(&diagnostic);
            inner.once.entry(code).or_insert(diagnostic);
        }
        inner.lost |= lost;
    }
}

impl Collected {
    fn note(&mut self, diagnostic: &Diagnostic) {
        self.lost |= diagnostic.loses == Loss::Part;
        if let (Severity::Error, Some(volume)) = (diagnostic.severity, &diagnostic.volume) {
            self.broken.insert(volume.clone());
        }
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        self.note(&diagnostic);
        let seen = self.seen.entry(diagnostic.code.clone()).or_default();
        let mut hasher = DefaultHasher::new();
        diagnostic.hash(&mut hasher);
        let hash = hasher.finish();
        if seen.contains(&hash) {
            return;
        }
        let count = seen.len() as u64;
        if seen.len() < TOLD_APART {
            seen.insert(hash);
        }
        if count < Diagnostics::PER_CODE {
            self.list.push(diagnostic);
        } else {
            *self.more.entry(diagnostic.code).or_default() += 1;
        }
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
        // The same once more is no other finding, whether it was kept or not.
        for n in 0..Diagnostics::PER_CODE + 5 {
            all.push(Diagnostic::warning("odd", "x").at(n));
        }
        all.push(Diagnostic::info("other", "y"));
        all.push(Diagnostic::info("other", "y"));
        let list = all.take();
        assert_eq!(list.len() as u64, Diagnostics::PER_CODE + 2);
        let last = list.last().unwrap();
        assert_eq!(last.code, "odd-more");
        assert!(last.message.starts_with("5 more"));
        assert!(all.take().is_empty());
    }

    #[test]
    fn what_is_lost_follows_from_the_findings() {
        let all = Diagnostics::new();
        all.push(Diagnostic::warning("odd", "x").volume("p1"));
        assert!(all.is_complete() && all.is_whole("p1"));
        all.push_once(Diagnostic::warning("path-limit", "x").losing());
        assert!(!all.is_complete() && all.is_whole("p1"));
        let whole = Diagnostics::new();
        whole.absorb(&all, |d| d.volume("p2"));
        assert!(!whole.is_complete() && whole.is_whole("p2"));
        whole.push(Diagnostic::error("bad", "x").volume("p2"));
        assert!(!whole.is_whole("p2"));
        let codes: Vec<_> = whole.take().into_iter().map(|d| d.code).collect();
        assert_eq!(codes, ["odd", "bad", "path-limit"]);
    }
}
