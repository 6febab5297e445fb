//! Clusters of several blocks (`bigalloc`), on an image whose places `debugfs` tells.

use std::sync::Arc;

use hexz_fs_ext4::Ext4Plugin;
use hexz_resolve::{
    ByteRange, Claim, Class, Diagnostics, FilesystemPlugin, JournalMode, Limits, Member,
    OpenContext, Owner, Scan, Silent, View,
};
use hexz_testkit::Fixture;

/// The root directory has block 176; the rest of its cluster of 16 is of the same class.
#[test]
fn the_slack_of_a_directory_is_of_the_class_directory() {
    let image = Fixture::load("bigalloc").base();
    let (limits, diagnostics) = (Limits::default(), Diagnostics::new());
    let cx = OpenContext {
        limits: &limits,
        journal: JournalMode::Replay,
        view: View::Merged,
        diagnostics: &diagnostics,
    };
    let fs = Ext4Plugin
        .open(&[Member::alone(Arc::clone(&image))], &cx)
        .expect("it opens");
    let scan = Scan::new(&limits, View::Merged, &diagnostics, &Silent);
    let cluster = ByteRange::new(176 << 10, 192 << 10);
    let mut claims: Vec<Claim> = Vec::new();
    fs.claims(&cluster.into(), &scan, &mut claims)
        .expect("claims");
    let root = |c: &&Claim| matches!(c.owner, Owner::File(id) if id.number == 2);
    let parts = claims
        .iter()
        .filter(root)
        .filter(|c| c.range.overlaps(&cluster));
    let mut parts: Vec<_> = parts
        .map(|c| {
            (
                c.range.start() >> 10,
                c.range.end() >> 10,
                c.role.class(),
                c.detail,
            )
        })
        .collect();
    parts.sort_unstable();
    let expected = [
        (176, 177, Class::Directory, ""),
        (177, 192, Class::Directory, "cluster-slack"),
    ];
    assert_eq!(parts, expected);
}
