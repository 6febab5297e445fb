//! Archives of directories and write layers of hexz 0.8, against the folders that they hold.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeMap;
use std::fs;

use hexz_acceptance::schema::Report;
use hexz_acceptance::{Hexz, without_cost};
use hexz_testkit::{decompress, fixtures_dir};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

fn unpacked() -> (TempDir, Hexz) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = fixtures_dir().join("directories");
    for entry in fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        fs::copy(&path, dir.path().join(name)).expect("copied");
    }
    let layers = decompress(&folder.join("layers.tar.zst"));
    let mut layers = tar::Archive::new(layers.as_slice());
    layers.unpack(dir.path()).expect("unpacked");
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    (dir, hexz)
}

/// A file of a list: mode, size and sum.
type Listed = (String, String);

fn list(name: &str) -> BTreeMap<String, Listed> {
    let path = fixtures_dir().join("directories").join(name);
    let text = fs::read_to_string(path).expect("a list");
    let lines = text.lines().map(|line| {
        let fields: Vec<&str> = line.splitn(4, ' ').collect();
        let [mode, size, sum, path] = fields[..] else {
            panic!("{line}");
        };
        (path.to_owned(), (mode.to_owned(), format!("{size} {sum}")))
    });
    lines.collect()
}

/// What differs between two lists: paths that came, went, have other bytes, or other modes alone.
fn differing(
    before: &BTreeMap<String, Listed>,
    after: &BTreeMap<String, Listed>,
    modes: bool,
) -> BTreeMap<String, &'static str> {
    let mut all = BTreeMap::new();
    for path in before.keys().chain(after.keys()) {
        let change = match (before.get(path), after.get(path)) {
            (Some(_), None) => "deleted",
            (None, _) => "added",
            (Some((_, a)), Some((_, b))) if a != b => "modified",
            (Some((a, _)), Some((b, _))) if modes && a != b => "metadata",
            _ => continue,
        };
        all.insert(path.clone(), change);
    }
    all
}

fn told(report: &Report) -> BTreeMap<String, &str> {
    let files = report.changes.iter().filter(|c| c.kind != "directory");
    files
        .map(|change| (change.path.clone(), change.change.as_str()))
        .collect()
}

#[test]
fn files_of_an_archive_are_those_of_the_directory() {
    let (dir, hexz) = unpacked();
    for (archive, of) in [
        ("before.hxz", "before.list"),
        ("after.hxz", "after.list"),
        ("thin.hxz", "after.list"),
    ] {
        let folder = dir.path().join(format!("{archive}.files"));
        let output = hexz.run(&format!("extract {archive} / --to {archive}.files"));
        assert!(output.status.success(), "{output:?}");
        for (path, (_, sum)) in list(of) {
            let bytes = fs::read(folder.join(&path[1..])).expect("a file");
            let found = Sha256::digest(&bytes);
            let found: String = found.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(format!("{} {found}", bytes.len()), sum, "{archive} {path}");
        }
    }
    let listed = hexz.text("ls -R --json before.hxz");
    for path in list("before.list").keys() {
        let name = path.replace('"', "\\\"");
        assert!(listed.contains(&format!("\"{name}\"")), "{path}: {listed}");
    }
    // Nothing at all, and nothing but a memory.
    assert_eq!(hexz.text("ls void.hxz"), "");
    assert_eq!(hexz.text("ls memory.hxz"), "memory\n");
    let memory = hexz.run("cat memory.hxz /memory").stdout;
    assert_eq!(
        memory,
        fs::read(dir.path().join("before.hxz.files/memory")).expect("a file")
    );
}

#[test]
fn two_archives_are_compared_by_their_files() {
    let (_dir, hexz) = unpacked();
    let expected = differing(&list("before.list"), &list("after.list"), true);
    for after in ["after.hxz", "thin.hxz"] {
        let report = hexz.report(&format!("diff --files --json before.hxz {after}"));
        assert_eq!(told(&report), expected, "{after}");
        let back = hexz.report(&format!("diff --files --json {after} before.hxz"));
        assert_eq!(told(&back).len(), expected.len(), "{after}");
    }
    for line in [
        "before.hxz before.hxz",
        "after.hxz thin.hxz",
        "void.hxz void.hxz",
    ] {
        let report = hexz.report(&format!("diff --files --json {line}"));
        assert_eq!(
            (report.changes.len(), report.summary.changed),
            (0, 0),
            "{line}"
        );
    }
    let gone = hexz.report("diff --files --json before.hxz void.hxz");
    let deleted = gone.changes.iter().filter(|c| c.change == "deleted");
    assert!(deleted.count() > list("before.list").len());
    let output = hexz.run("diff --files before.hxz disk.hxz");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(2) && text.contains("of a directory"),
        "{text}"
    );
}

