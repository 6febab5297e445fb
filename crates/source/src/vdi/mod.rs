//! VDI images, read-only: dynamic, fixed, differencing. `docs/formats/vdi.md` has what is read.

mod ondisk;
mod pieces;

use hexz_resolve::{Error, Result};

use crate::file::RawFile;
use crate::format::Format;
use crate::layer::ImageId;
use crate::opening::{Opened, Opening, Parent, ParentFormat};
use ondisk::{Header, ImageType};
use pieces::Vdi;

pub(crate) use ondisk::{MAGIC, MAGIC_AT};

/// Opens the image in `file`. A differencing image knows its parent by an id only.
pub(crate) fn open(file: RawFile, opening: &Opening<'_>) -> Result<Opened> {
    let header = Header::read(&file)?;
    let parent = match header.image_type {
        ImageType::Dynamic | ImageType::Fixed => None,
        ImageType::Differencing => Some(Parent {
            names: Vec::new(),
            format: ParentFormat::Known(Format::Vdi),
            ids: vec![ImageId(header.uuid_link.to_string())],
        }),
        ImageType::Other(other) => {
            let text = format!("an image of type {other}");
            return Err(Error::unsupported("vdi header", text));
        }
    };
    Ok(Opened {
        layer: Box::new(Vdi::load(file, header, opening.cache_bytes)?),
        parent,
    })
}
