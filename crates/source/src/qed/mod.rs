//! QED images, read-only, with backing chains. `docs/formats/qed.md` has what is read.

mod ondisk;
mod pieces;

use hexz_resolve::Result;

use crate::file::RawFile;
use crate::format::Format;
use crate::opening::{Opened, Opening, Parent, ParentFormat};
use ondisk::Header;
use pieces::Qed;

pub(crate) use ondisk::MAGIC;

/// Opens the image in `file`.
pub(crate) fn open(file: RawFile, opening: &Opening<'_>) -> Result<Opened> {
    let header = Header::read(&file)?;
    let parent = header.backing_file.clone().map(|name| Parent {
        names: vec![Ok(name)],
        format: match header.backing_is_raw {
            true => ParentFormat::Known(Format::Raw),
            false => ParentFormat::Unsaid,
        },
        ids: Vec::new(),
    });
    Ok(Opened {
        layer: Box::new(Qed::load(file, header, opening.cache_bytes)?),
        parent,
    })
}