/// Blocks with one hash in both archives are not read: with all stored bytes damaged that the file
/// of one block before them has, nothing of the report is lost.
#[test]
fn what_both_have_is_not_read() {
    let (dir, hexz) = unpacked();
    let whole = hexz.report("diff --files --json before.hxz after.hxz");
    // What `sub/"ü` has: a block of its own in each archive.
    for name in ["before.hxz", "after.hxz"] {
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).expect("an archive");
        let found: Vec<usize> = bytes
            .windows(6)
            .enumerate()
            .filter(|(_, window)| *window == b"umlaut")
            .map(|(at, _)| at)
            .collect();
        let [at] = found[..] else {
            panic!("{name}: {found:?}");
        };
        bytes[at] ^= 0xFF;
        fs::write(&path, bytes).expect("written");
    }
    let damaged = hexz.run("cat before.hxz /sub/\"ü");
    assert!(!damaged.status.success(), "it is damaged");
    let report = hexz.report("diff --files --json before.hxz after.hxz");
    assert!(report.summary.complete);
    assert_eq!(told(&report), told(&whole));
}

#[test]
fn a_write_layer_is_what_its_mount_shows() {
    let (dir, hexz) = unpacked();
    // The mount lets all write, and says so in its modes: those are not compared.
    let mut before = list("before.list");
    before.remove("/memory");
    let mut expected = differing(&before, &list("layer.list"), false);
    expected.insert("/nothing".into(), "metadata");
    let report = hexz.report("diff --files --json layer --base before.hxz");
    assert!(report.summary.complete, "{:?}", report.diagnostics);
    assert_eq!(told(&report), expected);
    // A name that is marked is not there, whatever the archive or the layer has below it.
    fs::create_dir(dir.path().join("layer/sub/.hexz_whiteout")).expect("a folder");
    fs::write(dir.path().join("layer/sub/.hexz_whiteout/deep"), "").expect("written");
    let report = hexz.report("diff --files --json layer --base before.hxz");
    assert_eq!(told(&report).get("/sub/deep/small"), Some(&"deleted"));
    assert_eq!(told(&report).len(), expected.len() + 1);
    // Of a link that leads out of the layer only the target is read.
    std::os::unix::fs::symlink("/etc", dir.path().join("layer/etc")).expect("a link");
    let report = hexz.report("diff --files --json layer --base before.hxz");
    let links = report.changes.iter().filter(|c| c.kind == "symlink");
    assert_eq!(links.count(), 2);
    assert!(!report.changes.iter().any(|c| c.path.starts_with("/etc/")));
}

#[test]
fn a_write_layer_over_a_disk_holds_its_disk() {
    let (dir, hexz) = unpacked();
    let report = hexz.report("diff --files --json disk.layer --base disk.hxz");
    assert_eq!((report.header.blocks, report.summary.changed), (1, 7));
    // Nothing was opened yet.
    fs::create_dir(dir.path().join("fresh")).expect("a folder");
    let report = hexz.report("diff --files --json fresh --base disk.hxz");
    assert_eq!(report.header.blocks, 0);
    let report = hexz.report("diff --files --json fresh --base before.hxz");
    assert!(report.changes.is_empty());
}

