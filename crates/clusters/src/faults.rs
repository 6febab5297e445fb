//! What is wrong with a volume, as findings.

use hexz_resolve::{Diagnostic, Error, Scan, Severity};

/// Faults that are kept of one directory, and of a volume.
const OF_DIRECTORY: usize = 64;
const OF_VOLUME: usize = 1024;

/// Errors that ended a part of the reading. They are reported with every answer that rests on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    list: Vec<Diagnostic>,
}

impl Faults {
    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds one, unless there are very many.
    pub(crate) fn push(&mut self, error: &Error) {
        if self.list.len() < OF_DIRECTORY {
            self.list.push(Diagnostic::from(error));
        }
    }

    /// Adds those of a part.
    pub(crate) fn append(&mut self, mut other: Self) {
        let room = OF_VOLUME.saturating_sub(self.list.len());
        other.list.truncate(room);
        self.list.append(&mut other.list);
    }

    /// Reports them for an answer.
    pub(crate) fn report(&self, cx: &Scan<'_>) {
        self.list
            .iter()
            .for_each(|fault| cx.diagnose(fault.clone()));
    }
}

/// A finding that takes nothing from the answer.
pub(crate) fn warning(name: &str, code: &str, place: u64, text: String) -> Diagnostic {
    let code = format!("{name}-{code}");
    Diagnostic::new(Severity::Warning, code, text).at(place)
}
