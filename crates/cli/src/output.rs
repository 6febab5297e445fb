//! Standard output and what goes beside it.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write};

use hexz_resolve::{Diagnostic, Severity};

/// So many findings are told to a person; JSON has all.
const TOLD: usize = 20;

/// Standard output as it is.
pub(crate) fn plain() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Standard output for JSON Lines: safe where a terminal shows them.
pub(crate) fn json() -> Box<dyn Write> {
    if io::stdout().is_terminal() {
        Box::new(hexz_report::JsonForTerminal::new(plain()))
    } else {
        Box::new(plain())
    }
}

/// Standard output for people: colours only where they show.
pub(crate) fn coloured() -> impl Write {
    BufWriter::with_capacity(1 << 16, anstream::AutoStream::auto(io::stdout()).lock())
}

/// Tells findings on standard error.
pub(crate) fn tell(diagnostics: &[Diagnostic]) {
    let serious = diagnostics.iter().filter(|d| d.severity > Severity::Info);
    let (mut told, mut more) = (0, 0);
    for diagnostic in serious {
        if told == TOLD {
            more += 1;
            continue;
        }
        told += 1;
        eprintln!(
            "hexz: {}: {}",
            diagnostic.severity.as_str(),
            line(diagnostic)
        );
    }
    if more > 0 {
        eprintln!("hexz: {more} more findings: see --json");
    }
}

fn line(diagnostic: &Diagnostic) -> String {
    let mut place = String::new();
    if let Some(volume) = &diagnostic.volume {
        place.push_str(volume);
        place.push_str(": ");
    }
    let mut text = format!("{place}{}", diagnostic.message);
    if let Some(offset) = diagnostic.offset
        && !diagnostic.message.contains(&offset.to_string())
    {
        text.push_str(&format!(" (at byte {offset})"));
    }
    hexz_report::escaped(text.as_bytes())
}
