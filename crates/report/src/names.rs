//! `--name-status` and `--name-only`: one change a line, or NUL-separated raw bytes.

use std::io::{Result, Write};

use hexz_resolve::report::Report;

use crate::escape::escaped;
use crate::select::Selection;

/// `M<tab>PATH`; `R<tab>FROM<tab>PATH` for a rename. With `nul`, fields end with NUL and are raw.
///
/// # Errors
/// Of `out`.
pub fn write_name_status(
    out: &mut dyn Write,
    report: &Report,
    selection: &Selection,
    nul: bool,
) -> Result<()> {
    for change in report.changes.iter().filter(|c| selection.shows(c)) {
        let letter = change.change.letter();
        let path = selection.places.machine(change.volume, &change.path);
        let from = change.from.as_deref();
        let from = from.map(|from| selection.places.machine(change.volume, from));
        match (nul, &from) {
            (true, from) => {
                write!(out, "{letter}\0")?;
                from.iter().try_for_each(|from| raw(out, from))?;
                raw(out, &path)?;
            }
            (false, Some(from)) => {
                writeln!(out, "{letter}\t{}\t{}", escaped(from), escaped(&path))?;
            }
            (false, None) => writeln!(out, "{letter}\t{}", escaped(&path))?,
        }
    }
    Ok(())
}

/// The paths alone; of a rename the new one.
///
/// # Errors
/// Of `out`.
pub fn write_name_only(
    out: &mut dyn Write,
    report: &Report,
    selection: &Selection,
    nul: bool,
) -> Result<()> {
    for change in report.changes.iter().filter(|c| selection.shows(c)) {
        let path = selection.places.machine(change.volume, &change.path);
        if nul {
            raw(out, &path)?;
        } else {
            writeln!(out, "{}", escaped(&path))?;
        }
    }
    Ok(())
}

fn raw(out: &mut dyn Write, path: &[u8]) -> Result<()> {
    out.write_all(path)?;
    out.write_all(b"\0")
}
