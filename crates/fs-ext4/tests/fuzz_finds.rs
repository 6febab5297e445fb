//! What the fuzzer found, as plain tests.

use std::sync::Arc;

use hexz_fs_ext4::Ext4Plugin;
use hexz_resolve::{
    ByteRange, Claim, Diagnostics, FilesystemPlugin, JournalMode, Limits, Member, OpenContext,
    RangeSet, ReadAt, Scan, Severity, Silent, View, read_vec,
};
use hexz_testkit::Fixture;

/// A superblock that counts a hundred thousand groups on a volume of 8 MiB made the same bytes be
/// swept as inode tables for minutes.
#[test]
fn tables_together_are_no_longer_than_the_volume() {
    let image = Fixture::load("journal").base();
    let mut bytes = read_vec(&*image, 0, image.len() as usize).expect("the image");
    bytes[1024] = 0x04;
    bytes[1025..1039].fill(0x36);
    let volume: Arc<dyn ReadAt> = Arc::new(bytes);
    let (limits, diagnostics) = (Limits::default(), Diagnostics::new());
    let journal = JournalMode::Ignore;
    let cx = OpenContext {
        limits: &limits,
        journal,
        view: View::Merged,
        diagnostics: &diagnostics,
    };
    let Ok(fs) = Ext4Plugin.open(&[Member::alone(Arc::clone(&volume))], &cx) else {
        return;
    };
    let scan = Scan::new(&limits, View::Merged, &diagnostics, &Silent);
    let mut claims: Vec<Claim> = Vec::new();
    let all: RangeSet = ByteRange::new(0, volume.len()).into();
    fs.claims(&all, &scan, &mut claims)
        .expect("a partial result");
    let findings = diagnostics.take();
    let said = findings.iter().any(|f| f.severity == Severity::Error);
    assert!(said, "nothing says that something is left out");
}
