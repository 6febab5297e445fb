//! Going through a tree: from a key on, in rising order.

use std::sync::Arc;

use hexz_resolve::{Error, FileKey, ReadAt, Result};

use crate::node::{Blocks, Item, Node, Odd};
use crate::ondisk::{Key, Root};
use crate::overlay::Overlay;
use crate::stash::{Items, Stash};

/// A tree of one view, and where what is odd about it goes.
#[derive(Clone, Copy)]
pub(crate) struct Tree<'a> {
    pub(crate) blocks: &'a Blocks,
    pub(crate) volume: &'a dyn ReadAt,
    pub(crate) findings: Odd<'a>,
    pub(crate) root: Root,
    /// What replaying a log changed; `None` for the tree as it lies.
    pub(crate) overlay: Option<&'a Overlay>,
    /// Items of the tree of this subvolume that are known already.
    pub(crate) stash: Option<(&'a Stash, u64)>,
}

impl<'a> Tree<'a> {
    /// The block at `at`.
    pub(crate) fn read(&self, at: Root) -> Result<Arc<Node>> {
        self.blocks.read(self.volume, at, self.findings)
    }

    /// A cursor that is nowhere yet.
    pub(crate) const fn cursor(&self) -> Cursor<'a> {
        Cursor {
            tree: *self,
            path: Vec::new(),
            last: None,
        }
    }

    /// The items that lie in the tree from `key` on.
    pub(crate) fn from(&self, key: Key) -> Result<Cursor<'a>> {
        let mut cursor = self.cursor();
        cursor.descend(self.root, Some(key))?;
        Ok(cursor)
    }

    /// The items that lie in the tree, from the last one on whose key is not above `key`; from the
    /// first one where all are.
    pub(crate) fn at_or_before(&self, key: Key) -> Result<Cursor<'a>> {
        let mut cursor = self.cursor();
        let mut at = self.root;
        loop {
            let node = self.read(at)?;
            let slot = node.lower_bound(key)?;
            let exact = slot < node.count && node.key(slot)? == key;
            let slot = if exact { slot } else { slot.saturating_sub(1) };
            let level = node.level;
            if level > 0 && node.count > 0 {
                at = node.child(slot)?;
            }
            cursor.path.push((node, slot));
            if level == 0 || cursor.path.last().is_none_or(|(node, _)| node.count == 0) {
                return Ok(cursor);
            }
        }
    }

    /// The blocks from the root down to the one at `level` where `key` is, or would be.
    pub(crate) fn path_to(&self, key: Key, level: u8) -> Result<Vec<Arc<Node>>> {
        let mut path = Vec::new();
        let mut at = self.root;
        loop {
            if at.level < level {
                return Ok(path);
            }
            let node = self.read(at)?;
            if node.level > 0 && node.count > 0 {
                at = node.child(slot_of(&node, key)?)?;
            } else {
                path.push(node);
                return Ok(path);
            }
            path.push(node);
        }
    }

    /// Calls `visit` with each item from `first` to `last`, until it says `false`.
    pub(crate) fn each(
        &self,
        first: Key,
        last: Key,
        mut visit: impl FnMut(&Item<'_>) -> Result<bool>,
    ) -> Result<()> {
        let Some(overlay) = self.overlay else {
            return match self.stashed(first, last) {
                Some(items) => items.each(first, last, visit),
                None => self.each_stored(first, last, |item, _| visit(item)),
            };
        };
        let mut put = overlay.range(first, last).peekable();
        let mut going = true;
        self.each_stored(first, last, |item, _| {
            while let Some((key, before)) = put.next_if(|(key, _)| *key <= item.key) {
                going = visit(&before.item(key))?;
                if !going {
                    return Ok(false);
                }
            }
            going = overlay.hides(item.key) || visit(item)?;
            Ok(going)
        })?;
        for (key, item) in put {
            going = going && visit(&item.item(key))?;
            if !going {
                break;
            }
        }
        Ok(())
    }

    /// The items of the one file that all keys from `first` to `last` are of, where they are known.
    fn stashed(&self, first: Key, last: Key) -> Option<Arc<Items>> {
        let (stash, subvolume) = self.stash?;
        let number = first.objectid;
        let one = number == last.objectid;
        one.then(|| stash.get(FileKey { subvolume, number }))?
    }

    /// Calls `visit` with each item that lies in the tree from `first` to `last`, whatever a log
    /// made of it, and with its leaf, until it says `false`.
    pub(crate) fn each_stored(
        &self,
        first: Key,
        last: Key,
        mut visit: impl FnMut(&Item<'_>, &Node) -> Result<bool>,
    ) -> Result<()> {
        let mut cursor = self.from(first)?;
        while let Some((leaf, slot)) = cursor.next()? {
            let item = leaf.item(slot)?;
            if item.key > last || !visit(&item, &leaf)? {
                break;
            }
        }
        Ok(())
    }
}

/// The pointer of a node below which `key` is.
fn slot_of(node: &Node, key: Key) -> Result<usize> {
    let slot = node.lower_bound(key)?;
    let exact = slot < node.count && node.key(slot)? == key;
    Ok(if exact { slot } else { slot.saturating_sub(1) })
}

/// A place in a tree, that moves forward.
pub(crate) struct Cursor<'a> {
    tree: Tree<'a>,
    /// From the root down: each block and the slot that is next in it (that was taken, for nodes).
    path: Vec<(Arc<Node>, usize)>,
    last: Option<Key>,
}

