//! Files taken out: folders and archives against what is known of the two disks.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use hexz_acceptance::{Case, cases};
use hexz_testkit::git_apply;
use serde_json::Value;

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

/// Fixtures on which not all files can be read: there the exit status says so.
const DAMAGED: &[&str] = &[
    "cyclic-directory",
    "cyclic-extents",
    "torn-meta",
    "unsupported",
];

/// Whether a tree of the target folder has such a file: no devices without being asked.
fn is_written(record: &Value) -> bool {
    let kind = record["kind"].as_str().expect("a kind");
    ["file", "symlink"].contains(&kind) || is_folder(record)
}

/// Whether it is a folder of the target folder.
fn is_folder(record: &Value) -> bool {
    record["kind"] == "directory" || record["kind"] == "subvolume"
}

fn text<'v>(record: &'v Value, key: &str) -> &'v str {
    record[key].as_str().unwrap_or_default()
}

/// `VOLUME/PATH`, as below the target folder.
fn below(record: &Value, key: &str) -> String {
    format!("{}{}", text(record, "volume"), text(record, key))
}

/// Every path below a folder that is no directory on both sides, with its content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut todo: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        let Ok(entries) = fs::read_dir(&next) else {
            continue;
        };
        for entry in entries.map(|entry| entry.expect("an entry")) {
            let path = entry.path();
            let kind = entry.file_type().expect("a type");
            let content = if kind.is_dir() {
                todo.push(path.clone());
                b"directory".to_vec()
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).expect("a link");
                [b"link ", target.as_os_str().as_encoded_bytes()].concat()
            } else {
                [&b"file "[..], &fs::read(&path).expect("a file")].concat()
            };
            let path = path.strip_prefix(folder).expect("below");
            out.insert(path.to_str().expect("Unicode").to_owned(), content);
        }
    }
    out
}

/// What `diff -r` would tell of the two folders: paths on one side, and files that differ.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    before: BTreeSet<String>,
    after: BTreeSet<String>,
    differ: BTreeSet<String>,
}

fn told(folder: &Path) -> Told {
    let (before, after) = (files(&folder.join("before")), files(&folder.join("after")));
    let only = |these: &BTreeMap<String, Vec<u8>>, those: &BTreeMap<String, Vec<u8>>| {
        let only = these.keys().filter(|path| !those.contains_key(*path));
        only.cloned().collect::<BTreeSet<String>>()
    };
    Told {
        before: only(&before, &after),
        after: only(&after, &before),
        differ: before
            .iter()
            .filter(|(path, content)| after.get(*path).is_some_and(|other| other != *content))
            .map(|(path, _)| path.clone())
            .collect(),
    }
}

/// The same, as the truth has it.
fn expected(records: &[Value]) -> Told {
    let mut out = Told::default();
    let renamed: Vec<String> = records
        .iter()
        .filter(|r| text(r, "change") == "renamed" && is_folder(r))
        .map(|r| below(r, "path") + "/")
        .collect();
    // Of a filesystem that came or went, the root is the folder of the volume.
    let inner = |r: &&Value| is_written(r) && r["path"] != "/";
    for record in records.iter().filter(inner) {
        let path = below(record, "path");
        match text(record, "change") {
            "added" => drop(out.after.insert(path)),
            "deleted" => drop(out.before.insert(path)),
            "renamed" => {
                out.after.insert(path);
                out.before.insert(below(record, "from"));
            }
            "modified" if !is_folder(record) => {
                if renamed.iter().any(|above| path.starts_with(above)) {
                    // It has another path in each of the folders, below two that are named.
                    continue;
                }
                let links = record["links"].as_array().cloned().unwrap_or_default();
                out.differ.extend(
                    links.iter().map(|link| {
                        format!("{}{}", text(record, "volume"), link.as_str().unwrap())
                    }),
                );
                out.differ.insert(path);
            }
            "type" => drop(out.differ.insert(path)),
            _ => {}
        }
    }
    out
}

/// Paths that the two folders have because of others: directories above.
fn without_parents(mut told: Told, expected: &Told) -> Told {
    let named: Vec<&String> = (expected.before.iter())
        .chain(&expected.after)
        .chain(&expected.differ)
        .collect();
    let above = |path: &String| {
        let start = format!("{path}/");
        named.iter().any(|other| other.starts_with(&start)) && !named.contains(&path)
    };
    told.before.retain(|path| !above(path));
    told.after.retain(|path| !above(path));
    told
}

/// Of what is on one side, whatever has nothing above it there: `diff -r` looks no deeper.
fn topmost(mut told: Told) -> Told {
    for side in [&mut told.before, &mut told.after] {
        let all = side.clone();
        side.retain(|path| {
            let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
            !above.any(|above| all.contains(above))
        });
    }
    told
}

