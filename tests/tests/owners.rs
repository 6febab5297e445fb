//! What `hexz owner` and `hexz map` say of images that are hard to tell about: unreadable sectors,
//! compressed files, files with more names than memory, very deep folders.

use std::sync::Arc;

use hexz_resolve::engine::{Options, owners};
use hexz_resolve::report::{OwnerRecord, OwnerReport};
use hexz_resolve::{
    ByteRange, Class, Diagnostic, JournalMode, Limits, RangeSet, ReadAt, Severity, Silent,
};
use hexz_testkit::{Faulty, Fixture};

fn ask(disk: &Arc<dyn ReadAt>, wanted: &RangeSet, limits: Limits) -> OwnerReport {
    let registry = hexz_cli::registry();
    let options = Options {
        registry: &registry,
        limits,
        journal: JournalMode::Replay,
        threads: 2,
        volume: None,
        detection: Default::default(),
        disks: hexz_resolve::Disks::default(),
        memo: None,
        progress: &Silent,
        scratch: None,
        cancel: None,
    };
    owners(disk, wanted, &options).expect("an answer")
}

fn map(disk: &Arc<dyn ReadAt>) -> OwnerReport {
    ask(
        disk,
        &ByteRange::new(0, disk.len()).into(),
        Limits::default(),
    )
}

/// `disk` with bytes that can't be read.
fn failing(disk: &Arc<dyn ReadAt>, bad: ByteRange) -> Arc<dyn ReadAt> {
    Arc::new(Faulty::failing(Arc::clone(disk), bad.into()))
}

#[test]
fn a_bad_sector_near_the_start_costs_no_more_than_what_lies_in_it() {
    // Nothing needs what is in free space or in a file to tell who owns it.
    for name in ["blocks-1k", "xfs-1k", "ntfs-plain"] {
        let disk = Fixture::load(name).base();
        let sound = map(&disk);
        let idle = |r: &&OwnerRecord| {
            let in_reach = r.start < 128 << 10 && r.start.is_multiple_of(512) && r.length >= 512;
            in_reach && matches!(r.class, Class::Free | Class::FileData)
        };
        let piece = sound.owners.iter().find(idle).expect("such a piece");
        let bad = ByteRange::new(piece.start, piece.start + 512);
        let found = map(&failing(&disk, bad));
        assert_eq!(found.owners, sound.owners, "{name}");
        assert!(found.summary.complete, "{name}");
        let told = |d: &&Diagnostic| d.offset == Some(bad.start());
        let told = found.diagnostics.iter().find(told).expect("a finding");
        assert_eq!((told.severity, told.view), (Severity::Warning, None));
    }
}

#[test]
fn a_disk_whose_first_table_header_is_unreadable_is_read_by_the_backup() {
    let disk = Fixture::load("gpt-moved").base();
    let sound = map(&disk);
    let found = map(&failing(&disk, ByteRange::new(512, 1024)));
    let names = |r: &OwnerReport| -> Vec<_> {
        r.volumes
            .iter()
            .map(|v| (v.volume.clone(), v.start, v.filesystem))
            .collect()
    };
    assert_eq!(names(&found), names(&sound));
    assert!(found.diagnostics.iter().any(|d| d.offset == Some(512)));
}

#[test]
fn what_can_not_be_recognised_for_a_bad_sector_is_damaged_and_says_where() {
    let disk = Fixture::load("no-table").base();
    let found = map(&failing(&disk, ByteRange::new(1024, 1536)));
    assert!(!found.summary.complete);
    assert!(
        found
            .diagnostics
            .iter()
            .any(|d| { (d.severity, d.offset) == (Severity::Error, Some(1024)) })
    );
    let reason = found.volumes[0].reason.as_deref().expect("a reason");
    assert!(reason.contains("512 bytes can't be read"), "{reason}");
}

#[test]
fn compressed_bytes_stand_at_no_place_in_their_file() {
    // By ntfsinfo, every unit of `text` is stored in less than its 16 clusters, and `noise`, which
    // can't be made smaller, as it is.
    let report = map(&Fixture::load("ntfs-compressed").base());
    let of = |name: &str| -> Vec<_> {
        let pieces = report.owners.iter().filter(|r| r.class == Class::FileData);
        let pieces = pieces.flat_map(|r| r.owners.iter().map(move |o| (r.length, o)));
        let named = pieces.filter(|(_, o)| o.paths.iter().any(|p| p == name.as_bytes()));
        named.map(|(length, o)| (o.file_offset, length)).collect()
    };
    let text = of("/packed/text");
    assert!(text.iter().all(|(offset, _)| offset.is_none()), "{text:?}");
    assert_eq!(
        text.iter().map(|(_, length)| length).sum::<u64>(),
        4 * 16384 + 8192
    );
    let noise = of("/packed/noise");
    assert_eq!(noise[0].0, Some(0), "{noise:?}");
}

#[test]
fn how_much_is_told_at_once_changes_nothing() {
    for name in ["hard-links", "htree", "ntfs-fragmented", "mbr63"] {
        let disk = Fixture::load(name).base();
        let small = Limits::default().with(|limits| limits.cache_bytes = 1);
        let all = ByteRange::new(0, disk.len()).into();
        assert_eq!(ask(&disk, &all, small).owners, map(&disk).owners, "{name}");
    }
}

#[test]
fn a_path_that_is_too_deep_is_said_and_costs_no_other() {
    let disk = Fixture::load("renames").base();
    let all = ByteRange::new(0, disk.len()).into();
    let limits = Limits::default().with(|limits| limits.path_depth = 1);
    let sound = map(&disk);
    let found = ask(&disk, &all, limits);
    assert!(found.diagnostics.iter().any(|d| d.code == "path-limit"));
    assert!(!found.summary.complete);
    // The path of a file in a folder of the first level has two slashes.
    let depth = |path: &[u8]| path.iter().filter(|b| **b == b'/').count();
    let mut lost = 0;
    for (a, b) in sound.owners.iter().zip(&found.owners) {
        for (a, b) in a.owners.iter().zip(&b.owners) {
            let kept = a.paths.iter().filter(|p| depth(p) <= 2);
            assert!(kept.eq(b.paths.iter()), "{a:?}");
            lost += usize::from(b.paths.len() < a.paths.len());
        }
    }
    assert!(lost > 0);
}
