//! Opening: damaged and unknown superblocks, and the log.

use std::sync::Arc;

use hexz_fs_xfs::XfsPlugin;
use hexz_resolve::{
    ByteRange, Claim, Diagnostics, ErrorKind, FileKind, Filesystem, FilesystemPlugin, FsState,
    JournalMode, Limits, Member, OpenContext, Owner, Probe, RangeSet, ReadAt, Result, Role, Scan,
    Severity, Silent, View, Window,
};
use hexz_testkit::{Faulty, Fixture, Patched};

struct Opened {
    fs: Result<Box<dyn Filesystem>>,
    codes: Vec<String>,
    /// Codes of errors: with any, a report is not complete.
    errors: Vec<String>,
}

fn open(image: &Arc<dyn ReadAt>, journal: JournalMode) -> Opened {
    let findings = Diagnostics::new();
    let cx = OpenContext {
        limits: &Limits::default(),
        journal,
        view: View::Base,
        diagnostics: &findings,
    };
    let fs = XfsPlugin.open(&[Member::alone(Arc::clone(image))], &cx);
    let findings = findings.take();
    let errors = findings.iter().filter(|d| d.severity == Severity::Error);
    let errors = errors.map(|d| d.code.to_string()).collect();
    let codes = findings.into_iter().map(|d| d.code.into_owned()).collect();
    Opened { fs, codes, errors }
}

fn claims(fs: &dyn Filesystem) -> Vec<Claim> {
    let (limits, findings) = (Limits::default(), Diagnostics::new());
    let scan = Scan::new(&limits, View::Base, &findings, &Silent);
    let mut claims = Vec::new();
    let all = RangeSet::from(ByteRange::new(0, u64::MAX));
    fs.claims(&all, &scan, &mut claims).unwrap();
    claims
}

fn patched(case: &str, at: u64, bytes: &[u8]) -> Arc<dyn ReadAt> {
    Arc::new(Patched::new(Fixture::load(case).base()).patch(at, bytes.to_vec()))
}

#[test]
fn a_damaged_superblock_is_made_good_by_a_copy() {
    for case in ["xfs-v4", "xfs-1k"] {
        let sound = open(&Fixture::load(case).base(), JournalMode::Replay);
        // `sb_blocksize`, `sb_agblocks`, `sb_versionnum`.
        for at in [4, 84, 100] {
            let image = patched(case, at, &[0xFF; 2]);
            let probe = XfsPlugin.probe(&Window::read(&*image));
            assert!(matches!(probe, Probe::Match { .. }), "{probe:?}");
            let damaged = open(&image, JournalMode::Replay);
            if at == 100 {
                assert_eq!(damaged.fs.err().unwrap().kind(), ErrorKind::Unsupported);
                continue;
            }
            assert!(damaged.codes.contains(&"secondary-superblock".to_owned()));
            let (a, b) = (sound.fs.as_ref().unwrap(), damaged.fs.unwrap());
            assert!(claims(&**a) == claims(&*b), "{case} {at}");
        }
    }
}

#[test]
fn a_feature_that_is_not_known_is_named() {
    // `sb_features_incompat`, whose highest byte comes first.
    for (bytes, name) in [([0x80, 0], "0x80000000"), ([0, 0], "zoned")] {
        let mut image = Patched::new(Fixture::load("xfs-1k").base());
        image = image.patch(216, bytes.to_vec());
        if name == "zoned" {
            image = image.patch(218, vec![0x02]);
        }
        let image: Arc<dyn ReadAt> = Arc::new(image);
        let error = open(&image, JournalMode::Replay).fs.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn what_a_live_disk_has_in_its_log_is_there_once_it_is_replayed() {
    let image = Fixture::load("xfs-rmap").merged();
    let raw = open(&image, JournalMode::Ignore).fs.unwrap();
    assert_eq!(raw.info().state, FsState::NeedsRecovery);
    assert!(raw.replayed().ranges.is_empty());
    let fs = open(&image, JournalMode::Replay).fs.unwrap();
    assert_eq!(fs.info().state, FsState::Clean);
    assert!(fs.info().transactions_replayed > 0 && !fs.replayed().ranges.is_empty());
    let covered: RangeSet = claims(&*fs).iter().map(|c| c.range).collect();
    assert_eq!(covered, ByteRange::new(0, image.len()).into());
}

#[test]
fn a_wrong_checksum_is_said_and_nothing_is_left_out() {
    let sound = open(&Fixture::load("xfs-1k").base(), JournalMode::Replay)
        .fs
        .unwrap();
    // The last byte of the sector of the first `agf`: spare.
    let image = patched("xfs-1k", 1023, &[1]);
    let fs = open(&image, JournalMode::Replay).fs.unwrap();
    let (limits, findings) = (Limits::default(), Diagnostics::new());
    let scan = Scan::new(&limits, View::Base, &findings, &Silent);
    let mut found: Vec<Claim> = Vec::new();
    let all = RangeSet::from(ByteRange::new(0, u64::MAX));
    fs.claims(&all, &scan, &mut found).unwrap();
    assert!(found == claims(&*sound) && !scan.is_partial());
    let codes: Vec<_> = findings
        .take()
        .into_iter()
        .map(|d| (d.code.into_owned(), d.offset))
        .collect();
    assert_eq!(codes, [("bad-checksum".to_owned(), Some(512))]);
}

/// A log that holds something, and can't be read.
#[test]
fn a_log_that_can_not_be_read_is_an_error_unless_it_is_not_asked_for() {
    let image = Fixture::load("xfs-rmap").merged();
    let sound = open(&image, JournalMode::Ignore).fs.unwrap();
    let claims = claims(&*sound);
    let log = claims.iter().find(|c| c.detail == "xlog").unwrap().range;
    let bad: Arc<dyn ReadAt> = Arc::new(Faulty::failing(image, log.into()));
    for (mode, errors) in [
        (JournalMode::Replay, vec!["log-not-replayed".to_owned()]),
        (JournalMode::Ignore, Vec::new()),
    ] {
        let opened = open(&bad, mode);
        assert_eq!(opened.errors, errors);
        assert!(!opened.codes.is_empty(), "nothing is said");
        let state = opened.fs.unwrap().info().state;
        assert_eq!(state, FsState::NeedsRecovery);
    }
}

#[test]
fn a_volume_that_is_cut_is_an_error() {
    let image = Fixture::load("xfs-v4").base();
    let length = image.len() / 2 + 1;
    let cut: Arc<dyn ReadAt> = Arc::new(Patched::new(image).truncate(length));
    let opened = open(&cut, JournalMode::Ignore);
    assert!(opened.errors.contains(&"volume-too-short".to_owned()));
}

/// So that a file that no directory names is told by its kind, too.
#[test]
fn claims_tell_the_kind_of_their_file() {
    for case in ["xfs-v4", "xfs-rmap"] {
        let fs = open(&Fixture::load(case).base(), JournalMode::Replay)
            .fs
            .unwrap();
        let root = fs.root().number;
        let of_files = claims(&*fs).into_iter().filter_map(|c| match c.owner {
            Owner::File(id) => Some((id.number, c.role, c.kind)),
            _ => None,
        });
        for (number, role, kind) in of_files {
            assert!(kind.is_some(), "{case}: {number} as {role:?}");
            let directory = number == root || role == Role::Directory;
            assert!(
                !directory || kind == Some(FileKind::Directory),
                "{case}: {number}"
            );
        }
    }
}
