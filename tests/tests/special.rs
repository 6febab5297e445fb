//! What single fixtures are for, beyond the list of changes.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use hexz_acceptance::Case;
use hexz_acceptance::schema::Report;
use hexz_testkit::Fixture;

fn case(name: &str) -> Case {
    Case::new(env!("CARGO_BIN_EXE_hexz-under-test"), name)
}

fn paths(report: &Report) -> Vec<String> {
    let line = |c: &hexz_acceptance::schema::Change| format!("{} {}", c.change, c.path);
    report.changes.iter().map(line).collect()
}

#[test]
fn an_unknown_feature_is_named_and_its_blocks_come_out_raw() {
    let case = case("unsupported");
    let report = case.diff("");
    let volume = report.volume("disk");
    assert_eq!(volume.status, "unsupported");
    let reason = volume.reason.as_deref().unwrap_or_default();
    assert!(reason.contains("0x80000000"), "{reason}");
    assert!(report.changes.is_empty());
    let raw: u64 = report.unresolved.iter().map(|u| u.length).sum();
    assert_eq!(raw, case.fixture.blocks().len() as u64 * 4096);
    assert!(!report.summary.complete);
}

#[test]
fn a_cycle_of_extents_ends_and_is_told() {
    let report = case("cyclic-extents").diff("");
    let mut told = report.diagnostics.iter();
    let told = told.find(|d| d.code.contains("extent")).expect("a finding");
    assert_eq!(told.severity, "error");
    assert!(told.offset.is_some());
    assert!(!report.summary.complete);
    // The other file is not touched by it.
    let mut changes = report.changes.iter();
    let plain = changes.find(|c| c.path == "/plain").expect("/plain");
    assert!((800..=1024).contains(&plain.changed_bytes), "{plain:?}");
}

#[test]
fn a_cycle_of_directories_ends() {
    let report = case("cyclic-directory").diff("");
    let found = paths(&report);
    assert!(
        found.contains(&"modified /a/b/c/file".to_owned()),
        "{found:?}"
    );
    let longest = report.changes.iter().map(|c| c.path.len()).max();
    assert!(longest < Some(64), "{found:?}");
}

#[test]
fn a_damaged_list_of_blocks_is_told_of() {
    let case = case("torn-meta");
    let report = case.diff("");
    assert_eq!(report.header.precision.as_deref(), Some("may-miss"));
    let codes = report.codes();
    assert!(codes.contains(&"meta-torn-tail"), "{codes:?}");
    let past = report
        .diagnostics
        .iter()
        .find(|d| d.code == "meta-index-past-end");
    let past = past.map(|d| d.message.as_str()).unwrap_or_default();
    assert!(
        past.contains("1000000000") && past.contains("1 more"),
        "{past}"
    );
    // Listed twice, counted once.
    let mut blocks = case.fixture.blocks();
    blocks.retain(|b| *b < 512);
    blocks.sort_unstable();
    blocks.dedup();
    assert_eq!(report.summary.blocks, blocks.len() as u64);
}

#[test]
fn blocks_rewritten_with_what_they_held_change_no_file() {
    let case = case("no-table");
    let report = case.diff("");
    let extra = 4;
    let identical: u64 = report
        .summary
        .classes
        .values()
        .map(|c| c.bytes - c.changed)
        .sum();
    assert!(identical >= extra * 4096, "{identical}");
    assert_eq!(report.summary.blocks, case.fixture.blocks().len() as u64);
    assert_eq!(report.volume("disk").label.as_deref(), Some("whole disk"));
}

#[test]
fn bytes_of_an_unwritten_extent_are_no_content() {
    let case = case("unwritten");
    let report = case.diff("");
    assert_eq!(paths(&report), ["modified /other"]);
    // They are the file's all the same.
    assert_eq!(report.summary.classes["file-data"].changed, 1024 + 5 + 5);
    let overlay = case.fixture.bytes("overlay");
    let place = overlay
        .windows(5)
        .position(|bytes| bytes == b"stale")
        .expect("the bytes");
    let owners = case
        .hexz
        .report(&format!("owner --json base.img --offset {place}"));
    let role = owners
        .owners
        .first()
        .and_then(|o| o.owners.first())
        .map(|f| f.role.as_str());
    assert_eq!(role, Some("unwritten"), "{:?}", owners.owners);
}

#[test]
fn every_owner_of_a_shared_block_is_named() {
    let case = case("shared-xattr");
    let report = case.diff("");
    let region = report
        .regions
        .iter()
        .find(|r| r.class == "xattr")
        .expect("an xattr block");
    let owners = case
        .hexz
        .report(&format!("owner --json base.img --offset {}", region.start));
    let mut names: Vec<&str> = owners
        .owners
        .iter()
        .flat_map(|o| &o.owners)
        .flat_map(|f| &f.paths)
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["/one", "/three", "/two"]);
}

#[test]
fn a_partition_at_sector_63_shares_blocks_with_what_is_before_it() {
    let case = case("mbr63");
    let report = case.diff("");
    let volume = report.volume("p1");
    assert_eq!(
        (volume.start, volume.scheme.as_deref()),
        (63 * 512, Some("mbr"))
    );
    assert_eq!(volume.partition_type.as_deref(), Some("0x83"));
    // Blocks of 4 KiB cross its blocks of 1 KiB at 512: the pieces still sum up.
    assert!(
        report
            .changes
            .iter()
            .flat_map(|c| &c.ranges)
            .all(|r| r.disk_offset % 512 == 0)
    );
    let map = case.hexz.report("map --json base.img");
    let first = map
        .owners
        .iter()
        .find(|o| o.volume.is_some())
        .expect("a piece of the volume");
    assert_eq!(first.start, 63 * 512);
}

