//! Very many links, kept small: names behind each other in one buffer, parents as numbers.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::run::Run;
use crate::{Error, FileKey, Link, Result, Sink};

/// A link of a [`Links`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) child: FileKey,
    /// Index into the parents.
    pub(super) parent: u32,
    /// Where its name starts, and its length.
    name: u32,
    length: u16,
}

/// Links of one view, sorted by child, then parent, then name once [`Links::sort`] was called.
#[derive(Default)]
pub(super) struct Links {
    names: Vec<u8>,
    entries: Vec<Entry>,
    parents: Vec<FileKey>,
    by_key: HashMap<FileKey, u32>,
    /// How many there may be.
    limit: usize,
}

impl Links {
    /// Room for `limit` links.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Sorts the links, and drops those that are there twice.
    pub(super) fn sort(&mut self, run: &Run<'_>) {
        let mut entries = std::mem::take(&mut self.entries);
        run.sort(&mut entries, |a, b| self.order(a, b));
        entries.dedup_by(|a, b| self.order(a, b) == Ordering::Equal);
        self.entries = entries;
    }

    fn order(&self, a: &Entry, b: &Entry) -> Ordering {
        let key = |e: &Entry| (e.child, self.parent(e));
        key(a)
            .cmp(&key(b))
            .then_with(|| self.name(a).cmp(self.name(b)))
    }

    /// All of them.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The directories that name a file, each once.
    pub(super) fn parents(&self) -> &[FileKey] {
        &self.parents
    }

    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        let from = entry.name as usize;
        let name = self.names.get(from..from + usize::from(entry.length));
        name.unwrap_or_default()
    }

    pub(super) fn parent(&self, entry: &Entry) -> FileKey {
        let parent = self.parents.get(entry.parent as usize);
        parent.copied().unwrap_or_default()
    }

    /// The links whose child is `key`, as indexes.
    pub(super) fn of(&self, key: FileKey) -> std::ops::Range<usize> {
        self.from(self.entries.partition_point(|e| e.child < key), key)
    }

    /// The links from `from` on whose child is `key`.
    pub(super) fn from(&self, from: usize, key: FileKey) -> std::ops::Range<usize> {
        let behind = self.entries.get(from..).unwrap_or_default();
        let count = behind.iter().take_while(|e| e.child == key).count();
        from..from + count
    }
}

impl Sink<Link> for Links {
    fn put(&mut self, link: Link) -> Result<()> {
        let limit = || Error::limit("links", format!("more than {}", self.limit));
        let name = link.name.as_bytes();
        if self.entries.len() >= self.limit {
            return Err(limit());
        }
        let (Ok(start), Ok(length)) = (u32::try_from(self.names.len()), u16::try_from(name.len()))
        else {
            let text = "names of over 4 GiB, or one of over 64 KiB";
            return Err(Error::limit("links", text));
        };
        let next = u32::try_from(self.parents.len()).map_err(|_| limit())?;
        let parent = *self.by_key.entry(link.parent).or_insert(next);
        if parent == next {
            self.parents.push(link.parent);
        }
        self.names.extend_from_slice(name);
        self.entries.push(Entry {
            child: link.child,
            parent,
            name: start,
            length,
        });
        Ok(())
    }
}
