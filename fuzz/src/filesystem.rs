//! Running all passes of a filesystem over a damaged fixture.

use std::collections::BTreeSet;
use std::sync::Arc;

use hexz_resolve::{
    Bounded, ByteRange, Claim, Diagnostics, FileKey, FileSet, Filesystem, FilesystemPlugin,
    JournalMode, Limits, Member, OpenContext, Owner, RangeSet, ReadAt, Role, Scan, Silent, View,
    Window,
};
use hexz_testkit::{Fixture, Patched};

use crate::{Input, apply};

/// Claims, links and files that one pass may give.
const ITEMS: usize = 200_000;
/// Files whose content is read.
const CONTENTS: usize = 64;

/// Images of one filesystem, with the places of their metadata.
pub struct Images {
    images: Vec<(Arc<dyn ReadAt>, Vec<ByteRange>)>,
}

impl Images {
    /// The disks before the change of the fixtures `cases`.
    #[must_use]
    pub fn load(plugin: &dyn FilesystemPlugin, cases: &[&str]) -> Self {
        let images = cases.iter().map(|case| {
            let image = Fixture::load(case).base();
            let places = metadata(plugin, &image);
            (image, places)
        });
        Self {
            images: images.collect(),
        }
    }
}

/// Pieces of at most a few blocks that are neither content nor free.
fn metadata(plugin: &dyn FilesystemPlugin, image: &Arc<dyn ReadAt>) -> Vec<ByteRange> {
    let limits = limits();
    let findings = Diagnostics::new();
    let fs = plugin
        .open(
            &[Member::alone(Arc::clone(image))],
            &context(&limits, &findings, JournalMode::Ignore),
        )
        .expect("a fixture is sound");
    let claims = claims(&*fs, &limits, image.len());
    let plain = |role| matches!(role, Role::Data | Role::Unwritten | Role::Free);
    let content: RangeSet = claims
        .iter()
        .filter(|c| plain(c.role))
        .map(|c| c.range)
        .collect();
    let metadata: RangeSet = claims
        .iter()
        .filter(|c| !plain(c.role))
        .map(|c| c.range)
        .collect();
    let mut places = Vec::new();
    for range in metadata.difference(&content).iter() {
        let mut at = range.start();
        while at < range.end() {
            let end = (at + 4096).min(range.end());
            let mut bytes = vec![0; (end - at) as usize];
            image
                .read_exact_at(at, &mut bytes)
                .expect("it is in memory");
            // Nothing reads the rest of an inode table or journal that was never written.
            if bytes.iter().any(|b| *b != 0) {
                places.push(ByteRange::new(at, end));
            }
            at = end;
        }
    }
    places
}

fn limits() -> Limits {
    Limits::default().with(|limits| {
        limits.claims = ITEMS;
        limits.links = ITEMS;
        limits.files = ITEMS;
        limits.journal_bytes = 16 << 20;
    })
}

fn context<'a>(
    limits: &'a Limits,
    diagnostics: &'a Diagnostics,
    journal: JournalMode,
) -> OpenContext<'a> {
    OpenContext {
        limits,
        journal,
        view: View::Merged,
        diagnostics,
    }
}

fn claims(fs: &dyn Filesystem, limits: &Limits, size: u64) -> Vec<Claim> {
    let findings = Diagnostics::new();
    let scan = Scan::new(limits, View::Merged, &findings, &Silent);
    let mut out = Bounded::new("claims", limits.claims);
    let _any = fs.claims(&ByteRange::new(0, size).into(), &scan, &mut out);
    out.items
}

/// Damages one of `images` as `data` says, and asks `plugin` everything about it.
pub fn run(plugin: &dyn FilesystemPlugin, images: &Images, data: &[u8]) {
    let mut input = Input::new(data);
    let (image, places) = input.pick(&images.images);
    let journal = match input.number(1) % 2 {
        0 => JournalMode::Replay,
        _ => JournalMode::Ignore,
    };
    let mut damaged = Patched::new(Arc::clone(image));
    for damage in apply(&mut input, places) {
        damaged = damaged.patch(damage.at, damage.bytes);
    }
    let damaged: Arc<dyn ReadAt> = Arc::new(damaged);
    ask_journal(plugin, &damaged, journal);
}

/// Asks `plugin` everything about a disk.
pub fn ask_all(plugin: &dyn FilesystemPlugin, disk: &Arc<dyn ReadAt>) {
    ask_journal(plugin, disk, JournalMode::Replay);
}

fn ask_journal(plugin: &dyn FilesystemPlugin, disk: &Arc<dyn ReadAt>, journal: JournalMode) {
    let _any = plugin.probe(&Window::read(disk));
    let limits = limits();
    let findings = Diagnostics::new();
    if let Ok(fs) = plugin.open(
        &[Member::alone(Arc::clone(disk))],
        &context(&limits, &findings, journal),
    ) {
        ask(&*fs, &limits, disk.len());
    }
}

fn ask(fs: &dyn Filesystem, limits: &Limits, size: u64) {
    let claims = claims(fs, limits, size);
    let end = size.max(fs.info().size);
    for claim in &claims {
        assert!(
            !claim.range.is_empty() && claim.range.end() <= end,
            "{claim:?}"
        );
    }
    let findings = Diagnostics::new();
    let scan = Scan::new(limits, View::Merged, &findings, &Silent);
    let owners = claims.iter().filter_map(|c| match c.owner {
        Owner::File(file) => Some(file),
        _ => None,
    });
    let mut known: BTreeSet<FileKey> = owners.chain([fs.root()]).collect();
    let mut next: FileSet = known.iter().copied().collect();
    while !next.is_empty() && known.len() < ITEMS {
        let mut out = Bounded::new("links", limits.links);
        let _any = fs.entries(&next, &scan, &mut out);
        let found = out.items.iter().map(|link| link.child);
        next = found.filter(|child| known.insert(*child)).collect();
    }
    let files: FileSet = known.into_iter().collect();
    let _any = fs.links(&files, &scan, &mut Bounded::new("links", limits.links));
    let _any = fs.attributes(&files, &scan, &mut Bounded::new("files", limits.files));
    let _any = fs.extents(&files, &scan, &mut Bounded::new("extents", limits.claims));
    for file in files.iter().take(CONTENTS) {
        if let Ok(content) = fs.content(file, None, &scan) {
            let length = content.len().min(1 << 17) as usize;
            let _any = content.read_exact_at(0, &mut vec![0; length]);
        }
    }
}
