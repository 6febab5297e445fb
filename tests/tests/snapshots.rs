//! A logical volume and its snapshot on one disk, as the kernel shows both.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hexz_acceptance::Hexz;
use hexz_acceptance::schema::Report;
use hexz_testkit::{decompress, fixtures_dir};
use tempfile::TempDir;

fn unpacked() -> (TempDir, Hexz) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let disk = decompress(&fixtures_dir().join("snapshots/disk.img.zst"));
    fs::write(dir.path().join("disk.img"), disk).expect("written");
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    (dir, hexz)
}

/// Sums of files by their paths.
fn list(name: &str) -> BTreeMap<String, String> {
    let path = fixtures_dir().join("snapshots").join(name);
    let text = fs::read_to_string(path).expect("a list");
    let pairs = text.lines().filter_map(|line| line.split_once("  "));
    pairs
        .map(|(sum, path)| (path.to_owned(), sum.to_owned()))
        .collect()
}

/// What of the paths `before` and `after` have differs: that one or both have it, and which.
fn differing(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<(String, char)> {
    let mut all = Vec::new();
    for path in before.keys().chain(after.keys()) {
        all.push(match (before.get(path), after.get(path)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(_), Some(_)) => (path.clone(), 'M'),
            (Some(_), None) => (path.clone(), 'D'),
            (None, _) => (path.clone(), 'A'),
        });
    }
    all.sort();
    all.dedup();
    all
}

/// The same of a report, in which a renamed file went from one path and came to another.
fn told(report: &Report) -> Vec<(String, char)> {
    let mut all = Vec::new();
    for change in report.changes.iter().filter(|c| c.kind == "file") {
        match (change.change.as_str(), &change.from) {
            ("renamed", Some(from)) => {
                all.push((from.clone(), 'D'));
                all.push((change.path.clone(), 'A'));
            }
            ("added", _) => all.push((change.path.clone(), 'A')),
            ("deleted", _) => all.push((change.path.clone(), 'D')),
            ("modified", _) if change.content_changed => all.push((change.path.clone(), 'M')),
            _ => {}
        }
    }
    all.sort();
    all
}

#[test]
fn a_snapshot_is_a_change_of_its_origin() {
    let (dir, hexz) = unpacked();
    let report = hexz.report("diff --files --json disk.img --volume vg/snap");
    assert!(report.summary.complete);
    assert_eq!(
        told(&report),
        differing(&list("root.list"), &list("snap.list"))
    );
    assert_eq!(report.header.block_size, 4096);
    // More than one area of exceptions.
    assert!(report.header.blocks > 256, "{}", report.header.blocks);
    assert_eq!(report.header.overlay.as_deref(), Some("disk.img vg/snap"));
    let names: Vec<&str> = report.volumes.iter().map(|v| v.volume.as_str()).collect();
    assert_eq!(names, ["vg/root"]);
    assert!(
        report
            .diagnostics
            .iter()
            .any(|d| d.code == "snapshot-and-origin")
    );

    // The same two devices in files of their own.
    cut(&hexz, dir.path());
    let apart = hexz.report("diff --files --json store.cow --base root.img");
    assert_eq!(told(&apart), told(&report));
    assert_eq!(apart.summary.changed, report.summary.changed);
    assert_eq!(apart.summary.bytes, report.summary.bytes);
}

/// Writes the origin and the store of the snapshot to files.
fn cut(hexz: &Hexz, dir: &Path) {
    let layout = hexz.text("layout --json disk.img");
    let records = layout
        .lines()
        .map(serde_json::from_str::<serde_json::Value>);
    let records: Vec<_> = records.map(|record| record.expect("JSON")).collect();
    let disk = fs::read(dir.join("disk.img")).expect("a disk");
    for (name, file) in [("vg/root", "root.img"), ("vg/snap", "store.cow")] {
        let volume = records
            .iter()
            .find(|r| r["type"] == "volume" && r["volume"] == name);
        let volume = volume.expect("a volume");
        let number = |key: &str| volume[key].as_u64().expect("a number");
        let at = |n: u64| usize::try_from(n).expect("a small disk");
        let (start, length) = (number("start"), number("length"));
        let bytes = &disk[at(start)..at(start + length)];
        fs::write(dir.join(file), bytes).expect("written");
    }
}

#[test]
fn a_store_needs_its_origin_and_a_valid_one_at_that() {
    let (dir, hexz) = unpacked();
    cut(&hexz, dir.path());
    let refused = |line: &str, says: &str| {
        let output = hexz.run(line);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(text.contains(says), "{line}: {text}");
    };
    refused("diff --files store.cow", "give its origin");
    let mut store = fs::read(dir.path().join("store.cow")).expect("a store");
    store[4] = 0;
    fs::write(dir.path().join("full.cow"), &store).expect("written");
    refused("diff --files full.cow --base root.img", "ran full");
    // An exception that leads nowhere: what it was for may be missing.
    store[4] = 1;
    store[4096 + 8..4096 + 16].fill(0xFF);
    fs::write(dir.path().join("torn.cow"), &store).expect("written");
    let report = hexz.report("diff --files --json torn.cow --base root.img");
    assert!(
        report
            .diagnostics
            .iter()
            .any(|d| d.code == "snapshot-store-damaged")
    );
    assert!(!report.summary.complete);
}