#[test]
fn two_folders_differ_where_the_truth_says() {
    let mut compared = 0;
    for name in cases() {
        if DAMAGED.contains(&name.as_str()) {
            continue;
        }
        let case = Case::new(HEXZ, &name);
        let line = "diff --extract out --both --base base.img case.overlay";
        let output = case.hexz.run(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{name}: {errors}");
        let truth = case.records("expected.jsonl");
        let expected = expected(&truth);
        let told = without_parents(told(&case.dir().join("out")), &expected);
        let (told, expected) = (topmost(told), topmost(expected));
        assert_eq!(told, expected, "{name}");
        let report = fs::read_to_string(case.dir().join("out/changes.jsonl")).unwrap();
        let parsed = hexz_acceptance::schema::Report::parse(&report);
        assert_eq!(parsed.changes.is_empty(), truth.is_empty(), "{name}");
        compared += expected.differ.len() + expected.before.len() + expected.after.len();
    }
    assert!(compared > 400, "only {compared} paths were compared");
}

/// What an archive holds: types and contents by path.
fn entries(archive: &[u8]) -> BTreeMap<String, (tar::EntryType, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let mut out = BTreeMap::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("Unicode");
        let kind = entry.header().entry_type();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("its content");
        let path = path.trim_end_matches('/');
        let path = if path == "." { "" } else { path };
        let again = out.insert(format!("/{path}"), (kind, content));
        assert!(again.is_none(), "{path} is there twice");
    }
    out
}

#[test]
fn a_layer_holds_what_the_truth_says() {
    let mut compared = 0;
    for name in cases() {
        if DAMAGED.contains(&name.as_str()) {
            continue;
        }
        let case = Case::new(HEXZ, &name);
        if case
            .diff("")
            .volumes
            .windows(2)
            .any(|w| w[0].volume == w[1].volume)
        {
            // The partition moved, so it is one volume before and another one after.
            continue;
        }
        let truth = case.records("expected.jsonl");
        let volumes: BTreeSet<&str> = truth.iter().map(|r| text(r, "volume")).collect();
        for volume in volumes {
            let line = format!("diff --oci-layer - --volume {volume} --base base.img case.overlay");
            let archive = case.hexz.run(&line).stdout;
            let single = case.hexz.run(&format!("{line} --threads 1")).stdout;
            assert!(archive == single, "{name}: equal input, other bytes");
            let entries = entries(&archive);
            let gone: BTreeSet<&str> = truth
                .iter()
                .filter_map(|r| match text(r, "change") {
                    "deleted" => r["path"].as_str(),
                    "renamed" => r["from"].as_str(),
                    _ => None,
                })
                .collect();
            for record in truth.iter().filter(|r| text(r, "volume") == volume) {
                let (path, change) = (text(record, "path"), text(record, "change"));
                let held = ["mode", "uid", "gid", "mtime", "rdev", "xattr"];
                let attributes = record["attributes"].as_array().cloned().unwrap_or_default();
                let shows = change != "metadata"
                    || record["replaced"] == true
                    || attributes
                        .iter()
                        .any(|a| held.contains(&a.as_str().unwrap()));
                if change != "deleted" && record["kind"] != "socket" && shows {
                    assert!(
                        entries.contains_key(path),
                        "{name}: {change} {path} is missing"
                    );
                }
                compared += 1;
            }
            // The root of an overlayfs hides nothing, so a mark there would not be obeyed.
            assert!(!entries.contains_key("/.wh..wh..opq"), "{name}");
            for path in gone {
                let (above, last) = path.rsplit_once('/').expect("a path");
                let mark = format!("{above}/.wh.{last}");
                let opaque = |above: &str| {
                    let above = above.trim_end_matches('/');
                    !above.is_empty() && entries.contains_key(&format!("{above}/.wh..wh..opq"))
                };
                let hidden = entries.contains_key(&mark)
                    || entries.contains_key(path)
                    || !entries.contains_key(if above.is_empty() { "/" } else { above })
                    || Path::new(above)
                        .ancestors()
                        .any(|a| opaque(a.to_str().expect("Unicode")));
                assert!(hidden, "{name}: {path} is not marked as gone");
            }
        }
    }
    assert!(compared > 500, "only {compared} changes were compared");
}

