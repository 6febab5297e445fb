//! What is known of a file beside its content and its names.

use hexz_resolve::{Attributes, FileSet, Result, Scan, Sink};

use crate::fs::FatFs;

/// The attributes of those of `files` that exist.
pub(crate) fn attributes(
    fat: &FatFs,
    files: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Attributes>,
) -> Result<()> {
    fat.volume.attributes(files, cx, out)
}
