//! Whole trees against the crate `ext4-view`: independent code over the same bytes.
//!
//! Only images without unwritten extents, which that crate takes for data.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeMap;
use std::sync::Arc;

use ext4_view::{Ext4, FileType};
use hexz_fs_ext4::Ext4Plugin;
use hexz_resolve::{
    Attributes, Claim, Diagnostics, FileKey, FileKind, FileSet, Filesystem, FilesystemPlugin,
    JournalMode, Limits, Link, Member, OpenContext, ReadAt, Scan, Silent, View, read_vec,
};
use hexz_testkit::Fixture;

/// What both say of a file.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    kind: FileKind,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: (i64, u32),
    /// Content, target, or nothing.
    bytes: Vec<u8>,
}

/// The target of a symlink that the other crate does not read.
const UNREAD: &[u8] = b"\0";

type Tree = BTreeMap<Vec<u8>, Seen>;

fn theirs(image: Vec<u8>) -> Tree {
    let fs = Ext4::load(Box::new(image)).expect("ext4-view reads it");
    let mut tree = Tree::new();
    let mut folders = vec![ext4_view::PathBuf::new("/")];
    while let Some(folder) = folders.pop() {
        for entry in fs.read_dir(&folder).expect("a directory") {
            let entry = entry.expect("an entry");
            let path = entry.path();
            if [b".".as_slice(), b".."].contains(&entry.file_name().as_ref()) {
                continue;
            }
            let meta = fs.symlink_metadata(&path).expect("metadata");
            let kind = match meta.file_type() {
                FileType::Regular => FileKind::File,
                FileType::Directory => FileKind::Directory,
                FileType::Symlink => FileKind::Symlink,
                FileType::Fifo => FileKind::Fifo,
                FileType::Socket => FileKind::Socket,
                FileType::BlockDevice => FileKind::BlockDevice,
                FileType::CharacterDevice => FileKind::CharDevice,
            };
            let bytes = match kind {
                FileKind::File => fs.read(&path).expect("content"),
                // It takes no target that is as long as those that have a block of their own.
                FileKind::Symlink => match fs.read_link(&path) {
                    Ok(target) => target.as_ref().to_vec(),
                    Err(_) => UNREAD.to_vec(),
                },
                _ => Vec::new(),
            };
            let seen = Seen {
                kind,
                mode: u32::from(meta.mode() & 0o7777),
                uid: meta.uid(),
                gid: meta.gid(),
                mtime: (meta.modified().seconds(), meta.modified().nanoseconds()),
                bytes,
            };
            if kind == FileKind::Directory {
                folders.push(path.clone());
            }
            tree.insert(path.as_ref().to_vec(), seen);
        }
    }
    tree
}

struct Ours {
    fs: Box<dyn Filesystem>,
    limits: Limits,
    diagnostics: Diagnostics,
}

impl Ours {
    fn scan(&self) -> Scan<'_> {
        Scan::new(&self.limits, View::Base, &self.diagnostics, &Silent)
    }

    fn entries(&self, directory: FileKey) -> Vec<Link> {
        let mut links = Vec::new();
        let set: FileSet = [directory].into_iter().collect();
        self.fs
            .entries(&set, &self.scan(), &mut links)
            .expect("entries");
        links
    }

    fn attributes(&self, key: FileKey) -> Attributes {
        let mut found = Vec::new();
        let set: FileSet = [key].into_iter().collect();
        self.fs
            .attributes(&set, &self.scan(), &mut found)
            .expect("attributes");
        found.pop().expect("a file in use")
    }

    fn content(&self, file: &Attributes) -> Vec<u8> {
        let mut claims: Vec<Claim> = Vec::new();
        let set: FileSet = [file.key].into_iter().collect();
        self.fs
            .extents(&set, &self.scan(), &mut claims)
            .expect("extents");
        let mut bytes = vec![0; file.size as usize];
        for claim in claims {
            let at = claim.file_offset.expect("an offset") as usize;
            let length = (claim.range.len() as usize).min(bytes.len().saturating_sub(at));
            let found = read_vec(&**self.fs.reader(), claim.range.start(), length);
            bytes[at..at + length].copy_from_slice(&found.expect("content"));
        }
        bytes
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut folders = vec![(Vec::new(), self.fs.root())];
        while let Some((folder, key)) = folders.pop() {
            for link in self.entries(key) {
                let path = [&folder, b"/".as_slice(), link.name.as_bytes()].concat();
                let file = self.attributes(link.child);
                let mtime = file.mtime.expect("a time");
                let seen = Seen {
                    kind: file.kind,
                    mode: file.mode.expect("a mode"),
                    uid: file.uid.expect("an owner"),
                    gid: file.gid.expect("a group"),
                    mtime: (mtime.seconds, mtime.nanoseconds),
                    bytes: match file.kind {
                        FileKind::File => self.content(&file),
                        FileKind::Symlink => {
                            file.target.as_ref().expect("a target").as_bytes().to_vec()
                        }
                        _ => Vec::new(),
                    },
                };
                if file.kind == FileKind::Directory {
                    folders.push((path.clone(), link.child));
                }
                tree.insert(path, seen);
            }
        }
        tree
    }
}

fn ours(image: &Arc<dyn ReadAt>) -> Tree {
    let limits = Limits::default();
    let diagnostics = Diagnostics::new();
    let journal = JournalMode::Replay;
    let cx = OpenContext {
        limits: &limits,
        journal,
        view: View::Base,
        diagnostics: &diagnostics,
    };
    let fs = Ext4Plugin
        .open(&[Member::alone(Arc::clone(image))], &cx)
        .expect("it opens");
    Ours {
        fs,
        limits: limits.clone(),
        diagnostics: Diagnostics::new(),
    }
    .tree()
}

#[test]
fn both_read_the_same_trees() {
    for case in [
        "blocks-1k",
        "blocks-2k",
        "blocks-4k",
        "deep-extents",
        "htree",
        "hard-links",
    ] {
        let image = Fixture::load(case).base();
        let bytes = read_vec(&*image, 0, image.len() as usize).expect("the image");
        let (ours, theirs) = (ours(&image), theirs(bytes));
        assert!(!ours.is_empty(), "{case} holds no file");
        assert_eq!(
            ours.keys().collect::<Vec<_>>(),
            theirs.keys().collect::<Vec<_>>(),
            "{case}"
        );
        for (path, seen) in &ours {
            let same = seen == &theirs[path]
                || seen.kind == FileKind::Symlink && theirs[path].bytes == UNREAD;
            assert!(same, "{case}: {} differs", path.escape_ascii());
        }
    }
}
