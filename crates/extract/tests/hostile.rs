//! What an image can do to whoever takes files out of it: nothing outside of the folder.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

mod fake;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fake::{Fake, Node, with_disk};
use hexz_extract::{Budget, Extracted, Extractor, Finder, Folder, Name, Options, Problems};
use hexz_resolve::{FileKind, Silent};

struct Done {
    extracted: Extracted,
    left_out: Vec<(String, String)>,
}

/// Extracts the root of `fake` below `target`.
fn extract(fake: Fake, target: &Path, options: Options, budget: &Budget) -> Done {
    let problems = Problems::new();
    let extracted = with_disk(fake, |disk| {
        let found = Finder::new(disk).find(b"/", false, &problems).unwrap();
        let folder = Folder::create(target).unwrap();
        let extractor = Extractor::new(folder, options, budget, &problems, &Silent).unwrap();
        extractor.all(&found.tree, b"/", &found.file.attributes, &[]);
        extractor.finish()
    });
    let (left_out, more) = problems.take_left_out();
    assert_eq!(more, 0);
    assert_eq!(problems.is_complete(), left_out.is_empty());
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    Done {
        extracted,
        left_out: left_out
            .iter()
            .map(|p| (text(&p.path), p.reason.clone()))
            .collect(),
    }
}

fn plenty() -> Budget {
    Budget::new(None, None, 0)
}

/// All paths below a folder, sorted.
fn paths(folder: &Path) -> Vec<String> {
    let mut out = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            }
            let path = entry.path();
            out.push(
                path.strip_prefix(folder)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
    }
    out.sort();
    out
}

#[test]
fn names_that_lead_elsewhere_are_left_out_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let bad = [&b".."[..], b".", b"", b"../up", b"/abs", b"a/b", b"n\0ul"];
    let mut fake = Fake::new();
    for name in bad {
        fake.add(1, name, Node::file(b"evil"));
    }
    fake.add(1, b"good", Node::file(b"fine"));
    fake.add(1, b"\xff\xfe\n", Node::file(b"odd"));
    let target = dir.path().join("out");
    let done = extract(fake, &target, Options::default(), &plenty());
    assert_eq!(done.left_out.len(), bad.len());
    assert_eq!(done.extracted.files, 2);
    assert_eq!(fs::read(target.join("good")).unwrap(), b"fine");
    assert_eq!(paths(dir.path()).len(), 3, "{:?}", paths(dir.path()));
}

#[test]
fn a_link_of_the_image_is_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let mut fake = Fake::new();
    // Two entries of one name: a link to a folder, then a directory with a file.
    fake.add(
        1,
        b"way",
        Node::link(outside.as_os_str().as_encoded_bytes()),
    );
    let way = fake.add(1, b"way", Node::directory());
    fake.add(way, b"file", Node::file(b"evil"));
    fake.add(1, b"x", Node::link(b"../outside/x"));
    fake.add(1, b"x", Node::file(b"evil"));
    for force in [false, true] {
        let target = dir.path().join(format!("out-{force}"));
        let options = Options {
            force,
            ..Options::default()
        };
        extract(fake.clone(), &target, options, &plenty());
        assert!(paths(&outside).is_empty(), "{force}");
    }
}

#[test]
fn what_stands_in_the_folder_is_not_written_through() {
    let dir = tempfile::tempdir().unwrap();
    let (target, outside) = (dir.path().join("out"), dir.path().join("outside"));
    fs::create_dir(&target).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), b"mine").unwrap();
    std::os::unix::fs::symlink(outside.join("precious"), target.join("link")).unwrap();
    std::os::unix::fs::symlink(&outside, target.join("folder")).unwrap();
    fs::write(target.join("there"), b"old").unwrap();
    let mut fake = Fake::new();
    fake.add(1, b"link", Node::file(b"evil"));
    fake.add(1, b"there", Node::file(b"new"));
    let folder = fake.add(1, b"folder", Node::directory());
    fake.add(folder, b"precious", Node::file(b"evil"));

    let done = extract(fake.clone(), &target, Options::default(), &plenty());
    let named: Vec<&str> = done
        .left_out
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(named, ["/folder", "/link", "/there"]);
    assert!(done.left_out.iter().any(|(_, why)| why.contains("--force")));
    assert_eq!(fs::read(target.join("there")).unwrap(), b"old");

    let force = Options {
        force: true,
        ..Options::default()
    };
    let done = extract(fake, &target, force, &plenty());
    assert_eq!(done.left_out, []);
    assert_eq!(fs::read(outside.join("precious")).unwrap(), b"mine");
    assert_eq!(fs::read(target.join("there")).unwrap(), b"new");
    assert_eq!(fs::read(target.join("folder/precious")).unwrap(), b"evil");
}

