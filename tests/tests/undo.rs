//! Undo files of e2fsprogs give the disk before: the report is that of the two disks.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::fs;

use hexz_acceptance::Hexz;
use hexz_testkit::{decompress, fixtures_dir};
use tempfile::TempDir;

const TOOLS: [&str; 5] = ["debugfs", "tune2fs", "resize2fs", "mke2fs", "e2fsck"];

fn unpacked() -> (TempDir, Hexz) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = fixtures_dir().join("undo");
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|of| of == "zst") {
            let name = path.file_stem().expect("a name");
            fs::write(dir.path().join(name), decompress(&path)).expect("written");
        }
    }
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    (dir, hexz)
}

#[test]
fn the_disk_before_is_the_one_that_the_tool_found() {
    let (_dir, hexz) = unpacked();
    for tool in TOOLS {
        let told = |line: &str| -> Vec<String> {
            let text = hexz.text(&format!("diff --files --json {line}"));
            let kept = |line: &&str| {
                ["change", "volume"]
                    .iter()
                    .any(|kind| line.contains(&format!(r#""type":"{kind}""#)))
            };
            text.lines().filter(kept).map(str::to_owned).collect()
        };
        let disks = told(&format!("{tool}.before {tool}.after"));
        let undone = told(&format!("--changes {tool}.e2undo --merged {tool}.after"));
        assert!(!disks.is_empty(), "{tool}");
        assert_eq!(undone, disks, "{tool}");
        // With the disk before given as well it is a list of blocks like any other.
        let line = format!("--changes {tool}.e2undo --base {tool}.before --merged {tool}.after");
        assert_eq!(told(&line), disks, "{tool}");
        let alone = hexz.report(&format!(
            "diff --files --json --changes {tool}.e2undo --base {tool}.before"
        ));
        assert!(
            alone.changes.is_empty() && !alone.owners.is_empty(),
            "{tool}"
        );
    }
}

#[test]
fn an_undo_file_that_is_given_as_an_overlay_is_known() {
    let (_dir, hexz) = unpacked();
    let line = "--changes tune2fs.e2undo --merged";
    for wrong in ["tune2fs.e2undo", "tune2fs.e2undo --base tune2fs.before"] {
        let output = hexz.run(&format!("diff --files {wrong}"));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(text.contains(line), "{wrong}: {text}");
    }
    let output = hexz.run("diff --files --changes tune2fs.e2undo");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("--merged IMAGE"), "{text}");
}

#[test]
fn blocks_of_another_time_or_place_are_refused() {
    let (dir, hexz) = unpacked();
    let refused = |line: &str, says: &str| {
        let output = hexz.run(&format!("diff --files {line}"));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(text.contains(says), "{line}: {text}");
    };
    refused(
        "--changes debugfs.e2undo --merged debugfs.before",
        "written to since",
    );
    refused(
        "--changes debugfs.e2undo --merged mke2fs.after",
        "another filesystem",
    );
    refused("--changes offset.e2undo --merged debugfs.after", "offset");
    let file = dir.path().join("debugfs.e2undo");
    let whole = fs::read(&file).expect("a file");
    let mut header = whole.clone();
    header[9] ^= 1;
    fs::write(&file, header).expect("written");
    refused(
        "--changes debugfs.e2undo --merged debugfs.after",
        "checksum",
    );
    // A damaged block is left out, and said.
    let mut damaged = whole;
    *damaged.last_mut().expect("bytes") ^= 1;
    fs::write(&file, damaged).expect("written");
    let report = hexz.report("diff --files --json --changes debugfs.e2undo --merged debugfs.after");
    assert!(report.diagnostics.iter().any(|d| d.code == "undo-damaged"));
    assert_eq!(report.header.precision.as_deref(), Some("may-miss"));
    assert!(!report.summary.complete);
}

/// Images of e2image, of metadata alone or of all that is in use, are qcow2.
#[test]
fn images_of_e2image_are_disks() {
    let (_dir, hexz) = unpacked();
    let told = |line: &str| {
        let report = hexz.report(&format!("diff --files --json {line}"));
        let all = report.changes.iter();
        all.map(|c| (c.change.clone(), c.path.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("debugfs.after data.qcow2"), []);
    assert_eq!(
        told("debugfs.before data.qcow2"),
        told("debugfs.before debugfs.after")
    );
    let listed = |image: &str| hexz.text(&format!("ls -l -R {image}"));
    assert_eq!(listed("metadata.qcow2"), listed("debugfs.after"));
}
