//! Errors as one line for a person.

use std::io;

/// Whether the reader of our output went away: no trouble of ours.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// The error and its causes, joined by `: `, safe for a terminal.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}");
    // What was asked for and is not there is no matter of what is supported.
    for asked in [
        "unsupported path: there is no",
        "unsupported volume: there is no",
    ] {
        text = text.replace(asked, "there is no");
    }
    hexz_report::escaped(text.as_bytes())
}
