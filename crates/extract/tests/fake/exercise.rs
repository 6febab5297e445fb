//! A tree made of random bytes, taken out in every way; what must hold is asserted.
#![allow(clippy::disallowed_methods)] // It makes a folder to write in.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use hexz_extract::{
    Budget, Extractor, Finder, Folder, LayerOptions, Options, Problems, Views, write_layer,
};
use hexz_resolve::report::{Change, ChangeKind};
use hexz_resolve::{Attributes, FileKind, RawName, Silent, Timestamp, Xattr};

use super::fake::{Fake, Node, with_disk};

/// Names that were trouble somewhere.
const NAMES: [&[u8]; 12] = [
    b"..",
    b".",
    b"",
    b"a",
    b"A",
    b"a/b",
    b"/x",
    b"n\0l",
    b".wh.a",
    b".wh..wh..opq",
    b"\xff",
    b"l",
];
const TARGETS: [&[u8]; 5] = [b"..", b"/", b"../outside", b"a", b""];

/// Makes a tree of `data`.
fn tree(data: &[u8]) -> Fake {
    let mut fake = Fake::new();
    let mut numbers = vec![1];
    for step in data.chunks_exact(6).take(200) {
        let [kind, parent, name, extra, more, other] = *step else {
            continue;
        };
        let at = |index: u8| numbers[usize::from(index) % numbers.len()];
        let long = vec![b'x'; usize::from(more)];
        let name = match name % 16 {
            n @ 0..12 => NAMES[usize::from(n)],
            12 => &long,
            _ => &step[3..],
        };
        if kind % 8 == 0 {
            fake.link(at(parent), name, at(other));
            continue;
        }
        let target = TARGETS[usize::from(extra) % TARGETS.len()];
        let mut node = match kind % 8 {
            1 | 2 => Node::directory(),
            3 => Node::link(target),
            4 => Node::device(FileKind::CharDevice, u64::from(extra) << 35 | 1),
            5 => Node::zeros(u64::from(extra) << 50, more % 2 == 0),
            6 => Node::broken(u64::from(more) + 1),
            _ => Node::file(&long),
        };
        node.change(|a| {
            a.nlink = Some(u64::from(other % 3));
            a.mode = Some(u32::from(extra) << 4 & 0o7777);
            a.uid = Some(u32::from(more) << 24);
            a.mtime = Some(Timestamp {
                seconds: i64::from(extra) << 56,
                nanoseconds: u32::from(other) << 24,
            });
            a.xattrs = vec![Xattr {
                name: RawName::from(&[b"user.", name].concat()),
                value: target.into(),
            }];
        });
        numbers.push(fake.add(at(parent), name, node));
    }
    fake
}

/// Takes the tree out, into a folder and into an archive.
pub(crate) fn exercise(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).expect("a folder");
    let archive = with_disk(tree(data), |disk| {
        let problems = Problems::new();
        let found = Finder::new(disk)
            .find(b"/", false, &problems)
            .expect("a root");
        for force in [false, true] {
            let budget = Budget::new(Some(1 << 20), Some(500), 0);
            let folder = Folder::create(&dir.path().join("in")).expect("a folder");
            let options = Options {
                force,
                ..Options::default()
            };
            let extractor = Extractor::new(folder, options, &budget, &problems, &Silent);
            let extractor = extractor.expect("a folder that can be written to");
            extractor.all(&found.tree, b"/", &found.file.attributes, &[]);
            let _ = extractor.finish();
        }
        let root = found.file.attributes;
        let change = added(root);
        let options = LayerOptions {
            sparse: data.len().is_multiple_of(2),
            budget: &Budget::new(Some(1 << 20), Some(500), 0),
            problems: &problems,
            progress: &Silent,
        };
        let views = Views {
            before: None,
            after: Some(found.tree),
        };
        let (archive, _) = write_layer([&change].into_iter(), views, &options, Vec::new())
            .expect("memory can be written to");
        archive
    });
    let names = |folder: &Path| fs::read_dir(folder).expect("a folder").count();
    assert_eq!(names(&outside), 0, "something was written outside");
    assert_eq!(names(dir.path()), 2, "something was written beside");
    read(&archive);
}

fn added(root: Attributes) -> Change {
    let mut change = Change::new(0, ChangeKind::Added, b"/".to_vec(), FileKind::Directory);
    change.merged = Some(root);
    change
}

/// Another's parser reads every entry.
fn read(archive: &[u8]) {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path_bytes().into_owned();
        let whole = path.split(|b| *b == b'/').all(|name| name != b"..");
        assert!(
            whole && path.first() != Some(&b'/'),
            "{}",
            path.escape_ascii()
        );
        let mut content = Vec::new();
        let size = entry.read_to_end(&mut content).expect("its content");
        assert_eq!(size as u64, entry.size());
    }
}
