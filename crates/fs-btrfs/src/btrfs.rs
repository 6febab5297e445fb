//! An open filesystem: what all passes share.

use std::sync::Arc;

use hexz_resolve::{Diagnostic, FileKey, FsInfo, ReadAt, Replayed, Result};

use crate::logged::Logged;
use crate::node::{Blocks, Findings, Node};
use crate::ondisk::{Root, objectid};
use crate::roots::Roots;
use crate::stash::Stash;
use crate::tree::Tree;

/// A directory that stands where a snapshot has no copy of a nested subvolume. The kernel gives
/// the number 2 to all of them; here each has one of its own, above those of all inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EmptyDirectory {
    /// The directory that it is in.
    pub(crate) parent: u64,
    /// The subvolume that is not there.
    pub(crate) subvolume: u64,
}

impl EmptyDirectory {
    const MARK: u64 = 1 << 63;

    /// Its number; `None` where there is no room for both parts.
    pub(crate) fn number(self) -> Option<u64> {
        let fits = self.parent < 1 << 31 && self.subvolume < 1 << 32;
        fits.then_some(Self::MARK | self.parent << 32 | self.subvolume)
    }

    /// The one with this number.
    pub(crate) const fn of(number: u64) -> Option<Self> {
        if number & Self::MARK == 0 {
            return None;
        }
        Some(Self {
            parent: number >> 32 & 0x7FFF_FFFF,
            subvolume: number & 0xFFFF_FFFF,
        })
    }
}

/// One view of a btrfs.
pub(crate) struct Btrfs {
    pub(crate) info: FsInfo,
    /// The devices that were found, end to end.
    pub(crate) volume: Arc<dyn ReadAt>,
    pub(crate) blocks: Blocks,
    pub(crate) roots: Roots,
    pub(crate) replayed: Replayed,
    /// What the log trees hold.
    pub(crate) logged: Logged,
    /// Items of files that are asked for several times.
    pub(crate) stash: Stash,
}

impl Btrfs {
    /// The filesystem as a part of the work reads it.
    pub(crate) fn view<'a>(&'a self, volume: &'a dyn ReadAt, findings: Findings<'a>) -> View<'a> {
        View {
            fs: self,
            volume,
            findings,
        }
    }

    /// The root directory of a subvolume.
    pub(crate) const fn root_of(subvolume: u64) -> FileKey {
        FileKey {
            subvolume,
            number: objectid::FIRST_FREE,
        }
    }
}

/// A filesystem, what it is read through, and where findings go.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) fs: &'a Btrfs,
    pub(crate) volume: &'a dyn ReadAt,
    pub(crate) findings: &'a dyn Fn(Diagnostic),
}

impl<'a> View<'a> {
    fn at(&self, root: Root) -> Tree<'a> {
        Tree {
            blocks: &self.fs.blocks,
            volume: self.volume,
            findings: Some(self.findings),
            root,
            overlay: None,
            stash: None,
        }
    }

    /// A tree as it lies, be it in use or being deleted.
    pub(crate) fn tree(&self, id: u64) -> Option<Tree<'a>> {
        self.fs.roots.get(id).map(|found| self.at(found.root))
    }

    /// The tree of a subvolume that is in use, with its log replayed.
    pub(crate) fn subvolume(&self, id: u64) -> Option<Tree<'a>> {
        let found = self.fs.roots.subvolume(id)?;
        Some(Tree {
            overlay: self.fs.logged.overlay(id),
            stash: Some((&self.fs.stash, id)),
            ..self.at(found.root)
        })
    }

    /// The tree block at `at`.
    pub(crate) fn read(&self, at: Root) -> Result<Arc<Node>> {
        self.fs.blocks.read(self.volume, at, Some(self.findings))
    }
}