#[test]
fn git_takes_a_patch_and_gives_the_files_after() {
    let mut compared = 0;
    for name in [
        "blocks-1k",
        "btrfs-mixed",
        "exfat",
        "fat32",
        "hard-links",
        "htree",
        "ntfs-plain",
        "renames",
        "xfs-v4",
    ] {
        let case = Case::new(HEXZ, name);
        fs::write(case.dir().join("merged.img"), case.merged()).expect("a temporary folder");
        for (image, folder) in [("base.img", "before"), ("merged.img", "after")] {
            let line = format!("extract {image} / --to {folder}");
            assert!(case.hexz.run(&line).status.success(), "{name}: {line}");
        }
        let patch = case.hexz.run("diff --patch --base base.img case.overlay");
        assert_eq!(patch.status.code(), Some(0), "{name}");
        let [before, after] = ["before", "after"].map(|folder| case.dir().join(folder));
        let paths = git_apply(&patch.stdout, &before);
        let paths = paths.unwrap_or_else(|error| panic!("{name}: {error}"));
        let (patched, merged) = (files(&before), files(&after));
        for path in &paths {
            let path = path.to_str().expect("Unicode");
            assert_eq!(patched.get(path), merged.get(path), "{name}: {path}");
        }
        compared += paths.len();
    }
    assert!(compared > 50, "only {compared} files were compared");
}

#[test]
fn listing_names_every_file_and_cat_gives_its_bytes() {
    let case = Case::new(HEXZ, "hard-links");
    let list = case.hexz.text("ls -R -0 base.img");
    let json = case.hexz.text("ls -R --json base.img");
    assert_eq!(list.split_terminator('\0').count(), json.lines().count());
    let mut files = 0;
    assert!(
        case.hexz
            .run("extract base.img / --to out")
            .status
            .success()
    );
    for line in json.lines() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        if entry["attributes"]["kind"] == "file" {
            let path = text(&entry, "path");
            let bytes = case.hexz.run(&format!("cat base.img {path}")).stdout;
            let written = fs::read(case.dir().join("out").join(&path[1..])).expect("a file");
            assert_eq!(bytes, written, "{path}");
            files += 1;
        }
    }
    assert!(files > 0);
}

#[test]
fn a_target_that_is_there_is_an_error_without_force() {
    let case = Case::new(HEXZ, "renames");
    let line = "diff --base base.img case.overlay";
    for what in ["--extract out", "--tar layer.tar"] {
        let run = |more: &str| case.hexz.run(&format!("{line} {what} {more}"));
        assert_eq!(run("").status.code(), Some(0), "{what}");
        let again = run("");
        assert_eq!(again.status.code(), Some(2), "{what}");
        let errors = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(errors.contains("--force"), "{errors}");
        assert_eq!(run("--force").status.code(), Some(0), "{what}");
    }
}

#[test]
fn a_digest_is_that_of_the_file_and_the_diff_id_that_of_what_is_in_it() {
    use sha2::{Digest as _, Sha256};
    let hex = |bytes: &[u8]| -> String {
        let digest = Sha256::digest(bytes);
        digest.iter().map(|b| format!("{b:02x}")).collect()
    };
    let case = Case::new(HEXZ, "renames");
    let run = |name: &str| {
        let line = format!("diff --oci-layer {name} --base base.img case.overlay");
        let output = case.hexz.run(&line);
        assert_eq!(output.status.code(), Some(0));
        let said = String::from_utf8(output.stderr).expect("text");
        (fs::read(case.dir().join(name)).expect("a file"), said)
    };
    let (plain, said) = run("layer.tar");
    assert!(
        said.contains(&format!("digest sha256:{}", hex(&plain))),
        "{said}"
    );
    for name in ["layer.tar.gz", "layer.tar.zst"] {
        let (packed, said) = run(name);
        assert!(
            said.contains(&format!("digest sha256:{}", hex(&packed))),
            "{said}"
        );
        assert!(
            said.contains(&format!("diff ID sha256:{}", hex(&plain))),
            "{said}"
        );
        assert!(packed.len() < plain.len());
    }
}

#[test]
fn a_stream_of_ntfs_is_named_behind_its_file() {
    let case = Case::new(HEXZ, "ntfs-plain");
    let json = case.hexz.text("ls -R --json base.img");
    let mut streams = 0;
    for line in json.lines() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        let names = entry["attributes"]["xattrs"].as_array().cloned();
        for name in names.unwrap_or_default() {
            let Some(stream) = name.as_str().and_then(|n| n.strip_prefix("stream:")) else {
                continue;
            };
            let path = text(&entry, "path");
            if path.contains('$') {
                continue;
            }
            let output = case.hexz.run(&format!("cat base.img {path}:{stream}"));
            assert!(output.status.success(), "{path}:{stream}");
            streams += 1;
        }
    }
    assert!(streams > 0, "the fixture has a file with a named stream");
}
