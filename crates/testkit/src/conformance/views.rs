//! Two views that share what reads no changed byte.

use std::sync::Arc;

use hexz_resolve::{ByteRange, FileSet, RangeSet, ReadAt, Shared, View};

use super::options::Failures;
use super::passes::Passes;
use super::setup::{Opened, Setup};
use crate::{Patched, Rng};

pub(super) fn check(setup: &Setup, image: &Arc<dyn ReadAt>, sound: &Passes, out: &mut Failures) {
    let mut rng = Rng::new(setup.options.seed ^ 0x51e5);
    compare(setup, sound, image, image, &RangeSet::new(), out);
    for round in 0..setup.options.views {
        let mut other = Patched::new(Arc::clone(image));
        for _ in 0..=rng.below(4) {
            let range = rng.pick(&sound.claims).range;
            let at = range.start() + rng.below(range.len());
            other = other.patch(at, [rng.next_u64().to_le_bytes()].concat());
        }
        // The other view may be garbage where it was patched, and still must not reach the first.
        let dirty = other.patched().aligned_out(4096);
        let other: Arc<dyn ReadAt> = Arc::new(other);
        let mut found = Vec::new();
        compare(setup, sound, image, &other, &dirty, &mut found);
        out.extend(found.into_iter().map(|f| format!("round {round}: {f}")));
    }
}

/// Runs each pass on both views, alone and sharing.
fn compare(
    setup: &Setup,
    sound: &Passes,
    merged: &Arc<dyn ReadAt>,
    base: &Arc<dyn ReadAt>,
    dirty: &RangeSet,
    out: &mut Failures,
) {
    let Ok(one) = setup.open(merged, View::Merged) else {
        return out.push("the sound view does not open".to_owned());
    };
    // A view too damaged to open is not compared.
    let Ok(two) = setup.open(base, View::Base) else {
        return;
    };
    let dirty = [&one, &two].iter().fold(dirty.clone(), |all, v| {
        all.union(&v.filesystem.replayed().ranges)
    });
    let disk = RangeSet::from(ByteRange::new(0, merged.len()));
    let files = &sound.files;
    let both = |run: &dyn Fn(&Opened, Option<&Shared>) -> String| {
        let shared = Shared::new(dirty.clone());
        [&one, &two]
            .iter()
            .all(|view| run(view, None) == run(view, Some(&shared)))
    };
    let mut say = |what: &str, equal: bool| {
        if !equal {
            out.push(format!("{what} differ when shared; dirty {dirty:?}"));
        }
    };
    say("claims", both(&|view, shared| claims(view, shared, &disk)));
    say("links", both(&|view, shared| links(view, shared, files)));
    say(
        "attributes",
        both(&|view, shared| attributes(view, shared, files)),
    );
    say(
        "entries",
        both(&|view, shared| entries(view, shared, files)),
    );
    say(
        "extents",
        both(&|view, shared| extents(view, shared, files)),
    );
}

fn claims(view: &Opened, shared: Option<&Shared>, disk: &RangeSet) -> String {
    let pass = view.pass(None, shared, |fs, cx, out| fs.claims(disk, cx, out));
    format!("{:?} {:?}", pass.items, pass.error)
}

fn links(view: &Opened, shared: Option<&Shared>, files: &FileSet) -> String {
    let pass = view.pass(None, shared, |fs, cx, out| {
        fs.links(files, cx, out).map(|_| ())
    });
    format!("{:?} {:?}", pass.items, pass.error)
}

fn attributes(view: &Opened, shared: Option<&Shared>, files: &FileSet) -> String {
    let pass = view.pass(None, shared, |fs, cx, out| fs.attributes(files, cx, out));
    format!("{:?} {:?}", pass.items, pass.error)
}

fn entries(view: &Opened, shared: Option<&Shared>, files: &FileSet) -> String {
    let pass = view.pass(None, shared, |fs, cx, out| fs.entries(files, cx, out));
    format!("{:?} {:?}", pass.items, pass.error)
}

fn extents(view: &Opened, shared: Option<&Shared>, files: &FileSet) -> String {
    let pass = view.pass(None, shared, |fs, cx, out| fs.extents(files, cx, out));
    format!("{:?} {:?}", pass.items, pass.error)
}
