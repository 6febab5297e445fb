//! Opening a disk image by its content.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use hexz_ondisk::read;
use hexz_resolve::{Diagnostics, Limits, OpenGate, ReadAt, Result};

use crate::file::RawFile;
use crate::hxz;
use crate::num::usize_of;

/// How an image holds its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Byte by byte: a file or block device.
    Raw,
    /// A hexz archive.
    Hxz,
}

impl Format {
    /// The word the report uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Hxz => "hxz",
        }
    }

    fn of(file: &RawFile) -> Result<Self> {
        let magic = read(file, "image", 0, usize_of(file.len().min(8)))?;
        Ok(match magic.get(..4) {
            Some(magic) if magic == hxz::MAGIC => Self::Hxz,
            _ => Self::Raw,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The format of the image at `path`, by its content.
///
/// # Errors
/// `Io`, naming the path.
pub fn detect(path: &Path) -> Result<Format> {
    Format::of(&RawFile::open(path)?)
}

/// Opens the disk image at `path`, which the user named, whatever its format. Parents that it
/// names are opened as `gate` allows; what is odd goes to `diagnostics`. What is of no known
/// format is taken as raw.
///
/// # Errors
/// With the path of the file that can't be used, and why.
pub fn open_image(
    path: &Path,
    limits: &Limits,
    gate: &dyn OpenGate,
    diagnostics: &Diagnostics,
) -> Result<Arc<dyn ReadAt>> {
    let file = RawFile::open(path)?;
    Ok(match Format::of(&file)? {
        Format::Raw => Arc::new(file),
        Format::Hxz => Arc::new(hxz::Archive::open(file, path, limits, gate, diagnostics)?),
    })
}
