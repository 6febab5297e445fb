//! The exit status, in one place.

use std::process::ExitCode;

use hexz_report::size;
use hexz_resolve::report::{OwnerEnd, Summary};
use hexz_resolve::{Diagnostic, Severity};

use crate::engine_args::EngineArgs;
use crate::output;

/// The table that help and documents show.
pub(crate) const TABLE: &str = "\
Exit status:
  0  the answer is whole
  1  with --exit-code: there are changes (with paths: at or below them)
  2  trouble: there is no answer, or it ends early for want of memory
  3  the answer is not whole: something was not looked at, or an error was found on
     the way; --partial-ok makes it 0 (or 1 with --exit-code and changes)";

/// The examples of a command, and the table.
pub(crate) fn with_status(examples: &str) -> String {
    format!("{examples}\n\n{TABLE}")
}

/// The finding that says so.
const OUT_OF_MEMORY: &str = "limit-memory";

/// How a command that has an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Whether there are changes.
    pub(crate) changed: bool,
    /// Whether all was looked at that was asked for.
    pub(crate) whole: bool,
    /// Whether it ended early for want of memory.
    pub(crate) ended: bool,
}

impl Outcome {
    /// A whole answer that is not about changes.
    pub(crate) const WHOLE: Self = Self {
        changed: false,
        whole: true,
        ended: false,
    };

    /// Of the owners of a disk or of a part of it.
    pub(crate) fn of_owners(end: &OwnerEnd) -> Self {
        Self {
            changed: false,
            whole: end.summary.complete,
            ended: false,
        }
        .with(&end.diagnostics)
    }

    /// The same, not whole when a finding says that something is lacking.
    pub(crate) fn with(self, diagnostics: &[Diagnostic]) -> Self {
        let error = diagnostics.iter().any(|d| d.severity == Severity::Error);
        let ended = diagnostics.iter().any(|d| d.code == OUT_OF_MEMORY);
        Self {
            whole: self.whole && !error,
            ended: self.ended || ended,
            ..self
        }
    }

    /// The exit status; `exit_code` and `partial_ok` are the options of these names.
    pub(crate) fn code(self, exit_code: bool, partial_ok: bool) -> ExitCode {
        ExitCode::from(match self {
            Self { ended: true, .. } => 2,
            Self { whole: false, .. } if !partial_ok => 3,
            Self { changed: true, .. } if exit_code => 1,
            _ => 0,
        })
    }
}

/// Says on standard error, whatever the form, how much was not looked at.
pub(crate) fn say_coverage(summary: &Summary) {
    if summary.complete {
        return;
    }
    let coverage = summary.coverage();
    let missing = coverage.bytes - coverage.resolved;
    if missing > 0 {
        eprintln!(
            "hexz: not whole: {} of {} are unresolved; what lies there was not looked at",
            size(missing),
            size(coverage.bytes)
        );
    } else {
        say_findings();
    }
}

/// Says that the findings tell what is lacking.
pub(crate) fn say_findings() {
    eprintln!("hexz: not whole: something could not be read; see the findings");
}

/// Tells the findings of a map that was written to files, and gives the exit status.
pub(crate) fn of_map(end: &OwnerEnd, engine: &EngineArgs) -> ExitCode {
    output::tell(&end.diagnostics);
    say_coverage(&end.summary);
    Outcome::of_owners(end).code(false, engine.partial_ok)
}

/// Says that the list of changes itself may lack some.
pub(crate) fn say_damaged_list() {
    eprintln!("hexz: not whole: the list of changed blocks is damaged and may lack some");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let code = |changed, whole, exit_code, partial_ok| {
            let outcome = Outcome {
                changed,
                whole,
                ended: false,
            };
            format!("{:?}", outcome.code(exit_code, partial_ok))
        };
        let is = |n: u8| format!("{:?}", ExitCode::from(n));
        for exit_code in [false, true] {
            for changed in [false, true] {
                let asked = u8::from(exit_code && changed);
                assert_eq!(code(changed, true, exit_code, false), is(asked));
                assert_eq!(code(changed, true, exit_code, true), is(asked));
                assert_eq!(code(changed, false, exit_code, true), is(asked));
                assert_eq!(code(changed, false, exit_code, false), is(3));
                let finding = Diagnostic::error(OUT_OF_MEMORY, "");
                let ended = Outcome::WHOLE.with(&[finding]);
                assert_eq!(format!("{:?}", ended.code(exit_code, changed)), is(2));
            }
        }
    }
}
