//! Single fields of sound images that lie: what is still right, and what is said. What is right
//! is what the sound image gives, which other tests hold against e2fsprogs.

use std::collections::BTreeSet;
use std::sync::Arc;

use hexz_fs_ext4::Ext4Plugin;
use hexz_resolve::{
    ByteRange, Claim, Diagnostic, Diagnostics, FileKey, FileSet, Filesystem, FilesystemPlugin,
    JournalMode, Limits, Link, OpenContext, Owner, RangeSet, ReadAt, Role, Scan, Severity, Silent,
    View,
};
use hexz_testkit::{Fixture, Patched};

/// What all passes tell of an image.
struct Told {
    claims: Vec<Claim>,
    links: BTreeSet<(u64, Vec<u8>, u64)>,
    findings: Vec<Diagnostic>,
}

impl Told {
    fn of(image: &Arc<dyn ReadAt>) -> Self {
        let (limits, diagnostics) = (Limits::default(), Diagnostics::new());
        let cx = OpenContext {
            limits: &limits,
            journal: JournalMode::Replay,
            view: View::Merged,
            diagnostics: &diagnostics,
        };
        let fs: Box<dyn Filesystem> = Ext4Plugin.open(Arc::clone(image), &cx).expect("it opens");
        let scan = Scan::new(&limits, View::Merged, &diagnostics, &Silent);
        let all: RangeSet = ByteRange::new(0, image.len()).into();
        let mut claims: Vec<Claim> = Vec::new();
        fs.claims(&all, &scan, &mut claims).expect("claims");
        let files: FileSet = (1..10_000).map(FileKey::new).collect();
        let mut links: Vec<Link> = Vec::new();
        fs.links(&files, &scan, &mut links).expect("links");
        let links = links.into_iter();
        let links = links.map(|l| (l.parent.number, l.name.as_bytes().to_vec(), l.child.number));
        let links = links.collect();
        Self {
            claims,
            links,
            findings: diagnostics.take(),
        }
    }

    /// Claims of files, without those of their records.
    fn of_files(&self) -> BTreeSet<(u64, u64, u64)> {
        let claims = self.claims.iter();
        claims
            .filter(|c| c.role != Role::InodeRecord)
            .filter_map(|c| match c.owner {
                Owner::File(id) => Some((c.range.start(), c.range.end(), id.number)),
                _ => None,
            })
            .collect()
    }

    /// Where inode tables lie.
    fn tables(&self) -> Vec<ByteRange> {
        let claims = self.claims.iter().filter(|c| c.role == Role::InodeTable);
        claims.map(|c| c.range).collect()
    }

    fn has(&self, severity: Severity, code: &str) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|f| f.severity == severity && f.code == code)
    }
}

fn patched(case: &str, patches: &[(u64, &[u8])]) -> Arc<dyn ReadAt> {
    let image = Patched::new(Fixture::load(case).base());
    let patch = |image: Patched, (at, bytes): &(u64, &[u8])| image.patch(*at, bytes.to_vec());
    Arc::new(patches.iter().fold(image, patch))
}

/// `s_blocks_count` of a million and a half groups on a volume of six.
#[test]
fn groups_past_the_end_of_the_volume_cost_nothing() {
    let sound = Told::of(&Fixture::load("gdt-csum").base());
    let count = (1_500_000u64 * 512).to_le_bytes();
    let (low, high) = count.split_at(4);
    let image = patched("gdt-csum", &[(1024 + 4, low), (1024 + 0x150, high)]);
    let told = Told::of(&image);
    assert!(told.has(Severity::Error, "volume-truncated"));
    assert!(told.claims.len() <= sound.claims.len() + 16);
    let outside = |c: &&Claim| c.range.end() > image.len();
    assert_eq!(told.claims.iter().find(outside), None);
    assert_eq!(told.of_files(), sound.of_files());
    assert_eq!(told.links, sound.links);
}

/// With `flex_bg`, the inode tables of groups that are cut off stand in one that is there.
#[test]
fn groups_that_are_cut_off_are_known_where_their_table_is_there() {
    let image = Fixture::load("meta-bg").base();
    let sound = Told::of(&image);
    // Only the first of ten groups.
    let cut = Patched::new(image).truncate(1 << 20);
    let told = Told::of(&(Arc::new(cut) as Arc<dyn ReadAt>));
    assert!(told.has(Severity::Error, "volume-truncated"));
    assert_eq!(told.tables().len(), 10);
    assert_eq!(told.tables(), sound.tables());
}
