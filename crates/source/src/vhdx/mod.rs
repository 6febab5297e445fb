//! VHDX images, read-only: dynamic, fixed, differencing, with the log replayed in memory.
//! `docs/formats/vhdx.md` has what is read.

mod layout;
mod log;
mod parent;
mod pieces;

use hexz_resolve::{Diagnostic, Result};

use crate::file::RawFile;
use crate::format::Format;
use crate::opening::{Opened, Opening, Parent, ParentFormat};
use layout::{Header, Layout};
use log::Replayed;
use pieces::Vhdx;

/// Opens the image in `file`.
pub(crate) fn open(file: RawFile, opening: &Opening<'_>) -> Result<Opened> {
    let header = Header::read(&file)?;
    let replayed = Replayed::read(&file, &header, opening.chain.limits.journal_bytes)?;
    if !replayed.is_empty() {
        let text = format!(
            "{} was not closed: its log was replayed in memory",
            opening.path.display()
        );
        let finding = Diagnostic::info("vhdx-log-replayed", text);
        opening.chain.diagnostics.push(finding);
    }
    let view = replayed.over(&file);
    let layout = Layout::read(&view)?;
    let parent = match layout.parent {
        Some(place) => {
            let (names, ids) = parent::read_locator(&view, place)?;
            Some(Parent {
                names: names.into_iter().map(Ok).collect(),
                format: ParentFormat::Known(Format::Vhdx),
                ids,
            })
        }
        None => None,
    };
    let layer = Vhdx::new(file, header, layout, replayed, opening.cache_bytes);
    Ok(Opened {
        layer: Box::new(layer),
        parent,
    })
}
