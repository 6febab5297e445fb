//! Owners without an extent tree: they are those that it tells.

use std::sync::Arc;

use hexz_fs_btrfs::BtrfsPlugin;
use hexz_resolve::{
    Bounded, ByteRange, Claim, Diagnostics, FilesystemPlugin as _, JournalMode, Limits, Member,
    OpenContext, ReadAt, Role, Scan, Silent, View,
};
use hexz_testkit::{Fixture, Patched};

/// All claims, as words that can be compared, and the codes of the findings.
fn claims(disk: &Arc<dyn ReadAt>) -> (Vec<Claim>, Vec<String>) {
    let (limits, findings) = (Limits::default(), Diagnostics::new());
    let cx = OpenContext {
        limits: &limits,
        journal: JournalMode::Replay,
        view: View::Base,
        diagnostics: &findings,
    };
    let fs = BtrfsPlugin.open(&[Member::alone(Arc::clone(disk))], &cx);
    let fs = fs.expect("a filesystem");
    let scan = Scan::new(&limits, View::Base, &findings, &Silent);
    let mut out = Bounded::new("claims", limits.claims);
    let whole = ByteRange::new(0, disk.len()).into();
    fs.claims(&whole, &scan, &mut out).expect("claims");
    let codes = findings.take().iter().map(|f| f.code.to_string()).collect();
    (out.items, codes)
}

fn words(claims: &[Claim], kept: impl Fn(&Claim) -> bool) -> Vec<String> {
    let kept = claims.iter().filter(|claim| kept(claim));
    let mut words: Vec<String> = kept.map(|claim| format!("{claim:?}")).collect();
    words.sort();
    words.dedup();
    words
}

#[test]
fn without_an_extent_tree_all_owners_are_found_in_the_other_trees() {
    for case in [
        "btrfs-snapshots",
        "btrfs-mixed",
        "btrfs-dropped",
        "btrfs-log",
    ] {
        let fixture = Fixture::load(case);
        for disk in [fixture.base(), fixture.merged()] {
            let (sound, findings) = claims(&disk);
            assert!(!findings.contains(&"btrfs-swept".to_owned()), "{case}");
            let of_tree = |claim: &Claim| claim.detail == "extent-tree";
            let mut damaged = Patched::new(Arc::clone(&disk));
            let mut blocks = 0;
            for claim in sound.iter().filter(|claim| of_tree(claim)) {
                let length = usize::try_from(claim.range.len()).expect("a block");
                damaged = damaged.patch(claim.range.start(), vec![0; length]);
                blocks += 1;
            }
            assert!(blocks > 0, "{case}");
            let damaged: Arc<dyn ReadAt> = Arc::new(damaged);
            let (swept, findings) = claims(&damaged);
            assert!(
                findings.contains(&"btrfs-swept".to_owned()),
                "{case}: {findings:?}"
            );
            let used = |claim: &Claim| claim.role != Role::Free && !of_tree(claim);
            let (expected, found) = (words(&sound, used), words(&swept, used));
            // Of a subvolume that is being deleted it is not known what is free already.
            let dropped = |word: &str| {
                ["\"deleted-subvolume\"", "\"subvolume-tree\""]
                    .iter()
                    .any(|d| word.contains(d))
            };
            let lost = expected
                .iter()
                .filter(|w| !found.contains(w) && !dropped(w));
            let lost: Vec<_> = lost.take(3).collect();
            let more: Vec<_> = found
                .iter()
                .filter(|w| !expected.contains(w))
                .take(3)
                .collect();
            assert!(
                lost.is_empty() && more.is_empty(),
                "{case}: {lost:#?} {more:#?}"
            );
            assert!(
                found
                    .iter()
                    .filter(|w| w.contains("\"subvolume-tree\""))
                    .count()
                    > 2,
                "{case}"
            );
            // What no tree has is not free for that.
            let free = |claim: &Claim| claim.role == Role::Free;
            let unallocated = |claim: &Claim| !claim.detail.is_empty();
            assert!(swept.iter().filter(|c| free(c)).all(unallocated), "{case}");
        }
    }
}
