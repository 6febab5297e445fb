//! One view of the touched files: which there are, and their paths in order.

use std::cmp::Ordering;

use super::briefs::Briefs;
use super::names::{Names, PathParts};
use super::run::Run;
use super::spill::Spill;
use super::volume::OpenVolume;
use crate::{FileKey, FileSet, Result, Shared, View};

/// What is known of the touched files in one view.
#[derive(Default)]
pub(super) struct Side {
    /// Those that exist.
    pub(super) files: Briefs,
    pub(super) names: Names,
    /// Their paths, sorted: links as the names count them, or [`ROOT`].
    order: Spill<u32>,
}

/// Stands for the path of the root among links.
const ROOT: u32 = u32::MAX;

impl Side {
    pub(super) fn has_entries(&self, key: FileKey) -> bool {
        self.files.get(key).is_some_and(|b| b.kind.has_entries())
    }

    /// Finds the paths of all of `files`.
    pub(super) fn name(
        &mut self,
        run: &Run<'_>,
        volume: &OpenVolume,
        view: View,
        files: &FileSet,
        shared: Option<&Shared>,
    ) -> Result<()> {
        self.order = Spill::default();
        self.names = Names::default();
        self.files.sort(run)?;
        let names = Names::gather(run, volume, view, files, shared)?;
        run.check()?;
        let mut order = Spill::new(run);
        if self.files.get(names.root_path().parent).is_some() {
            order.push(ROOT);
        }
        let mut last: Option<(FileKey, bool)> = None;
        for (index, key, _) in names.each_path(run) {
            // Links of one file follow each other.
            let (_, exists) = match last {
                Some((known, exists)) if known == key => (known, exists),
                _ => (key, self.files.get(key).is_some()),
            };
            last = Some((key, exists));
            if let (true, Ok(index)) = (exists, u32::try_from(index)) {
                order.push(index);
            }
        }
        type Place<'n> = Option<(FileKey, PathParts<'n>)>;
        let place = |n: &u32| parts(&names, run, *n);
        let by_path = |a: &Place<'_>, b: &Place<'_>| match (a, b) {
            (Some((key, x)), Some((other, y))) => PathParts::order(x, y).then(key.cmp(other)),
            (x, y) => x.is_some().cmp(&y.is_some()),
        };
        // Where a damaged directory has a name twice, one file has it.
        let twice = |a: &Place<'_>, b: &Place<'_>| match (a, b) {
            (Some((_, x)), Some((_, y))) => PathParts::order(x, y) == Ordering::Equal,
            _ => false,
        };
        order.sort(run, place, by_path, twice)?;
        self.order = order;
        self.names = names;
        Ok(())
    }

    /// Number of paths.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The path at `at` in their order, and its file.
    pub(super) fn path(&self, run: &Run<'_>, at: usize) -> Option<(FileKey, PathParts<'_>)> {
        parts(&self.names, run, self.order.get(at)?)
    }

    /// Where in the order a path is.
    pub(super) fn find(&self, run: &Run<'_>, path: &PathParts<'_>) -> Option<usize> {
        let order = |n: u32| {
            let known = parts(&self.names, run, n);
            known.map_or(Ordering::Less, |(_, known)| known.order(path))
        };
        let at = self.order.partition_point(|n| order(*n).is_lt());
        let found = self.order.get(at)?;
        order(found).is_eq().then_some(at)
    }
}

fn parts<'n>(names: &'n Names, run: &Run<'_>, n: u32) -> Option<(FileKey, PathParts<'n>)> {
    if n == ROOT {
        let root = names.root_path();
        return Some((root.parent, root));
    }
    let (_, key, parts) = names.at(run, n as usize)?;
    Some((key, parts))
}
