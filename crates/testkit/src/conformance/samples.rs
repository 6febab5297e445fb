//! Some of the content of some files.

use hexz_resolve::{Attributes, ByteRange, ErrorKind, FileKey, FileKind, read_vec};

use super::setup::Opened;

/// Files whose content is looked at.
const FILES: usize = 16;
/// Bytes that are read at each end of a file.
const SAMPLE: u64 = 16 << 10;

/// What came of one file: its length and some of its bytes, or why there is none. A part that
/// can't be read is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sampled {
    Read(u64, Vec<(ByteRange, Option<Vec<u8>>)>),
    Refused(Option<ErrorKind>),
}

/// Reads both ends of some regular files.
pub(super) fn sample(opened: &Opened, attributes: &[Attributes]) -> Vec<(FileKey, Sampled)> {
    let files = attributes.iter();
    let files: Vec<FileKey> = files
        .filter(|a| a.kind == FileKind::File)
        .map(|a| a.key)
        .collect();
    let step = files.len().div_ceil(FILES).max(1);
    let chosen = files.into_iter().step_by(step);
    chosen.map(|file| (file, one(opened, file))).collect()
}

fn one(opened: &Opened, file: FileKey) -> Sampled {
    let pass = opened.pass(None, None, |fs, cx, out| {
        out.put(fs.content(file, None, cx)?)
    });
    let Some(content) = pass.items.into_iter().next() else {
        return Sampled::Refused(pass.error.map(|e| e.kind()));
    };
    let size = content.len();
    let ends = [(0, size.min(SAMPLE)), (size.saturating_sub(SAMPLE), size)];
    let read = ends.into_iter().map(|(start, end)| {
        let length = usize::try_from(end - start).unwrap_or_default();
        let bytes = read_vec(&*content, start, length).ok();
        (ByteRange::new(start, end), bytes)
    });
    Sampled::Read(size, read.collect())
}
