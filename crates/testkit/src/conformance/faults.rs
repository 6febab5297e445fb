//! Images that can't be read in full.

use std::sync::Arc;

use hexz_resolve::{ByteRange, ErrorKind, RangeSet, ReadAt};

use super::options::Failures;
use super::owners::{Piece, pieces, unsound};
use super::passes::Passes;
use super::setup::Setup;
use crate::{Faulty, Patched, Rng};

/// A medium with a bad place.
pub(super) fn faults(setup: &Setup, image: &Arc<dyn ReadAt>, sound: &Passes, out: &mut Failures) {
    let healthy = Arc::new(Faulty::new(Arc::clone(image)));
    let reader: Arc<dyn ReadAt> = healthy.clone();
    if let Err(error) = Passes::whole(setup, &reader, None) {
        return out.push(format!("without any fault: {}", error.chain()));
    }
    let read: Vec<ByteRange> = healthy.seen().iter().collect();
    let disk = RangeSet::from(ByteRange::new(0, image.len()));
    let expected = pieces(&sound.claims, &disk);
    let mut rng = Rng::new(setup.options.seed ^ 0xfa17);
    for _ in 0..setup.options.faults {
        let range = rng.pick(&read);
        let start = (range.start() + rng.below(range.len())) / 512 * 512;
        let bad = ByteRange::new(start, start + (512 << rng.below(4)));
        let medium = Arc::new(Faulty::failing(Arc::clone(image), bad.into()));
        let reader: Arc<dyn ReadAt> = medium.clone();
        let mut say = |what: String| out.push(format!("bad {bad:?}: {what}"));
        match Passes::whole(setup, &reader, None) {
            Err(error) if error.kind() == ErrorKind::Io => {}
            Err(error) => say(format!("a read error became another: {}", error.chain())),
            Ok(found) => {
                // What was only read ahead and is the same without it needs no word.
                let lacks = !same(&found, sound);
                if medium.failed() > 0 && lacks && !found.admits() {
                    say("a read failed, and nothing says so".to_owned());
                }
                remaining(&found, &expected, &disk)
                    .into_iter()
                    .for_each(&mut say);
                let other = found.errors.iter().find(|e| e.kind() != ErrorKind::Io);
                other
                    .map(|e| format!("a read error became another: {}", e.chain()))
                    .into_iter()
                    .for_each(&mut say);
            }
        }
    }
}

fn same(found: &Passes, sound: &Passes) -> bool {
    found.claims == sound.claims
        && found.links == sound.links
        && found.attributes == sound.attributes
        && found.entries == sound.entries
        && found.extents == sound.extents
}

/// An image that ends early.
pub(super) fn truncations(
    setup: &Setup,
    image: &Arc<dyn ReadAt>,
    sound: &Passes,
    out: &mut Failures,
) {
    let disk = RangeSet::from(ByteRange::new(0, image.len()));
    let expected = pieces(&sound.claims, &disk);
    let mut rng = Rng::new(setup.options.seed ^ 0x7c47);
    let block = u64::from(sound.info.block_size.max(1));
    for round in 0..setup.options.truncations {
        let length = match round {
            0 => 0,
            1 => sound.info.size.min(image.len()) - 1,
            _ if round % 2 == 0 => rng.below(image.len() / block) * block,
            _ => rng.below(image.len()),
        };
        let cut: Arc<dyn ReadAt> = Arc::new(Patched::new(Arc::clone(image)).truncate(length));
        let Ok(found) = Passes::whole(setup, &cut, None) else {
            continue;
        };
        let mut say = |what: String| out.push(format!("cut to {length}: {what}"));
        if length < sound.info.size && !found.admits() {
            say("bytes are missing, and nothing says so".to_owned());
        }
        let kept = RangeSet::from(ByteRange::new(0, length));
        remaining(&found, &expected, &kept)
            .into_iter()
            .for_each(&mut say);
        found.malformed(image.len()).into_iter().for_each(&mut say);
    }
}

/// What is still said must be right.
fn remaining(found: &Passes, expected: &[Piece], disk: &RangeSet) -> Option<String> {
    unsound(expected, &pieces(&found.claims, disk))
}
