//! Pages that are made from the program.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::run::{cargo, check};
use crate::tidy;

/// Writes `docs/interface.txt`, `docs/cli.md` and `docs/diagnostics.md`.
pub(crate) fn docs(root: &Path) -> Result<()> {
    tidy::interface::write(root)?;
    let test = ["test", "--quiet", "-p", "hexz-cli", "--test", "documents"];
    check(cargo(root).args(test).env("HEXZ_UPDATE", "1"))
}

/// Writes the manual pages.
pub(crate) fn man(root: &Path, args: &[String]) -> Result<()> {
    let dir = args
        .first()
        .map_or_else(|| root.join("target/man"), PathBuf::from);
    let run = ["run", "--quiet", "-p", "hexz-cli", "--example", "man", "--"];
    check(cargo(root).args(run).arg(&dir))?;
    println!("the manual pages are in {}", dir.display());
    Ok(())
}
