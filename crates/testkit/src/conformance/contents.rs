//! The content of files: what a plugin gives for it against what lies in its extents.

use std::sync::Arc;

use hexz_resolve::{ByteRange, Claim, ErrorKind, Owner, ReadAt, Role, View, read_vec};

use super::options::Failures;
use super::passes::Passes;
use super::samples::Sampled;
use super::setup::Setup;

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
