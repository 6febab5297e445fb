//! Replaying a log tree in memory: what a mount would make of the tree of its subvolume.
//!
//! In the order of `fs/btrfs/tree-log.c`: first all inodes, with what the log says is gone; then
//! entries of directories; then names, attributes and extents; at last the counts of links of all
//! files that had to do with it.

mod extents;
mod names;

use std::cell::Cell;
use std::collections::BTreeSet;

use hexz_resolve::{Error, Result};

use crate::node::Item;
use crate::ondisk::{DirItem, InodeItem, InodeName, Key, item, objectid};
use crate::overlay::{Overlay, Stored};
use crate::tree::Tree;

/// Steps of a replay: items that are looked at and changes that are made. More than any log that
/// fits into memory needs.
const MOST_STEPS: u64 = 1 << 24;
/// Items that are taken from a tree at a time.
const TOGETHER: usize = 512;
/// `S_IFMT`, and its values for directories and regular files.
const KIND: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;

/// What is the same for all subvolumes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The transaction in which a mount replays.
    pub(crate) transaction: u64,
    pub(crate) sectorsize: u32,
    pub(crate) nodesize: u32,
    pub(crate) no_holes: bool,
}

/// What a replay gave.
pub(crate) struct Outcome {
    pub(crate) overlay: Overlay,
    /// Numbers of the inodes of which something changed.
    pub(crate) files: BTreeSet<u64>,
    /// Those of them that are no more.
    pub(crate) gone: BTreeSet<u64>,
    /// Checksums of data, in runs.
    pub(crate) sums: Vec<(u64, Vec<u8>)>,
}

/// Replays the tree `log` over the tree `subvolume`.
///
/// # Errors
/// Where the log and the tree do not fit together, as a mount would find, or a block of one of
/// them can't be read.
pub(crate) fn replay(subvolume: Tree<'_>, log: Tree<'_>, rules: Rules) -> Result<Outcome> {
    let mut replay = Replay {
        subvolume,
        log,
        rules,
        overlay: Overlay::default(),
        links: BTreeSet::new(),
        files: BTreeSet::new(),
        ignored: BTreeSet::new(),
        gone: BTreeSet::new(),
        steps: Cell::new(0),
    };
    let mut sums = Vec::new();
    log.each(Key::default(), LAST, |item| {
        replay.first_look(item)?;
        if item.key.kind == item::EXTENT_CSUM && item.key.objectid == objectid::EXTENT_CSUM {
            let bytes = item.fields.as_bytes().to_vec();
            sums.push((item.key.offset, bytes));
        }
        Ok(true)
    })?;
    log.each(Key::default(), LAST, |item| {
        replay.inode(item).map(|()| true)
    })?;
    log.each(Key::default(), LAST, |item| {
        replay.entry(item).map(|()| true)
    })?;
    log.each(Key::default(), LAST, |item| {
        replay.rest(item).map(|()| true)
    })?;
    replay.count_links()?;
    Ok(Outcome {
        overlay: replay.overlay,
        files: replay.files,
        gone: replay.gone,
        sums,
    })
}

const LAST: Key = Key {
    objectid: u64::MAX,
    kind: u8::MAX,
    offset: u64::MAX,
};

/// An item that was taken from a tree.
type Taken = (Key, Stored);

struct Replay<'a> {
    /// As it lies.
    subvolume: Tree<'a>,
    log: Tree<'a>,
    rules: Rules,
    overlay: Overlay,
    /// Inodes whose links are to be counted at the end.
    links: BTreeSet<u64>,
    /// Inodes of which something changed.
    files: BTreeSet<u64>,
    /// Inodes of the log that had no name when they were logged.
    ignored: BTreeSet<u64>,
    /// Inodes that lost their last name.
    gone: BTreeSet<u64>,
    steps: Cell<u64>,
}

