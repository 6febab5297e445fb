//! What is known of a file beside its content and its names.

use hexz_resolve::{Attributes, FileSet, Result, Scan, Sink};

use crate::fs::ExfatFs;

/// The attributes of those of `files` that exist.
pub(crate) fn attributes(
    exfat: &ExfatFs,
    files: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Attributes>,
) -> Result<()> {
    exfat.volume.attributes(files, cx, out)
}
