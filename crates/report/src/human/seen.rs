//! What is kept of each change until the report is written: of a million of them each byte counts.

use std::collections::HashMap;

use hexz_resolve::FileKind;
use hexz_resolve::report::{Change, ChangeKind};

use super::describe;
use crate::measure::{content_bytes, written_bytes};
use crate::places::Places;

/// What changes have in common with many others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Look {
    pub(super) change: ChangeKind,
    pub(super) kind: FileKind,
    pub(super) notable: Option<&'static str>,
    /// What is no file, directory or link, by name.
    pub(super) special: Option<String>,
    /// What differs, in words.
    pub(super) details: String,
}

/// A change as a person sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) look: &'a Look,
    pub(super) path: &'a [u8],
    pub(super) from: Option<&'a [u8]>,
    /// Where a link leads, where that is shown.
    pub(super) target: Option<&'a [u8]>,
    /// The size beside the letter.
    pub(super) bytes: Option<u64>,
    /// Bytes of changed blocks.
    pub(super) written: u64,
}

/// One of [`Seen`].
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// Where its texts start.
    at: u32,
    look: u32,
    /// [`NONE`] where there is none.
    bytes: u64,
    written: u64,
}

const NONE: u64 = u64::MAX;

/// Changes of one volume, kept small.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    kept: Vec<Kept>,
    /// Of each its path, the one it had before and a target: a length and the bytes; a length of
    /// [`ABSENT`] where there is none.
    texts: Vec<u8>,
    looks: Vec<Look>,
    known: HashMap<Look, u32>,
}

const ABSENT: u32 = u32::MAX;

impl Seen {
    /// Keeps `change`; false when there is no room for it.
    pub(super) fn add(&mut self, change: &Change, places: &Places) -> bool {
        let shown = |path| places.shown(change.volume, path);
        let path = shown(&change.path);
        let from = change.from.as_deref().map(shown);
        let bytes = content_bytes(change).unwrap_or(NONE);
        let texts = [Some(&*path), from.as_deref(), describe::target(change)];
        let look = Look {
            change: change.change,
            kind: change.kind,
            notable: places.notable(change),
            special: describe::special(change),
            details: describe::details(change),
        };
        self.keep(look, texts, bytes, written_bytes(change))
    }

    fn keep(&mut self, look: Look, texts: [Option<&[u8]>; 3], bytes: u64, written: u64) -> bool {
        let (Ok(at), Ok(next)) = (
            u32::try_from(self.texts.len()),
            u32::try_from(self.looks.len()),
        ) else {
            return false;
        };
        for text in texts {
            let length = text.map_or(Some(ABSENT), |text| u32::try_from(text.len()).ok());
            let length = length.unwrap_or(ABSENT);
            self.texts.extend_from_slice(&length.to_le_bytes());
            self.texts.extend_from_slice(text.unwrap_or_default());
        }
        let look = match self.known.get(&look) {
            Some(known) => *known,
            None => {
                self.looks.push(look.clone());
                self.known.insert(look, next);
                next
            }
        };
        self.kept.push(Kept {
            at,
            look,
            bytes,
            written,
        });
        true
    }

    /// Bytes that it takes up.
    pub(super) fn bytes(&self) -> usize {
        self.texts.len() + self.kept.len() * size_of::<Kept>()
    }

    /// Takes all of `other` in behind. Gives how many there was no room for.
    pub(super) fn append(&mut self, other: &Self) -> u64 {
        let mut lost = 0;
        for n in other.all().indexes {
            if let Some((item, kept)) = other.item(n).zip(other.kept.get(n as usize)) {
                let texts = [Some(item.path), item.from, item.target];
                let room = self.keep(item.look.clone(), texts, kept.bytes, kept.written);
                lost += u64::from(!room);
            }
        }
        lost
    }

    fn item(&self, index: u32) -> Option<Item<'_>> {
        let kept = self.kept.get(index as usize)?;
        let mut at = kept.at as usize;
        let mut next = || -> Option<&[u8]> {
            let length = self.texts.get(at..)?.first_chunk().copied()?;
            at += 4;
            let length = u32::from_le_bytes(length);
            if length == ABSENT {
                return None;
            }
            let text = self.texts.get(at..at + length as usize)?;
            at += text.len();
            Some(text)
        };
        Some(Item {
            path: next()?,
            from: next(),
            target: next(),
            look: self.looks.get(kept.look as usize)?,
            bytes: (kept.bytes != NONE).then_some(kept.bytes),
            written: kept.written,
        })
    }

    /// All of them.
    pub(super) fn all(&self) -> List<'_> {
        let count = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
        List {
            seen: self,
            indexes: (0..count).collect(),
        }
    }
}

/// Some of the changes of a volume.
#[derive(Clone, Debug)]
pub(super) struct List<'a> {
    seen: &'a Seen,
    indexes: Vec<u32>,
}

impl<'a> List<'a> {
    /// None of those that `other` is of.
    pub(super) fn none_of(other: &Self) -> Self {
        Self {
            seen: other.seen,
            indexes: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.indexes.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<Item<'a>> {
        self.seen.item(*self.indexes.get(at)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Item<'a>> {
        let seen = self.seen;
        self.indexes.iter().filter_map(|index| seen.item(*index))
    }

    /// Those in `range`.
    pub(super) fn part(&self, range: std::ops::Range<usize>) -> Self {
        let part = self.indexes.get(range);
        Self {
            seen: self.seen,
            indexes: part.unwrap_or_default().to_vec(),
        }
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.indexes.extend_from_slice(&other.indexes);
    }

    /// Those that `first` is true for, and the others.
    pub(super) fn split(self, first: impl Fn(&Item<'a>) -> bool) -> (Self, Self) {
        let seen = self.seen;
        let is = |index: &u32| seen.item(*index).is_some_and(|item| first(&item));
        let (some, others) = self.indexes.into_iter().partition(is);
        let list = |indexes| Self { seen, indexes };
        (list(some), list(others))
    }

    /// Sorts them; equal ones stay as they are.
    pub(super) fn sort(&mut self, order: impl Fn(&Item<'a>, &Item<'a>) -> std::cmp::Ordering) {
        let seen = self.seen;
        self.indexes
            .sort_by(|a, b| match (seen.item(*a), seen.item(*b)) {
                (Some(a), Some(b)) => order(&a, &b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            });
    }
}
