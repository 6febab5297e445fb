//! Passing changes on as they are found, and counting them.

use std::collections::{BTreeMap, BTreeSet};

use super::ranges::on_disk;
use crate::report::{Change, ChangeKind, DiffVisitor, FileNames};
use crate::{ByteRange, Disks, FileKey, RangeSet, Result, View};

/// What was made of a few changes, and what is counted of them.
pub(super) struct Made<M> {
    made: M,
    names: Vec<FileNames>,
    /// Where on the disk their data lies in merged.
    shown: Vec<ByteRange>,
    kinds: BTreeMap<ChangeKind, u64>,
}

impl<M: Send> Made<M> {
    /// Makes something of `changes`, whose places are in the space of all disks.
    pub(super) fn of(
        (visitor, disks): (&impl DiffVisitor<Made = M>, &Disks),
        mut changes: Vec<Change>,
        names: Vec<FileNames>,
    ) -> Self {
        let mut shown = Vec::new();
        let mut kinds: BTreeMap<ChangeKind, u64> = BTreeMap::new();
        for change in &mut changes {
            *kinds.entry(change.change).or_default() += 1;
            let merged = change.ranges.iter().filter(|r| r.view == View::Merged);
            shown.extend(merged.flat_map(|r| on_disk(std::slice::from_ref(r))));
            for range in &mut change.ranges {
                (range.disk, range.disk_offset) = disks.place(range.disk_offset);
            }
        }
        Self {
            made: visitor.make(changes),
            names,
            shown,
            kinds,
        }
    }
}

/// Passes changes on in their order.
pub(super) struct Writer<'a, V> {
    visitor: &'a V,
    disks: &'a Disks,
    shown: Vec<ByteRange>,
    kinds: BTreeMap<ChangeKind, u64>,
    /// The files whose names were passed on.
    named: BTreeSet<(usize, Option<View>, FileKey)>,
}

impl<'a, V: DiffVisitor> Writer<'a, V> {
    pub(super) fn new(visitor: &'a V, disks: &'a Disks) -> Self {
        Self {
            visitor,
            disks,
            shown: Vec::new(),
            kinds: BTreeMap::new(),
            named: BTreeSet::new(),
        }
    }

    pub(super) fn visitor(&self) -> (&'a V, &'a Disks) {
        (self.visitor, self.disks)
    }

    pub(super) fn take(&mut self, made: Made<V::Made>) -> Result<()> {
        for names in made.names {
            if self.named.insert((names.volume, names.view, names.file)) {
                self.visitor.names(&names)?;
            }
        }
        self.shown.extend(made.shown);
        for (kind, count) in made.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        self.visitor.take(made.made)
    }

    /// What the changes show of the merged disk, and how many there are of each kind.
    pub(super) fn finish(self) -> (RangeSet, BTreeMap<ChangeKind, u64>) {
        (self.shown.into_iter().collect(), self.kinds)
    }
}
