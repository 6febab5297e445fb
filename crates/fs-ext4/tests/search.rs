//! What is found by looking where it is likely is what a sweep over everything finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hexz_fs_ext4::Ext4Plugin;
use hexz_resolve::{
    ByteRange, Claim, Diagnostics, FileKey, FileSet, Filesystem, FilesystemPlugin, JournalMode,
    Limits, Link, LinkCoverage, Member, OpenContext, Owner, RangeSet, ReadAt, Role, Scan, Silent,
    View,
};
use hexz_testkit::Fixture;

/// Fixtures with hard links, hash trees, directories within inodes, shared attributes, old inodes,
/// a journal that is replayed, and damage.
const CASES: [&str; 9] = [
    "hard-links",
    "htree",
    "inline-data",
    "shared-xattr",
    "ext2-old",
    "journal",
    "renames",
    "bigalloc",
    "cyclic-directory",
];

struct Opened {
    fs: Box<dyn Filesystem>,
    limits: Limits,
}

impl Opened {
    /// With small `unit_bytes` inode tables are cut into many slices.
    fn new(image: &Arc<dyn ReadAt>, unit_bytes: usize) -> Self {
        let limits = Limits::default().with(|limits| limits.unit_bytes = unit_bytes);
        let cx = OpenContext {
            limits: &limits,
            journal: JournalMode::Replay,
            view: View::Merged,
            diagnostics: &Diagnostics::new(),
        };
        let member = Member::alone(Arc::clone(image));
        let fs = Ext4Plugin.open(&[member], &cx).expect("it opens");
        Self { fs, limits }
    }

    fn pass<T>(&self, run: impl FnOnce(&dyn Filesystem, &Scan<'_>) -> T) -> T {
        let findings = Diagnostics::new();
        run(
            &*self.fs,
            &Scan::new(&self.limits, View::Merged, &findings, &Silent),
        )
    }

    fn claims(&self, wanted: ByteRange) -> BTreeSet<Claim> {
        let mut claims = Vec::new();
        let wanted = RangeSet::from(wanted);
        self.pass(|fs, cx| fs.claims(&wanted, cx, &mut claims))
            .expect("claims");
        // A claim of a whole file that starts elsewhere is cut in other ways.
        let clip = |c: Claim| wanted.bounds().and_then(|wanted| c.clipped(wanted));
        claims.into_iter().filter_map(clip).collect()
    }

    fn links(&self, files: &FileSet) -> (BTreeSet<Link>, LinkCoverage) {
        let mut links = Vec::new();
        let coverage = self.pass(|fs, cx| fs.links(files, cx, &mut links));
        let links = links.into_iter().filter(|l| files.contains(l.child));
        (links.collect(), coverage.expect("links"))
    }
}

fn images(name: &str) -> [Arc<dyn ReadAt>; 2] {
    let fixture = Fixture::load(name);
    [fixture.base(), fixture.merged()]
}

#[test]
fn names_of_one_file_are_those_of_a_sweep() {
    let mut searched = 0;
    for name in CASES {
        for image in images(name) {
            let whole = Opened::new(&image, 1 << 20);
            let all = whole.claims(ByteRange::new(0, image.len()));
            let files: FileSet = all
                .iter()
                .filter_map(|c| match c.owner {
                    Owner::File(key) if c.role == Role::InodeRecord => Some(key),
                    _ => None,
                })
                .collect();
            let mut expected: BTreeMap<FileKey, BTreeSet<Link>> = BTreeMap::new();
            for link in whole.links(&files).0 {
                expected.entry(link.child).or_default().insert(link);
            }
            let small = Opened::new(&image, 512);
            for file in files.iter() {
                let (found, coverage) = small.links(&[file].into_iter().collect());
                searched += usize::from(coverage == LinkCoverage::Wanted);
                let expected = expected.remove(&file).unwrap_or_default();
                if name == "cyclic-directory" {
                    // A directory has one name: the one where its `..` leads to.
                    assert!(found.is_subset(&expected), "{name}: {}", file.number);
                    assert_eq!(found.is_empty(), expected.is_empty());
                } else {
                    assert_eq!(found, expected, "{name}: {}", file.number);
                }
            }
        }
    }
    assert!(searched > 100, "{searched} searches");
}

#[test]
fn owners_of_one_block_are_those_of_a_sweep() {
    for name in CASES {
        for image in images(name) {
            let whole = Opened::new(&image, 1 << 20);
            let all = whole.claims(ByteRange::new(0, image.len()));
            let small = Opened::new(&image, 512);
            let mut blocks: BTreeSet<u64> = all.iter().map(|c| c.range.start() / 4096).collect();
            blocks.extend((0..image.len() / 4096).step_by(61));
            for block in blocks {
                let wanted = ByteRange::new(block * 4096, (block + 1) * 4096);
                let expected: BTreeSet<Claim> = all
                    .iter()
                    .filter_map(|claim| claim.clipped(wanted))
                    .collect();
                assert_eq!(small.claims(wanted), expected, "{name}: block {block}");
            }
        }
    }
}
