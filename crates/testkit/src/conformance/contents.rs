//! The content of files: what a plugin gives for it against what lies in its extents.

use std::sync::Arc;

use hexz_resolve::{
    ByteRange, Claim, ErrorKind, FileKey, FileKind, Owner, ReadAt, Role, View, read_vec,
};

use super::Failures;
use super::passes::{Opened, Passes, Setup};

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
pub(super) fn sample(opened: &Opened, passes: &Passes) -> Vec<(FileKey, Sampled)> {
    let files = passes.attributes.iter();
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

/// Content is as long as the file says, and what lies in its extents where that is not encoded.
pub(super) fn check(setup: &Setup, image: &Arc<dyn ReadAt>, sound: &Passes, out: &mut Failures) {
    let opened = match setup.open(image, View::Merged) {
        Ok(opened) => opened,
        Err(error) => return out.push(error.chain()),
    };
    let volume = opened.filesystem.reader();
    for (file, sampled) in &sound.contents {
        let said = file.shown(None);
        let attributes = sound.attributes.iter().find(|a| a.key == *file);
        let Some(attributes) = attributes.filter(|a| a.reserved.is_none()) else {
            continue;
        };
        let mine = |c: &&Claim| c.owner == Owner::File(*file) && c.stream.is_none();
        let extents: Vec<&Claim> = sound.extents.iter().filter(mine).collect();
        let encoded = extents.iter().any(|c| c.encoded);
        match sampled {
            Sampled::Refused(Some(ErrorKind::Unsupported)) if encoded => {}
            Sampled::Refused(why) => out.push(format!("no content of file {said}: {why:?}")),
            Sampled::Read(size, _) if *size != attributes.size => out.push(format!(
                "the content of file {said} has {size} bytes, the file {}",
                attributes.size
            )),
            Sampled::Read(_, parts) => {
                for (range, bytes) in parts {
                    let wrong = match bytes {
                        None => true,
                        Some(bytes) if !encoded => *bytes != assembled(volume, &extents, *range),
                        Some(_) => false,
                    };
                    if wrong {
                        out.push(format!("the content of file {said} differs in {range:?}"));
                    }
                }
            }
        }
    }
}

/// The bytes that extents put into `range` of their file, one by one.
fn assembled(volume: &Arc<dyn ReadAt>, extents: &[&Claim], range: ByteRange) -> Vec<u8> {
    (range.start()..range.end())
        .map(|at| {
            let holds = |claim: &&&Claim| {
                let own = claim
                    .file_offset
                    .and_then(|o| ByteRange::at(o, claim.range.len()));
                own.is_some_and(|own| own.contains(at))
            };
            match extents.iter().find(holds) {
                Some(claim) if claim.role == Role::Data => {
                    let place = claim.range.start() + (at - claim.file_offset.unwrap_or_default());
                    read_vec(volume, place, 1).map_or(0, |b| b[0])
                }
                _ => 0,
            }
        })
        .collect()
}
