//! What is kept of touched files in memory: of a million of them each byte counts.

use std::collections::BTreeMap;

use super::layout::OpenVolume;
use super::run::{Bound, Counted, Run};
use crate::{Attributes, FileKey, FileKind, FileSet, Lineage, Result, Sink, View};

/// What the join needs to know of a file before it makes a record of it.
#[derive(Clone, Debug)]
pub(super) struct Brief {
    pub(super) key: FileKey,
    pub(super) kind: FileKind,
    pub(super) lineage: Lineage,
    /// Whether it is the root of a snapshot.
    pub(super) snapshot: bool,
}

impl Brief {
    pub(super) fn of(attributes: &Attributes) -> Self {
        Self {
            key: attributes.key,
            kind: attributes.kind,
            lineage: attributes.lineage.clone(),
            snapshot: attributes.snapshot_of.is_some(),
        }
    }
}

/// Keeps the briefs of attributes.
struct Shortened<'a, 'b>(&'a mut Counted<'b, Brief>);

impl Sink<Attributes> for Shortened<'_, '_> {
    fn put(&mut self, attributes: Attributes) -> Result<()> {
        self.0.put(Brief::of(&attributes))
    }
}

/// The files of one view that exist, by key and by lineage.
#[derive(Default)]
pub(super) struct Briefs {
    sorted: Vec<Brief>,
    /// Those that came since they were sorted.
    recent: BTreeMap<FileKey, Brief>,
    /// Indexes of those that have a lineage, by lineage and key, once [`Briefs::sort`] was called.
    by_lineage: Vec<u32>,
}

impl Briefs {
    /// Asks for those of `files` that exist in a view.
    pub(super) fn find(
        &mut self,
        run: &Run<'_>,
        volume: &OpenVolume,
        view: View,
        files: &FileSet,
    ) -> Result<()> {
        let Some(fs) = volume.filesystem() else {
            return Ok(());
        };
        let bound = Bound {
            what: "attributes",
            limit: run.options.limits.files,
            at_once: 256,
        };
        let found = run.ask(view, volume, files, bound, |files, scan, found| {
            fs.attributes(files, scan, &mut Shortened(found))
        })?;
        if self.sorted.is_empty() && self.recent.is_empty() && found.is_sorted_by_key(|b| b.key) {
            self.sorted = found;
        } else {
            self.recent.extend(found.into_iter().map(|b| (b.key, b)));
            if self.recent.len() > self.sorted.len() / 2 {
                self.merge();
            }
        }
        Ok(())
    }

    fn merge(&mut self) {
        let recent = std::mem::take(&mut self.recent);
        self.sorted.extend(recent.into_values());
        self.sorted.sort_by_key(|b| b.key);
        self.sorted.dedup_by_key(|b| b.key);
    }

    /// Makes them known by lineage.
    pub(super) fn sort(&mut self, run: &Run<'_>) {
        self.merge();
        let sorted = &self.sorted;
        let known = (0..).zip(sorted).filter(|(_, b)| !b.lineage.is_none());
        let mut by_lineage: Vec<u32> = known.map(|(n, _)| n).collect();
        let place = |n: &u32| sorted.get(*n as usize).map(|b| (&b.lineage, b.key));
        run.sort(&mut by_lineage, |a, b| place(a).cmp(&place(b)));
        self.by_lineage = by_lineage;
    }

    pub(super) fn get(&self, key: FileKey) -> Option<&Brief> {
        match self.sorted.binary_search_by_key(&key, |b| b.key) {
            Ok(at) => self.sorted.get(at),
            Err(_) => self.recent.get(&key),
        }
    }

    /// Whether there is any without a lineage, once they are sorted.
    pub(super) fn some_without_lineage(&self) -> bool {
        self.by_lineage.len() < self.sorted.len()
    }

    /// All, by key, once they are sorted.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Brief> {
        self.sorted.iter()
    }

    /// The files of a lineage, by key; several on a damaged volume only.
    pub(super) fn of_lineage<'a>(
        &'a self,
        lineage: &'a Lineage,
    ) -> impl Iterator<Item = &'a Brief> {
        let at = |n: &u32| self.sorted.get(*n as usize);
        let from = self
            .by_lineage
            .partition_point(|n| at(n).is_some_and(|b| b.lineage < *lineage));
        let from = self.by_lineage.get(from..).unwrap_or_default();
        let briefs = from.iter().filter_map(at);
        briefs.take_while(|b| b.lineage == *lineage)
    }
}