#[test]
fn a_map_tells_of_every_byte_once() {
    for name in [
        "mbr63",
        "mbr-logical",
        "gpt-backup",
        "gpt-moved",
        "no-table",
        "indirect",
        "bigalloc-resize",
    ] {
        let case = case(name);
        let map = case.hexz.report("map --json base.img");
        let mut at = 0;
        for piece in &map.owners {
            assert_eq!(piece.start, at, "{name}");
            at += piece.length;
        }
        assert_eq!(at, map.header.disk_size, "{name}");
        let unresolved = map.summary.classes.get("unresolved").map_or(0, |c| c.bytes);
        assert_eq!(unresolved, 0, "{name}");
    }
}

#[test]
fn logical_partitions_are_found() {
    let report = case("mbr-logical").diff("");
    let names: Vec<&str> = report.volumes.iter().map(|v| v.volume.as_str()).collect();
    assert_eq!(names, ["p1", "p5", "p6"]);
    let labels: Vec<_> = report
        .volumes
        .iter()
        .filter_map(|v| v.label.as_deref())
        .collect();
    assert_eq!(labels, names);
}

#[test]
fn a_backup_table_is_used_and_told_of() {
    let report = case("gpt-backup").diff("");
    let volume = report.volume("p1");
    assert_eq!(volume.name.as_deref(), Some("data"));
    assert!(
        report.codes().iter().any(|c| c.contains("gpt")),
        "{:?}",
        report.codes()
    );
}

#[test]
fn a_disk_that_grew_has_its_new_files() {
    let report = case("grown").diff("");
    assert_eq!(report.header.disk_size, 12 << 20);
    let large = report
        .changes
        .iter()
        .find(|c| c.path == "/large")
        .expect("/large");
    let bytes: u64 = large.ranges.iter().map(|r| r.length).sum();
    assert!(bytes >= 1_500_000, "{bytes}");
}

#[test]
fn one_volume_can_be_asked_for() {
    let case = case("mbr-logical");
    let report = case.diff("--volume p5");
    assert!(report.changes.iter().all(|c| c.volume == "p5"));
    assert!(!report.changes.is_empty());
    let output = case
        .hexz
        .run("diff --files --base base.img --volume p9 case.overlay");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("p9") && errors.contains("p5"), "{errors}");
}

#[test]
fn journals_are_replayed_and_counted() {
    for (name, transactions) in [("journal", 1), ("journal-csum", 2), ("journal-revoked", 3)] {
        let case = case(name);
        let replayed = case.diff("");
        let volume = replayed.volume("disk");
        assert_eq!(volume.transactions_replayed, transactions, "{name}");
        assert_eq!(volume.state.as_deref(), Some("clean"), "{name}");
        let ignored = case.diff("--journal ignore");
        ignored.check_sums();
        assert_eq!(
            ignored.volume("disk").state.as_deref(),
            Some("needs-recovery"),
            "{name}"
        );
        assert!(ignored.changes.is_empty(), "{name}: {:?}", paths(&ignored));
        // What lies on the disk is accounted the same, replayed or not.
        assert_eq!(ignored.summary.bytes, replayed.summary.bytes, "{name}");
    }
}

#[test]
fn an_old_superblock_in_the_boot_code_does_not_hide_an_ntfs() {
    let case = case("ntfs-plain");
    let mut disk = case.fixture.bytes("base.img");
    let ext = Fixture::load("ext2-old").bytes("base.img");
    disk[1024..2048].copy_from_slice(&ext[1024..2048]);
    std::fs::write(case.dir().join("both.img"), &disk).expect("a temporary folder");
    let layout = case.hexz.text("layout --json both.img");
    assert!(layout.contains(r#""filesystem":"ntfs""#), "{layout}");
    // Without the copy of its boot sector it could as well be the other.
    let end = disk.len();
    disk[end - 512..].fill(0);
    std::fs::write(case.dir().join("both.img"), &disk).expect("a temporary folder");
    let layout = case.hexz.text("layout --json both.img");
    assert!(layout.contains(r#""status":"ambiguous""#), "{layout}");
}

#[test]
fn names_that_are_ciphertext_hold_neither_nul_nor_slash() {
    let case = case("encrypted");
    let report = case.hexz.report("diff --base base.img case.overlay --json");
    let name_only = "diff --base base.img case.overlay --name-only";
    let lines = case.hexz.text(name_only);
    let output = case.hexz.run(&format!("{name_only} -z"));
    let names: Vec<&[u8]> = output.stdout.split_inclusive(|b| *b == 0).collect();
    assert_eq!(names.len(), lines.lines().count());
    for (name, line) in names.iter().zip(lines.lines()) {
        assert_eq!(name.strip_suffix(&[0]), Some(line.as_bytes()));
        // There is no file more than three directories below the root.
        assert!(line.split('/').count() <= 5, "{line}");
    }
    for change in &report.changes {
        let file = change.merged.as_ref().or(change.base.as_ref());
        let encrypted = file.is_some_and(|file| file.contains_key("encrypted"));
        let inside = change.path.starts_with("/secret") || change.path.starts_with("/many");
        assert_eq!(
            encrypted,
            inside && change.kind != "fifo",
            "{}",
            change.path
        );
    }
}
