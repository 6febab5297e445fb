//! Counts by kind, and bytes.

use std::ops::AddAssign;

use hexz_resolve::FileKind;

use super::seen::Item;
use crate::text::{count, size};

/// What a line speaks of, when it speaks of many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    files: u64,
    directories: u64,
    links: u64,
    others: u64,
    /// Sum of the content, where any has one.
    pub(super) bytes: Option<u64>,
}

impl Tally {
    pub(super) fn of(item: &Item<'_>) -> Self {
        Self::one(item.look.kind, item.bytes)
    }

    /// Of one of `kind` with a content of `bytes`.
    pub(super) fn one(kind: FileKind, bytes: Option<u64>) -> Self {
        let mut tally = Self {
            bytes,
            ..Self::default()
        };
        *match kind {
            FileKind::File => &mut tally.files,
            FileKind::Directory => &mut tally.directories,
            FileKind::Symlink => &mut tally.links,
            _ => &mut tally.others,
        } = 1;
        tally
    }

    pub(super) fn entries(&self) -> u64 {
        self.files + self.directories + self.links + self.others
    }

    /// `21,304 files, 1,200 directories, 31 links`.
    pub(super) fn kinds(&self) -> String {
        let mut words = Vec::new();
        for (n, one) in [
            (self.files, "file"),
            (self.directories, "directory"),
            (self.links, "link"),
        ] {
            if n > 0 {
                words.push(count(n, one));
            }
        }
        if self.others > 0 {
            words.push(format!("{} special", crate::text::number(self.others)));
        }
        words.join(", ")
    }

    /// The kinds, and the bytes where there are any.
    pub(super) fn whole(&self) -> String {
        match self.bytes {
            Some(bytes) if bytes > 0 => format!("{}, {}", self.kinds(), size(bytes)),
            _ => self.kinds(),
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.directories += other.directories;
        self.links += other.links;
        self.others += other.others;
        self.bytes = match (self.bytes, other.bytes) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
    }
}

impl<'a> FromIterator<Item<'a>> for Tally {
    fn from_iter<I: IntoIterator<Item = Item<'a>>>(items: I) -> Self {
        let mut sum = Self::default();
        items.into_iter().for_each(|item| sum += Self::of(&item));
        sum
    }
}
