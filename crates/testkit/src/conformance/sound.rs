//! Checks on the image as it is: threads, parts, and what is not there.

use std::sync::Arc;

use hexz_resolve::{ByteRange, FileKey, FileSet, RangeSet, ReadAt, Threads, View};

use super::options::Failures;
use super::owners::{difference, pieces};
use super::passes::Passes;
use super::setup::{Opened, Setup};
use crate::Rng;

pub(super) fn threads_of(count: usize) -> Threads {
    Threads::new(count).expect("threads can be started")
}

/// One thread and several.
pub(super) fn threads(setup: &Setup, image: &Arc<dyn ReadAt>, sound: &Passes, out: &mut Failures) {
    let pool = threads_of(setup.options.threads);
    match Passes::whole(setup, image, Some(&pool)) {
        Ok(found) => out.extend(sound.unlike(&found)),
        Err(error) => out.push(error.chain()),
    }
}

impl Passes {
    /// The passes whose results differ, in content or order.
    pub(super) fn unlike(&self, other: &Self) -> Option<String> {
        let differing: Vec<&str> = [
            ("info", self.info != other.info),
            ("claims", self.claims != other.claims),
            ("links", self.links != other.links),
            ("attributes", self.attributes != other.attributes),
            ("entries", self.entries != other.entries),
            ("extents", self.extents != other.extents),
            ("contents", self.contents != other.contents),
            ("diagnostics", self.findings != other.findings),
        ]
        .into_iter()
        .filter_map(|(what, differs)| differs.then_some(what))
        .collect();
        (!differing.is_empty()).then(|| format!("other {}", differing.join(", ")))
    }
}

/// Random parts of the disk and random sets of files.
pub(super) fn subsets(setup: &Setup, image: &Arc<dyn ReadAt>, sound: &Passes, out: &mut Failures) {
    let opened = match setup.open(image, View::Merged) {
        Ok(opened) => opened,
        Err(error) => return out.push(error.chain()),
    };
    let mut rng = Rng::new(setup.options.seed ^ 0x5b5e);
    for _ in 0..setup.options.subsets {
        let wanted = some_ranges(&mut rng, image.len());
        claims_of(&opened, sound, &wanted, out);
        let files = sound.files.iter().filter(|_| rng.chance(1, 4)).collect();
        files_of(&opened, sound, &files, out);
    }
    // Just what one claim covers, and the block around a byte of it.
    for _ in 0..setup.options.subsets * 2 {
        let range = rng.pick(&sound.claims).range;
        claims_of(&opened, sound, &range.into(), out);
        let byte = range.start() + rng.below(range.len());
        let block = ByteRange::new(byte, byte + 1).aligned_out(4096);
        let disk = ByteRange::new(0, image.len());
        let wanted = RangeSet::from(block).clipped(disk);
        claims_of(&opened, sound, &wanted, out);
    }
    for file in sound.files.iter().take(setup.options.subsets) {
        files_of(&opened, sound, &[file].into_iter().collect(), out);
    }
}

/// One to some twenty ranges, of a few bytes up to much of the disk.
pub(super) fn some_ranges(rng: &mut Rng, length: u64) -> RangeSet {
    let count = 1 + rng.below(20);
    let scale = 1 << rng.below(21);
    (0..count)
        .map(|_| {
            let start = rng.below(length);
            let end = start + 1 + rng.below(scale);
            ByteRange::new(start, end.min(length))
        })
        .collect()
}

fn claims_of(opened: &Opened, sound: &Passes, wanted: &RangeSet, out: &mut Failures) {
    let pass = opened.pass(None, None, |fs, cx, out| fs.claims(wanted, cx, out));
    out.extend(pass.error.map(|e| e.chain()));
    let expected = pieces(&sound.claims, wanted);
    if let Some(differs) = difference(&expected, &pieces(&pass.items, wanted)) {
        out.push(format!("claims of {:?}: {differs}", wanted.bounds()));
    }
}