#[test]
fn directories_that_go_round_in_circles_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new();
    let a = fake.add(1, b"a", Node::directory());
    let b = fake.add(a, b"b", Node::directory());
    fake.link(b, b"again", a);
    fake.link(b, b"root", 1);
    fake.add(b, b"file", Node::file(b"x"));
    let target = dir.path().join("out");
    let done = extract(fake, &target, Options::default(), &plenty());
    assert_eq!(done.left_out.len(), 2);
    assert_eq!(paths(&target), ["a", "a/b", "a/b/file"]);
}

#[test]
fn a_very_deep_tree_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new();
    let mut here = 1;
    for _ in 0..3000 {
        here = fake.add(here, b"d", Node::directory());
    }
    fake.add(here, b"bottom", Node::file(b"x"));
    let target = dir.path().join("out");
    let done = extract(fake, &target, Options::default(), &plenty());
    assert_eq!(done.left_out, []);
    assert_eq!(
        (done.extracted.files, done.extracted.directories),
        (1, 3000)
    );
}

#[test]
fn a_file_of_eight_exbibytes_is_refused_and_the_rest_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new();
    fake.add(1, b"huge", Node::zeros(i64::MAX.unsigned_abs(), false));
    fake.add(1, b"hollow", Node::zeros(u64::MAX, true));
    fake.add(1, b"small", Node::file(b"x"));
    let target = dir.path().join("out");
    let done = extract(fake, &target, Options::default(), &plenty());
    let named: Vec<&str> = done
        .left_out
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(named, ["/hollow", "/huge"]);
    assert!(
        done.left_out[1].1.contains("--max-size"),
        "{:?}",
        done.left_out
    );
    assert_eq!(paths(&target), ["small"]);
}

#[test]
fn a_budget_of_files_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new();
    for n in 0..20 {
        fake.add(1, format!("f{n:02}").as_bytes(), Node::file(b"x"));
    }
    let target = dir.path().join("out");
    let budget = Budget::new(None, Some(5), 0);
    let done = extract(fake, &target, Options::default(), &budget);
    assert_eq!(done.left_out.len(), 15);
    assert!(done.left_out[0].1.contains("--max-files"));
    assert_eq!(paths(&target).len(), 5);
}

#[test]
fn a_file_that_cannot_be_read_whole_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new();
    fake.add(1, b"bad", Node::broken(3 << 20));
    fake.add(1, b"good", Node::file(b"x"));
    fake.add(1, b"nothing", Node::missing());
    let target = dir.path().join("out");
    let done = extract(fake, &target, Options::default(), &plenty());
    let named: Vec<&str> = done
        .left_out
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(named, ["/nothing", "/bad"]);
    assert_eq!(paths(&target), ["good"]);
}

#[test]
fn setuid_owners_and_devices_come_only_when_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new();
    fake.add(1, b"su", Node::file(b"x").mode(0o6755).owner(12345));
    fake.add(1, b"null", Node::device(FileKind::CharDevice, 1 << 32 | 3));
    fake.add(1, b"pipe", Node::kind(FileKind::Fifo));
    let target = dir.path().join("out");
    let done = extract(fake, &target, Options::default(), &plenty());
    assert_eq!(done.left_out, []);
    assert_eq!(done.extracted.special, 2);
    assert_eq!(paths(&target), ["su"]);
    let meta = fs::metadata(target.join("su")).unwrap();
    assert_eq!(meta.mode() & 0o7000, 0);
    assert_ne!(meta.uid(), 12345);
}

#[test]
fn names_of_one_file_are_links() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new();
    let file = fake.add(1, b"b", Node::file(b"shared").links(2));
    let sub = fake.add(1, b"sub", Node::directory());
    fake.link(sub, b"a", file);
    let target = dir.path().join("out");
    let done = extract(fake, &target, Options::default(), &plenty());
    assert_eq!(done.left_out, []);
    let inode = |path: &str| fs::metadata(target.join(path)).unwrap().ino();
    assert_eq!(inode("b"), inode("sub/a"));
}

#[test]
fn a_target_is_a_list_of_names() {
    assert!(Name::path(b"p2/../../x").is_err());
}