impl Replay<'_> {
    fn step(&self) -> Result<()> {
        let steps = self.steps.get().saturating_add(1);
        self.steps.set(steps);
        match steps > MOST_STEPS {
            true => Err(Error::unsupported(
                "log tree",
                format!("replaying it takes more than {MOST_STEPS} steps"),
            )),
            false => Ok(()),
        }
    }

    /// The item at `key` of the subvolume.
    fn get(&self, key: Key) -> Result<Option<Stored>> {
        self.step()?;
        match self.overlay.get(key) {
            Some(found) => Ok(found.cloned()),
            None => one(&self.subvolume, key),
        }
    }

    /// The item at `key` of the log.
    fn logged(&self, key: Key) -> Result<Option<Stored>> {
        self.step()?;
        one(&self.log, key)
    }

    /// The first items of the subvolume from `first` to `last`.
    fn some(&self, first: Key, last: Key) -> Result<Vec<Taken>> {
        let tree = Tree {
            overlay: Some(&self.overlay),
            ..self.subvolume
        };
        let mut found = Vec::new();
        tree.each(first, last, |item| {
            self.step()?;
            found.push((item.key, Stored::of(item)));
            Ok(found.len() < TOGETHER)
        })?;
        Ok(found)
    }

    fn put(&mut self, key: Key, item: Stored) -> Result<()> {
        self.step()?;
        self.files.insert(key.objectid);
        self.overlay.put(key, item);
        Ok(())
    }

    fn delete(&mut self, key: Key) {
        self.files.insert(key.objectid);
        self.overlay.delete(key);
    }

    fn inode_at(&self, number: u64) -> Result<Option<Stored>> {
        self.get(Key::new(number, item::INODE_ITEM, 0))
    }

    /// The record of an inode that must be there.
    fn must_have(&self, number: u64) -> Result<Stored> {
        self.inode_at(number)?.ok_or_else(|| {
            let text = format!("it is about inode {number}, which is not there");
            self.misfit(text)
        })
    }

    /// The error of a log that does not fit the tree.
    fn misfit(&self, text: impl Into<String>) -> Error {
        Error::corrupt("log tree").message(text)
    }

    /// Notes inodes without names.
    fn first_look(&mut self, found: &Item<'_>) -> Result<()> {
        if found.key.kind != item::INODE_ITEM {
            return Ok(());
        }
        if InodeItem(found.fields).nlink()? == 0 {
            self.ignored.insert(found.key.objectid);
        }
        Ok(())
    }

    /// First stage: the inode itself, and what the log says is gone.
    fn inode(&mut self, found: &Item<'_>) -> Result<()> {
        let number = found.key.objectid;
        let about = found.key.kind == item::INODE_ITEM && found.key.offset == 0;
        if !about || self.ignored.contains(&number) {
            return Ok(());
        }
        self.xattrs_gone(number)?;
        let kind = InodeItem(found.fields).mode()? & KIND;
        if kind == DIRECTORY {
            self.entries_gone(number)?;
        }
        let size = self.put_inode(found)?;
        if kind == REGULAR {
            let sector = u64::from(self.rules.sectorsize);
            if let Some(from) = size.checked_next_multiple_of(sector) {
                self.drop_extents(number, from, u64::MAX)?;
            }
        }
        self.links.insert(number);
        Ok(())
    }

    /// Second stage: an entry of a directory.
    fn entry(&mut self, found: &Item<'_>) -> Result<()> {
        if found.key.kind != item::DIR_INDEX || self.ignored.contains(&found.key.objectid) {
            return Ok(());
        }
        for entry in DirItem::all(&found.fields)? {
            self.replay_entry(found, &entry)?;
        }
        Ok(())
    }

    /// Third stage: attributes, names and extents.
    fn rest(&mut self, found: &Item<'_>) -> Result<()> {
        if self.ignored.contains(&found.key.objectid) {
            return Ok(());
        }
        match found.key.kind {
            item::XATTR_ITEM => self.put(found.key, Stored::of(found)),
            item::INODE_REF | item::INODE_EXTREF => self.replay_names(found),
            item::EXTENT_DATA => self.replay_extent(found),
            _ => Ok(()),
        }
    }

    /// Puts the record of an inode in place, and gives the size that the file has then.
    fn put_inode(&mut self, found: &Item<'_>) -> Result<u64> {
        let logged = InodeItem(found.fields);
        let directory = logged.mode()? & KIND == DIRECTORY;
        let mut record = Stored::of(found);
        let old = self.inode_at(found.key.objectid)?;
        if let Some(old) = &old {
            let standing = InodeItem(old.fields());
            let (size, kind) = (standing.size()?, standing.mode()? & KIND);
            if logged.generation()? == 0 {
                // It was logged so that it exists, and no more is said of it.
                let new_size = logged.size()?;
                let both = kind == REGULAR && logged.mode()? & KIND == REGULAR;
                record = old.clone();
                if both && new_size != 0 {
                    set(&mut record, InodeItem::SIZE, &new_size.to_le_bytes());
                }
            } else if directory && kind == DIRECTORY {
                // It follows the entries.
                set(&mut record, InodeItem::SIZE, &size.to_le_bytes());
            }
        } else if directory {
            set(&mut record, InodeItem::SIZE, &0u64.to_le_bytes());
        }
        if InodeItem(record.fields()).generation()? == 0 {
            let transaction = self.rules.transaction.to_le_bytes();
            set(&mut record, InodeItem::GENERATION, &transaction);
        }
        let size = InodeItem(record.fields()).size()?;
        self.put(found.key, record)?;
        Ok(size)
    }

    /// Drops the attributes of an inode that the log does not have.
    fn xattrs_gone(&mut self, number: u64) -> Result<()> {
        let mut first = Key::new(number, item::XATTR_ITEM, 0);
        let last = Key::new(number, item::XATTR_ITEM, u64::MAX);
        loop {
            let taken = self.some(first, last)?;
            let Some((end, _)) = taken.last() else {
                return Ok(());
            };
            let next = end.offset.checked_add(1);
            for (key, stored) in taken {
                let logged = self.logged(key)?;
                let logged = logged.as_ref().map(Stored::fields);
                let kept = logged.as_ref().map(DirItem::all).transpose()?;
                let kept = kept.unwrap_or_default();
                let gone: Vec<Span> = DirItem::all(&stored.fields())?
                    .iter()
                    .filter(|xattr| kept.iter().all(|other| other.name != xattr.name))
                    .map(|xattr| (xattr.at, xattr.length()))
                    .collect();
                if !gone.is_empty() {
                    self.cut(key, &stored, &gone)?;
                }
            }
            match next {
                Some(offset) => first.offset = offset,
                None => return Ok(()),
            }
        }
    }

    /// Takes parts out of an item, which goes with the last of them. They rise.
    fn cut(&mut self, key: Key, stored: &Stored, spans: &[Span]) -> Result<()> {
        let mut bytes = Vec::new();
        let mut reached = 0usize;
        for (at, length) in spans {
            bytes.extend(stored.bytes.get(reached..*at).unwrap_or_default());
            reached = at.saturating_add(*length);
        }
        bytes.extend(stored.bytes.get(reached..).unwrap_or_default());
        if bytes.is_empty() {
            self.delete(key);
            return Ok(());
        }
        self.put(key, stored.with(bytes))
    }

    /// Last: links are counted. What has none is gone, and a directory with all that is in it.
    fn count_links(&mut self) -> Result<()> {
        while let Some(number) = self.links.pop_last() {
            let mut record = self.must_have(number)?;
            let mut count = 0u32;
            let first = Key::new(number, item::INODE_REF, 0);
            let last = Key::new(number, item::INODE_EXTREF, u64::MAX);
            let mut from = Some(first);
            while let Some(first) = from {
                let taken = self.some(first, last)?;
                for (key, stored) in &taken {
                    let names = InodeName::all(*key, &stored.fields())?.len();
                    count = count.saturating_add(u32::try_from(names).unwrap_or(u32::MAX));
                }
                from = taken.last().and_then(|(key, _)| key.next());
            }
            let inode = InodeItem(record.fields());
            let directory = inode.mode()? & KIND == DIRECTORY;
            if inode.nlink()? != count {
                set(&mut record, InodeItem::NLINK, &count.to_le_bytes());
                self.put(Key::new(number, item::INODE_ITEM, 0), record)?;
            }
            if count > 0 {
                continue;
            }
            if directory {
                self.empty(number)?;
            }
            // The mount that replays deletes it, too.
            self.drop_extents(number, 0, u64::MAX)?;
            self.gone.insert(number);
        }
        Ok(())
    }
}

/// Where in an item a part of it begins, and how long it is.
type Span = (usize, usize);

/// Overwrites bytes of an item, which lies nowhere then.
fn set(item: &mut Stored, at: usize, bytes: &[u8]) {
    item.logical = None;
    for (to, from) in item.bytes.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// The item at `key` of a tree.
fn one(tree: &Tree<'_>, key: Key) -> Result<Option<Stored>> {
    let mut found = None;
    tree.each(key, key, |item| {
        found = Some(Stored::of(item));
        Ok(false)
    })?;
    Ok(found)
}