fn files_of(opened: &Opened, sound: &Passes, files: &FileSet, out: &mut Failures) {
    let mut same = |what: &str, equal: bool| {
        if !equal {
            let first: Vec<_> = files.iter().take(3).collect();
            out.push(format!("{what} of {} files, {first:?} …", files.len()));
        }
    };
    let links = opened.pass(None, None, |fs, cx, out| {
        fs.links(files, cx, out).map(|_| ())
    });
    let of = |all: &[hexz_resolve::Link]| {
        let mut some: Vec<_> = all
            .iter()
            .filter(|l| files.contains(l.child))
            .cloned()
            .collect();
        some.sort();
        some
    };
    same("links", of(&sound.links) == of(&links.items));
    let attributes = opened.pass(None, None, |fs, cx, out| fs.attributes(files, cx, out));
    let expected = sound.attributes.iter().filter(|a| files.contains(a.key));
    same("attributes", expected.eq(&attributes.items));
    let entries = opened.pass(None, None, |fs, cx, out| fs.entries(files, cx, out));
    let mut expected: Vec<_> = sound
        .entries
        .iter()
        .filter(|l| files.contains(l.parent))
        .collect();
    let mut found: Vec<_> = entries.items.iter().collect();
    expected.sort();
    found.sort();
    same("entries", expected == found);
    let extents = opened.pass(None, None, |fs, cx, out| fs.extents(files, cx, out));
    let mine = |c: &&hexz_resolve::Claim| match c.owner {
        hexz_resolve::Owner::File(file) => files.contains(file),
        _ => true,
    };
    let mut expected: Vec<_> = sound.extents.iter().filter(mine).collect();
    let mut found: Vec<_> = extents.items.iter().collect();
    expected.sort();
    found.sort();
    same("extents", expected == found);
}

/// What is not there.
pub(super) fn foreign(setup: &Setup, image: &Arc<dyn ReadAt>, out: &mut Failures) {
    let opened = match setup.open(image, View::Merged) {
        Ok(opened) => opened,
        Err(error) => return out.push(error.chain()),
    };
    let length = image.len();
    let past = [length..length + 4096, u64::MAX - 4096..u64::MAX];
    for range in past {
        let wanted = RangeSet::from(ByteRange::new(range.start, range.end));
        let pass = opened.pass(None, None, |fs, cx, out| fs.claims(&wanted, cx, out));
        if pass.items.iter().any(|c| wanted.overlaps(c.range)) {
            out.push(format!("claims bytes past the end: {wanted:?}"));
        }
        out.extend(pass.error.map(|e| e.chain()));
    }
    let none = opened.pass(None, None, |fs, cx, out| {
        fs.claims(&RangeSet::new(), cx, out)
    });
    if !none.items.is_empty() || none.error.is_some() {
        out.push("claims where nothing is wanted".to_owned());
    }
    let numbers = [
        u64::MAX,
        u64::MAX - 1,
        1 << 63,
        1 << 40,
        1 << 32,
        u64::from(u32::MAX),
    ];
    let mut keys: Vec<_> = numbers.into_iter().map(FileKey::new).collect();
    keys.push(FileKey {
        subvolume: 77,
        number: 1,
    });
    let files: FileSet = keys.into_iter().collect();
    let links = opened.pass(None, None, |fs, cx, out| {
        fs.links(&files, cx, out).map(|_| ())
    });
    let attributes = opened.pass(None, None, |fs, cx, out| fs.attributes(&files, cx, out));
    let entries = opened.pass(None, None, |fs, cx, out| fs.entries(&files, cx, out));
    let extents = opened.pass(None, None, |fs, cx, out| fs.extents(&files, cx, out));
    let errors = [
        &links.error,
        &attributes.error,
        &entries.error,
        &extents.error,
    ];
    out.extend(errors.into_iter().flatten().map(hexz_resolve::Error::chain));
    let named = links.items.iter().any(|l| files.contains(l.child));
    let rest = attributes.items.len() + entries.items.len() + extents.items.len();
    if named || rest > 0 {
        out.push("tells of files that do not exist".to_owned());
    }
}
