//! VHD images (qemu's `vpc`), read-only: fixed, dynamic, differencing. `docs/formats/vhd.md` has
//! what is read.

mod footers;
mod ondisk;
mod parent;
mod pieces;

use std::ops::ControlFlow;

use hexz_resolve::{ByteRange, Diagnostic, Error, Result};

use crate::file::RawFile;
use crate::layer::{ImageId, Layer, Place, Visit};
use crate::opening::{Opened, Opening, Parent, ParentFormat};
use ondisk::{DiskType, Footer, SECTOR};
use pieces::Blocks;

pub(crate) use footers::{recognised, unfit};
pub(crate) use parent::windows_path;

/// An open image: the sectors that this file has.
struct Vhd {
    file: RawFile,
    footer: Footer,
    disk_size: u64,
    /// `None` in a fixed disk, which lies at the start of the file.
    blocks: Option<Blocks>,
}

/// Opens the image in `file`.
pub(crate) fn open(file: RawFile, opening: &Opening<'_>) -> Result<Opened> {
    let found = footers::find(&file)?;
    let footer = found.footer;
    if let Some(odd) = found.odd {
        let text = format!("{}: {odd}", opening.path.display());
        let finding = Diagnostic::warning("vhd-footer", text);
        opening.chain.diagnostics.push(finding.at(found.at));
    }
    if footer.disk_type == DiskType::Fixed {
        return Ok(Opened::alone(Vhd {
            disk_size: fixed_size(&footer, found.at)?,
            file,
            footer,
            blocks: None,
        }));
    }
    let disk_size = footer.disk_size();
    let header = footers::header(&file, &footer)?;
    let blocks = Blocks::load(&file, &header, disk_size, opening.cache_bytes)?;
    let parent = (footer.disk_type == DiskType::Differencing).then(|| Parent {
        names: parent::names(&file, &header),
        format: ParentFormat::Known(crate::format::Format::Vhd),
        ids: vec![ImageId(header.parent_unique_id.to_string())],
    });
    let layer = Vhd {
        file,
        footer,
        disk_size,
        blocks: Some(blocks),
    };
    Ok(Opened {
        layer: Box::new(layer),
        parent,
    })
}

/// Bytes of a fixed disk whose footer lies at `at`.
fn fixed_size(footer: &Footer, at: u64) -> Result<u64> {
    let sizes = [footer.disk_size(), footer.current_size];
    let fitting = sizes.into_iter().find(|size| *size <= at);
    fitting.ok_or_else(|| {
        let error = Error::corrupt("vhd footer").at(at);
        let found = format!("a disk of {} bytes", footer.current_size);
        error.expected(format!("at most {at} bytes")).found(found)
    })
}

impl Layer for Vhd {
    fn size(&self) -> u64 {
        self.disk_size
    }

    fn unit(&self) -> u64 {
        SECTOR
    }

    fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> ControlFlow<()> {
        match &self.blocks {
            Some(blocks) => blocks
                .pieces(&self.file, range)
                .try_for_each(|(piece, place)| visit(piece, place)),
            None => {
                let offset = range.start();
                visit(range, Place::At { file: 0, offset })
            }
        }
    }

    fn file(&self, number: usize) -> Option<&RawFile> {
        (number == 0).then_some(&self.file)
    }

    fn id(&self) -> Option<ImageId> {
        Some(ImageId(self.footer.unique_id.to_string()))
    }
}
