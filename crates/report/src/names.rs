//! `--name-status` and `--name-only`: one change a line, or NUL-separated raw bytes.

use std::io::{Result, Write};

use hexz_resolve::report::Change;

use crate::escape::escaped;
use crate::places::Places;

/// `M<tab>PATH`; `R<tab>FROM<tab>PATH` for a rename. With `nul`, fields end with NUL and are raw.
pub(crate) fn name_status(
    out: &mut dyn Write,
    change: &Change,
    places: &Places,
    nul: bool,
) -> Result<()> {
    let letter = change.change.letter();
    let path = places.machine(change.volume, &change.path);
    let from = change.from.as_deref();
    let from = from.map(|from| places.machine(change.volume, from));
    match (nul, &from) {
        (true, from) => {
            write!(out, "{letter}\0")?;
            from.iter().try_for_each(|from| raw(out, from))?;
            raw(out, &path)
        }
        (false, Some(from)) => writeln!(out, "{letter}\t{}\t{}", escaped(from), escaped(&path)),
        (false, None) => writeln!(out, "{letter}\t{}", escaped(&path)),
    }
}

/// The path alone; of a rename the new one.
pub(crate) fn name_only(
    out: &mut dyn Write,
    change: &Change,
    places: &Places,
    nul: bool,
) -> Result<()> {
    let path = places.machine(change.volume, &change.path);
    match nul {
        true => raw(out, &path),
        false => writeln!(out, "{}", escaped(&path)),
    }
}

fn raw(out: &mut dyn Write, path: &[u8]) -> Result<()> {
    out.write_all(path)?;
    out.write_all(b"\0")
}