#[test]
fn any_other_folder_is_an_error() {
    let (dir, hexz) = unpacked();
    let refused = |line: &str, says: &str| {
        let output = hexz.run(line);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(text.contains(says), "{line}: {text}");
    };
    refused("diff --files layer", "--base ARCHIVE");
    refused("diff layer", "--base ARCHIVE");
    refused(
        "diff --files layer --base disk.hxz",
        "no write layer of hexz over",
    );
    fs::write(dir.path().join("raw.img"), vec![0; 8192]).expect("written");
    refused(
        "diff --files layer --base raw.img",
        "no write layer of hexz over",
    );
    fs::create_dir_all(dir.path().join("gone/.hexz_whiteout")).expect("a folder");
    fs::write(dir.path().join("gone/.hexz_whiteout/main"), "").expect("written");
    refused("diff --files gone --base disk.hxz", "was deleted");
    // Nor is an archive of a directory the disk that an overlay or a list is of.
    fs::write(dir.path().join("x.overlay"), vec![1; 4096]).expect("written");
    fs::write(dir.path().join("x.meta"), 0u64.to_le_bytes()).expect("written");
    fs::write(dir.path().join("blocks"), "0\n").expect("written");
    refused("diff --files x.overlay --base before.hxz", "of a directory");
    refused(
        "diff --files --changes blocks --base before.hxz",
        "of a directory",
    );
}

#[test]
fn an_archive_by_itself_is_a_change_over_its_parent() {
    let (dir, hexz) = unpacked();
    let named = hexz.report("diff --files --json before.hxz thin.hxz");
    let alone = hexz.report("diff --files --json thin.hxz");
    assert!(!alone.changes.is_empty());
    assert_eq!(told(&alone), told(&named));
    let based = hexz.report("diff --files --json thin.hxz --base before.hxz");
    assert_eq!(told(&based), told(&named));
    let counted = hexz.text("diff thin.hxz");
    assert!(counted.contains("Modified Blocks: "), "{counted}");
    let refused = |line: &str, says: &str| {
        let output = hexz.run(line);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(text.contains(says), "{line}: {text}");
    };
    for line in ["diff --files after.hxz", "diff disk.hxz"] {
        refused(line, "stands on no other");
    }
    fs::write(dir.path().join("raw.img"), vec![0; 8192]).expect("written");
    refused("diff --files disk.hxz --base raw.img", "no overlay");
    refused("diff --files thin.hxz --snapshot one", "qcow2");
    // An index of that name is of another file.
    fs::write(dir.path().join("thin.meta"), 0u64.to_le_bytes()).expect("written");
    assert_eq!(
        told(&hexz.report("diff --files --json thin.hxz")),
        told(&named)
    );
    // The parent is opened where it may be, and not elsewhere.
    fs::create_dir(dir.path().join("apart")).expect("a folder");
    fs::rename(
        dir.path().join("thin.hxz"),
        dir.path().join("apart/thin.hxz"),
    )
    .expect("moved");
    refused("diff --files apart/thin.hxz", "before.hxz");
    let allowed = hexz.report("diff --files --json apart/thin.hxz --allow-backing .");
    assert_eq!(told(&allowed), told(&named));
}

#[test]
fn many_write_layers_are_compared_with_their_archive() {
    let (dir, hexz) = unpacked();
    let fleet = dir.path().join("fleet");
    fs::create_dir_all(fleet.join("idle")).expect("a folder");
    fs::rename(dir.path().join("layer"), fleet.join("layer")).expect("moved");
    fs::write(fleet.join("notes.txt"), "of no overlay").expect("written");
    let output = hexz.run("diff --base before.hxz --overlays fleet --to reports");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("1 other files have no .meta"), "{told}");
    for layer in ["idle", "layer"] {
        let alone = hexz.text(&format!(
            "diff --files --json --base before.hxz fleet/{layer}"
        ));
        let report = dir.path().join(format!("reports/{layer}.jsonl"));
        let together = fs::read_to_string(report).expect("a report");
        assert_eq!(without_cost(&together), without_cost(&alone));
    }
    // A folder that is no write layer of a disk is an error, and an overlay lies on a disk.
    let output = hexz.run("diff --base disk.hxz --overlays fleet");
    let text = String::from_utf8_lossy(&output.stdout);
    let error = r#"{"type":"overlay-error","overlay":"fleet/layer""#;
    assert!(text.contains(error), "{text}");
    assert_eq!(output.status.code(), Some(2));
    fs::write(fleet.join("x.overlay"), vec![1; 4096]).expect("written");
    fs::write(fleet.join("x.meta"), 0u64.to_le_bytes()).expect("written");
    let output = hexz.run("diff --base before.hxz --overlays fleet");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("of a directory"), "{told}");
    assert_eq!(output.status.code(), Some(2));
}
