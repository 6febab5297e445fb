//! What is known of a file beside its content and its name.

use hexz_ondisk::{read, to_usize};
use hexz_resolve::{Attributes, FileKey, FileKind, FileSet, RawName, Result, Scan, Sink};

use crate::fs::Files;
use crate::ondisk::each;

/// Bytes of the longest target of a symbolic link that is read.
const MAX_TARGET: usize = 64 << 10;

/// The attributes of those of `wanted` that are there. A file has no lineage: it is known by its
/// path.
pub(crate) fn attributes(
    files: &Files,
    wanted: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Attributes>,
) -> Result<()> {
    each(
        files,
        cx,
        "attributes",
        Some(wanted),
        |number, record, reader, found| {
            let Some(kind) = record.kind else {
                return Ok(());
            };
            let mut attributes = Attributes::new(FileKey::new(number), kind);
            attributes.size = record.content.len();
            attributes.mode = record.mode.map(|mode| mode & 0o7777);
            attributes.mtime = record.mtime;
            if kind == FileKind::Symlink {
                let length = to_usize(record.content.len()).unwrap_or(MAX_TARGET);
                let start = record.content.start();
                let target = read(reader, "target", start, length.min(MAX_TARGET))?;
                attributes.target = Some(RawName::from(&target));
            }
            found.push(attributes);
            Ok(())
        },
        out,
    )
    .map(|_| ())
}