impl Cursor<'_> {
    /// Goes down from `at` to where `key` is, or to the first leaf.
    fn descend(&mut self, at: Root, key: Option<Key>) -> Result<()> {
        let mut at = at;
        loop {
            let node = self.tree.read(at)?;
            if let (Some((above, slot)), true) = (self.path.last(), node.count > 0) {
                // So no block is met twice, and the walk ends.
                let expected = above.key(*slot)?;
                if node.key(0)? != expected {
                    let error = Error::corrupt("tree block").at(node.place);
                    return Err(error
                        .expected(format_args!("{expected:?} as its first key"))
                        .found(format_args!("{:?}", node.key(0)?)));
                }
            }
            let leaf = node.level == 0;
            let slot = match key {
                None => 0,
                Some(key) if leaf => node.lower_bound(key)?,
                Some(key) => slot_of(&node, key)?,
            };
            let empty = node.count == 0;
            if !leaf && !empty {
                at = node.child(slot)?;
            }
            self.path.push((node, slot));
            if leaf || empty {
                return Ok(());
            }
        }
    }

    /// The next item, as its leaf and its place there. After an error there is none.
    pub(crate) fn next(&mut self) -> Result<Option<(Arc<Node>, usize)>> {
        match self.step() {
            Ok(Some((leaf, slot))) => {
                let key = leaf.key(slot)?;
                if self.last.is_some_and(|last| last >= key) {
                    self.path.clear();
                    let error = Error::corrupt("tree block").at(leaf.place);
                    return Err(error.expected("rising keys").found(format_args!("{key:?}")));
                }
                self.last = Some(key);
                Ok(Some((leaf, slot)))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.path.clear();
                Err(error)
            }
        }
    }

    fn step(&mut self) -> Result<Option<(Arc<Node>, usize)>> {
        if !self.reach_item()? {
            return Ok(None);
        }
        let Some((leaf, slot)) = self.path.last_mut() else {
            return Ok(None);
        };
        let found = (Arc::clone(leaf), *slot);
        *slot = slot.saturating_add(1);
        Ok(Some(found))
    }

    /// Goes on to the next leaf where this one has no more items. Says whether there is an item.
    fn reach_item(&mut self) -> Result<bool> {
        loop {
            let Some((node, slot)) = self.path.last() else {
                return Ok(false);
            };
            if node.level == 0 && *slot < node.count {
                return Ok(true);
            }
            self.path.pop();
            let Some((node, slot)) = self.path.last_mut() else {
                return Ok(false);
            };
            *slot = slot.saturating_add(1);
            if *slot < node.count {
                let child = node.child(*slot)?;
                self.descend(child, None)?;
            }
        }
    }

    /// Goes to the first item whose key is not below `key`; within the leaf where it is that costs
    /// little. After an error it is nowhere.
    pub(crate) fn seek(&mut self, key: Key) -> Result<()> {
        self.last = None;
        let within = self.holds(key).unwrap_or(false);
        let moved = match self.path.last_mut() {
            Some((leaf, slot)) if within => leaf.lower_bound(key).map(|at| *slot = at),
            _ => {
                self.path.clear();
                self.descend(self.tree.root, Some(key))
            }
        };
        moved.inspect_err(|_| self.path.clear())
    }

    /// Whether `key` is, or would be, in the leaf where the cursor is.
    fn holds(&self, key: Key) -> Result<bool> {
        let Some(((leaf, _), above)) = self.path.split_last() else {
            return Ok(false);
        };
        if leaf.level > 0 || leaf.count == 0 || leaf.key(0)? > key {
            return Ok(false);
        }
        for (node, slot) in above.iter().rev() {
            let next = slot.saturating_add(1);
            if next < node.count {
                return Ok(key < node.key(next)?);
            }
        }
        Ok(true)
    }

    /// The item where it is; `None` behind the last. After an error it is nowhere.
    pub(crate) fn item(&mut self) -> Result<Option<Item<'_>>> {
        let there = self.reach_item().inspect_err(|_| self.path.clear())?;
        match self.path.last() {
            Some((leaf, slot)) if there => leaf.item(*slot).map(Some),
            _ => Ok(None),
        }
    }

    /// Leaves the item where it is behind.
    pub(crate) fn advance(&mut self) {
        if let Some((_, slot)) = self.path.last_mut() {
            *slot = slot.saturating_add(1);
        }
    }
}
