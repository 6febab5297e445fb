//! A set of files by their paths.

use std::collections::BTreeMap;

use hexz_resolve::{Error, FileKind, Limits, Result, Timestamp};

use super::content::Content;
use super::manifest::Odd;

/// One file or directory.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: FileKind,
    /// Permission bits, where they are known.
    pub(super) mode: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    /// Bytes of its content.
    pub(super) size: u64,
    /// Where they are; none for a directory.
    pub(super) content: Option<Content>,
}

impl Node {
    pub(super) fn file(mode: u32, mtime: u64, size: u64) -> Self {
        Self {
            kind: FileKind::File,
            mode: Some(mode & 0o7777),
            mtime: i64::try_from(mtime).ok().map(|seconds| Timestamp {
                seconds,
                nanoseconds: 0,
            }),
            size,
            content: None,
        }
    }

    /// A directory of which no more is known: an archive has no entries for them.
    pub(super) const fn directory() -> Self {
        Self {
            kind: FileKind::Directory,
            mode: None,
            mtime: None,
            size: 0,
            content: None,
        }
    }
}

/// Files and directories by their paths, without a slash in front; the root is the empty path.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<Box<[u8]>, Node>,
    /// Bytes that further paths may have.
    bytes: usize,
    most: usize,
    depth: usize,
}

impl Tree {
    pub(super) fn new(limits: &Limits) -> Self {
        let root: Box<[u8]> = Box::default();
        Self {
            nodes: BTreeMap::from([(root, Node::directory())]),
            bytes: limits.paths_bytes,
            most: limits.files,
            depth: usize::try_from(limits.path_depth).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// All of them, a directory before what is in it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Node)> {
        self.nodes.iter().map(|(path, node)| (&**path, node))
    }

    /// Adds a file of a manifest, and the directories it is in.
    pub(super) fn put(&mut self, path: &str, node: Node, odd: &mut Odd) -> Result<()> {
        let parts = || path.split('/');
        let sound = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        let named = parts().all(sound) && parts().count() <= self.depth;
        let ends = path.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
        let ends: Vec<usize> = ends.map(|(at, _)| at).collect();
        let parents = || ends.iter().filter_map(|end| path.as_bytes().get(..*end));
        let is_file = |path: &[u8]| {
            let node = self.nodes.get(path);
            node.is_some_and(|node| node.kind != FileKind::Directory)
        };
        let known = self.nodes.get(path.as_bytes());
        let is_directory = known.is_some_and(|node| node.kind == FileKind::Directory);
        // One file can't be in another, nor in the place of a directory.
        if !named || is_directory || parents().any(is_file) {
            odd.say_nameless(path);
            return Ok(());
        }
        if known.is_some() {
            odd.say_again(path);
        }
        for parent in parents() {
            if !self.nodes.contains_key(parent) {
                self.insert(parent, Node::directory())?;
            }
        }
        self.insert(path.as_bytes(), node)
    }

    /// Adds or replaces what is at `path`, whose directory is there.
    pub(super) fn insert(&mut self, path: &[u8], node: Node) -> Result<()> {
        let left = self.bytes.checked_sub(path.len());
        let (Some(left), true) = (left, self.nodes.len() < self.most) else {
            let text = format!("more than {} files, or very long paths", self.most);
            return Err(Error::limit("directory", text));
        };
        self.bytes = left;
        self.nodes.insert(path.into(), node);
        Ok(())
    }

    /// Removes what is at `path`, and all below it.
    pub(super) fn remove(&mut self, path: &[u8]) {
        if self.nodes.remove(path).is_none() {
            return;
        }
        let below = [path, b"/"].concat();
        let from = self.nodes.range::<[u8], _>((
            std::ops::Bound::Included(below.as_slice()),
            std::ops::Bound::Unbounded,
        ));
        let gone: Vec<Box<[u8]>> = from
            .take_while(|(path, _)| path.starts_with(&below))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.nodes.remove(&path);
        }
    }
}
