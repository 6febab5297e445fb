//! Very many links, kept small: names behind each other in one buffer, parents as numbers.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use super::run::Run;
use super::spill::{Item, Spill, number};
use crate::{Error, FileKey, FileSet, Link, Result, Sink};

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

impl Item for Entry {
    const BYTES: usize = 26;

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        self.child.put(out)?;
        self.parent.put(out)?;
        self.name.put(out)?;
        out.extend_from_slice(&self.length.to_le_bytes());
        Some(())
    }

    fn take(bytes: &[u8]) -> Self {
        let behind = |at: usize| bytes.get(at..).unwrap_or_default();
        let length = behind(24).first_chunk().copied().unwrap_or_default();
        Self {
            child: FileKey::take(bytes),
            parent: u32::take(behind(16)),
            name: u32::take(behind(20)),
            length: u16::from_le_bytes(length),
        }
    }
}

impl Item for FileKey {
    const BYTES: usize = 16;

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&self.subvolume.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        Some(())
    }

    fn take(bytes: &[u8]) -> Self {
        Self {
            subvolume: number(bytes, 0),
            number: number(bytes, 1),
        }
    }
}

/// A link with its directory and its name.
type Key<'a> = (Entry, FileKey, Cow<'a, [u8]>);

/// Links of one view, sorted by child, then parent, then name once [`Links::sort`] was called.
#[derive(Default)]
pub(super) struct Links {
    names: Spill<u8>,
    entries: Spill<Entry>,
    parents: Vec<FileKey>,
    by_key: HashMap<FileKey, u32>,
    /// How many there may be.
    limit: usize,
}

impl Links {
    /// Room for as many as `run` lets there be.
    pub(super) fn new(run: &Run<'_>) -> Self {
        Self {
            names: Spill::new(run),
            entries: Spill::new(run),
            limit: run.options.limits.links,
            ..Self::default()
        }
    }

    /// Sorts the links, and drops those that are there twice.
    pub(super) fn sort(&mut self, run: &Run<'_>) -> Result<()> {
        run.memory.check()?;
        let mut entries = std::mem::take(&mut self.entries);
        let key = |e: &Entry| (*e, self.parent(e), self.name(e));
        let order = |(a, parent, name): &Key<'_>, (b, other, other_name): &Key<'_>| {
            let first = (a.child, parent).cmp(&(b.child, other));
            first.then_with(|| name.cmp(other_name))
        };
        entries.sort(run, key, order, |a, b| order(a, b) == Ordering::Equal)?;
        self.entries = entries;
        Ok(())
    }

    /// Number of links.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The link at `index`.
    pub(super) fn get(&self, index: usize) -> Option<Entry> {
        self.entries.get(index)
    }

    /// The directories that name a file, each once.
    pub(super) fn parents(&self) -> &[FileKey] {
        &self.parents
    }

    pub(super) fn name(&self, entry: &Entry) -> Cow<'_, [u8]> {
        let from = entry.name as usize;
        let name = self.names.range(from..from + usize::from(entry.length));
        name.unwrap_or_default()
    }

    pub(super) fn parent(&self, entry: &Entry) -> FileKey {
        let parent = self.parents.get(entry.parent as usize);
        parent.copied().unwrap_or_default()
    }

    /// The links whose child is `key`, as indexes.
    pub(super) fn of(&self, key: FileKey) -> Range<usize> {
        self.from(self.entries.partition_point(|e| e.child < key), key)
    }

    /// The same, when those of the last file that was asked for were at `near`, which is moved
    /// along: files that lie near each other on a disk mostly have numbers that do.
    pub(super) fn near(&self, near: &mut usize, key: FileKey) -> Range<usize> {
        let (low, high) = (near.saturating_sub(NEAR), near.saturating_add(NEAR));
        let before = |at: usize| self.get(at).is_some_and(|l| l.child < key);
        // With the first of them before the key, and one behind that is not, it starts between.
        let between = before(low) && !before(high);
        let all = self.entries.in_memory();
        let within = all.and_then(|all| all.get(low..high.min(all.len())));
        *near = match within.filter(|_| between) {
            Some(within) => low + within.partition_point(|l| l.child < key),
            None => self.entries.partition_point(|l| l.child < key),
        };
        self.from(*near, key)
    }

    /// The links from `from` on whose child is `key`.
    fn from(&self, from: usize, key: FileKey) -> Range<usize> {
        let is_own = |at: usize| self.get(at).is_some_and(|e| e.child == key);
        // Most files have one, and some a hundred thousand: steps grow, and then shrink again.
        let (mut to, mut step) = (from, 1);
        while is_own(to + step - 1) {
            to += step;
            step *= 2;
        }
        while step > 1 {
            step /= 2;
            if is_own(to + step - 1) {
                to += step;
            }
        }
        from..to
    }

    /// Each of `files` with its links, as indexes; both are sorted.
    pub(super) fn linked<'a>(
        &'a self,
        files: &'a FileSet,
    ) -> impl Iterator<Item = (FileKey, Range<usize>)> {
        let mut at = 0;
        files.iter().map(move |file| {
            while self.get(at).is_some_and(|link| link.child < file) {
                at += 1;
            }
            let own = self.from(at, file);
            at = own.end;
            (file, own)
        })
    }
}

/// Links that are looked at around the last ones, before all are.
const NEAR: usize = 64;

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
        self.names.extend(name);
        self.entries.push(Entry {
            child: link.child,
            parent,
            name: start,
            length,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawName;

    #[test]
    fn the_links_of_a_file_are_found_however_many_it_has() {
        let counts = [1, 2, 3, 0, 7, 8, 9, 100, 1];
        let mut links = Links {
            limit: usize::MAX,
            ..Links::default()
        };
        for (child, count) in (1..).zip(counts) {
            for name in 0..count {
                links
                    .put(Link {
                        parent: FileKey::new(0),
                        name: RawName::from(&format!("{name:03}")),
                        child: FileKey::new(child),
                    })
                    .unwrap();
            }
        }
        let mut start = 0;
        for (child, count) in (1..).zip(counts) {
            assert_eq!(links.of(FileKey::new(child)), start..start + count);
            start += count;
        }
    }
}
