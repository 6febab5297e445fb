//! Parallels images ("expanding"), read-only, with both magics. `docs/formats/parallels.md` has
//! what is read.

mod ondisk;
mod pieces;

use hexz_resolve::{Diagnostic, Result};

use crate::file::RawFile;
use crate::opening::{Opened, Opening};
use ondisk::Header;
use pieces::Parallels;

pub(crate) use ondisk::MAGICS;

/// Opens the image in `file`.
pub(crate) fn open(file: RawFile, opening: &Opening<'_>) -> Result<Opened> {
    let header = Header::read(&file)?;
    if header.in_use {
        let text = format!("{} was not closed, or is in use", opening.path.display());
        let finding = Diagnostic::warning("parallels-in-use", text);
        opening.chain.diagnostics.push(finding);
    }
    Ok(Opened::alone(Parallels::load(
        file,
        header,
        opening.cache_bytes,
    )?))
}
