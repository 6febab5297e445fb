//! Which files a change touched: the owners of differing bytes, and the children whose directory
//! entries differ.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::layout::OpenVolume;
use super::names::{Entries, NamedPath, Names, entries};
use super::pairing::Pair;
use super::run::{Bound, Run};
use crate::{
    Attributes, Diagnostic, FileKey, FileSet, Lineage, Link, RawName, Result, Shared, View,
};

/// Directories whose entries are held in memory at a time.
const DIRECTORIES: usize = 256;

/// What is known of the touched files in one view.
#[derive(Default)]
pub(super) struct Side {
    /// Those that exist.
    pub(super) attributes: BTreeMap<FileKey, Attributes>,
    /// Those of each lineage; several on a damaged volume only.
    by_lineage: BTreeMap<Lineage, Vec<FileKey>>,
    pub(super) names: Names,
    /// The paths of those that have any.
    pub(super) paths: BTreeMap<FileKey, Vec<NamedPath>>,
    /// The other way round.
    pub(super) by_path: BTreeMap<Vec<u8>, FileKey>,
}

impl Side {
    fn has_entries(&self, key: FileKey) -> bool {
        self.attributes
            .get(&key)
            .is_some_and(|a| a.kind.has_entries())
    }

    fn add(&mut self, attributes: BTreeMap<FileKey, Attributes>) {
        for (key, file) in attributes {
            if !file.lineage.is_none() {
                let lineage = file.lineage.clone();
                self.by_lineage.entry(lineage).or_default().push(key);
            }
            self.attributes.insert(key, file);
        }
    }

    /// The touched files of a lineage, in the order of their keys within each round.
    pub(super) fn of_lineage(&self, lineage: &Lineage) -> impl Iterator<Item = FileKey> {
        self.by_lineage.get(lineage).into_iter().flatten().copied()
    }
}

/// The touched files of one volume.
pub(super) struct Touched<'a> {
    run: &'a Run<'a>,
    pub(super) pair: Pair<'a>,
    keys: BTreeSet<FileKey>,
    /// The directories in which other names stand in merged than in base.
    renamed_in: BTreeSet<FileKey>,
    pub(super) base: Side,
    pub(super) merged: Side,
}

impl<'a> Touched<'a> {
    /// Follows the owners of differing bytes to all that was touched, and names it. `shared` is
    /// for the naming pass.
    pub(super) fn find(
        run: &'a Run<'a>,
        pair: Pair<'a>,
        owners: BTreeSet<FileKey>,
        shared: impl Fn() -> Option<Shared>,
    ) -> Result<Self> {
        let (base, merged) = (Side::default(), Side::default());
        let (keys, renamed_in) = (BTreeSet::new(), BTreeSet::new());
        let mut touched = Self {
            run,
            pair,
            keys,
            renamed_in,
            base,
            merged,
        };
        touched.explore(owners)?;
        let mut expanded = BTreeSet::new();
        loop {
            touched.name(shared().as_ref())?;
            let children = touched.children_of_swapped(&mut expanded)?;
            let before = touched.keys.len();
            touched.explore(children)?;
            if touched.keys.len() == before {
                return Ok(touched);
            }
        }
    }

    /// Looks at `new` files, and at the children whose entries differ, and so on.
    fn explore(&mut self, new: BTreeSet<FileKey>) -> Result<()> {
        let mut pending = new;
        loop {
            self.run.check()?;
            let room = self
                .run
                .options
                .limits
                .files
                .saturating_sub(self.keys.len());
            let fresh: FileSet = pending
                .iter()
                .copied()
                .filter(|k| !self.keys.contains(k))
                .take(room)
                .collect();
            if fresh.is_empty() {
                if room == 0 {
                    let text = "more files were touched than are looked at";
                    let finding = Diagnostic::warning("files-limit", text).losing();
                    let volume = self.pair.shown().map(|v| v.name.as_str());
                    self.run.report(volume, finding);
                }
                return Ok(());
            }
            self.keys.extend(fresh.iter());
            for (view, volume) in self.pair.sides() {
                let Some(volume) = volume else { continue };
                let attributes = attributes(self.run, volume, view, &fresh)?;
                self.side_mut(view).add(attributes);
            }
            let directories: Vec<FileKey> = fresh
                .iter()
                .filter(|k| self.base.has_entries(*k) || self.merged.has_entries(*k))
                .collect();
            pending.clear();
            for batch in directories.chunks(DIRECTORIES) {
                self.compare_directories(batch, &mut pending)?;
            }
        }
    }

    fn side_mut(&mut self, view: View) -> &mut Side {
        match view {
            View::Base => &mut self.base,
            View::Merged => &mut self.merged,
        }
    }

    /// Adds the children whose entries in one of `directories` came or went; all of them where the
    /// directory itself did. A snapshot that came or went is told as itself: it has all files of
    /// what it was made of.
    fn compare_directories(
        &mut self,
        directories: &[FileKey],
        children: &mut BTreeSet<FileKey>,
    ) -> Result<()> {
        let [base, merged] = self.links_in(directories)?;
        let compared = self.run.each(directories, |key| {
            let (before, after) = (base.of(*key), merged.of(*key));
            let ids = (
                self.base.attributes.get(key),
                self.merged.attributes.get(key),
            );
            let same = matches!(ids, (Some(b), Some(m)) if self.pair.same_file(b, m));
            let plain = |a: Option<&Attributes>| a.is_some_and(|a| a.snapshot_of.is_none());
            let came_or_went: Vec<FileKey> = match same {
                true => differing(before, after).map(|l| l.child).collect(),
                false => {
                    let before = before.iter().filter(|_| plain(ids.0));
                    let after = after.iter().filter(|_| plain(ids.1));
                    before.chain(after).map(|l| l.child).collect()
                }
            };
            (!names(before).eq(names(after)), came_or_went)
        });
        for (key, (renamed, came_or_went)) in directories.iter().zip(compared) {
            if renamed {
                self.renamed_in.insert(*key);
            }
            children.extend(came_or_went);
        }
        Ok(())
    }

    /// The links in each of `directories`, in base and in merged.
    fn links_in(&self, directories: &[FileKey]) -> Result<[Entries; 2]> {
        let directories: FileSet = directories.iter().copied().collect();
        let mut found = [Entries::default(), Entries::default()];
        for ((view, volume), out) in self.pair.sides().into_iter().zip(&mut found) {
            if let Some(volume) = volume {
                *out = entries(self.run, volume, view, &directories)?;
            }
        }
        Ok(found)
    }

    /// Whether the directory `before` of base has other names than the directory `after` of merged.
    pub(super) fn names_differ(&self, before: FileKey, after: FileKey) -> Result<bool> {
        if before == after {
            return Ok(self.renamed_in.contains(&before));
        }
        let [base, merged] = self.links_in(&[before, after])?;
        Ok(!names(base.of(before)).eq(names(merged.of(after))))
    }

    /// Finds the paths of all touched files in both views.
    fn name(&mut self, shared: Option<&Shared>) -> Result<()> {
        // The same question for both views, so that a scan serves both.
        let all: FileSet = self.keys.iter().copied().collect();
        for (view, volume) in self.pair.sides().into_iter().rev() {
            let Some(volume) = volume else { continue };
            let names = Names::gather(self.run, volume, view, &all, shared)?;
            let run = self.run;
            let side = self.side_mut(view);
            side.paths.clear();
            side.by_path.clear();
            for key in side.attributes.keys().copied() {
                let paths = names.paths_of(run, key);
                for named in &paths {
                    side.by_path.entry(named.path.clone()).or_insert(key);
                }
                if !paths.is_empty() {
                    side.paths.insert(key, paths);
                }
            }
            side.names = names;
        }
        Ok(())
    }

    /// The children of directories that changed places in a way that is no plain rename (two were
    /// exchanged, or a new one stands where the old one was): the paths below them all mean
    /// something else now.
    fn children_of_swapped(&self, done: &mut BTreeSet<FileKey>) -> Result<BTreeSet<FileKey>> {
        let mut swapped = Vec::new();
        for (before, then) in &self.base.attributes {
            if !then.kind.has_entries() || done.contains(before) {
                continue;
            }
            let after = self.merged.of_lineage(&then.lineage).find(|after| {
                let now = self.merged.attributes.get(after);
                now.is_some_and(|now| self.pair.same_file(then, now))
            });
            let Some(after) = after else {
                continue;
            };
            let path = |side: &Side, key| Some(side.paths.get(key)?.first()?.path.clone());
            let paths = (path(&self.base, before), path(&self.merged, &after));
            let (Some(from), Some(to)) = paths else {
                continue;
            };
            let taken =
                self.merged.by_path.contains_key(&from) || self.base.by_path.contains_key(&to);
            if from != to && taken {
                done.insert(*before);
                swapped.extend([*before, after]);
            }
        }
        swapped.sort_unstable();
        swapped.dedup();
        let links = self.links_in(&swapped)?;
        Ok(links
            .iter()
            .flat_map(Entries::iter)
            .map(|l| l.child)
            .collect())
    }
}

/// The links that are in one of two sorted lists only.
fn differing<'l>(before: &'l [Link], after: &'l [Link]) -> impl Iterator<Item = &'l Link> {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    std::iter::from_fn(move || {
        loop {
            match (before.peek(), after.peek()) {
                (Some(x), Some(y)) => match x.cmp(y) {
                    Ordering::Less => return before.next(),
                    Ordering::Greater => return after.next(),
                    Ordering::Equal => _ = (before.next(), after.next()),
                },
                (Some(_), None) => return before.next(),
                _ => return after.next(),
            }
        }
    })
}

/// The names in sorted links.
fn names(links: &[Link]) -> impl Iterator<Item = &RawName> {
    let mut last = None;
    links
        .iter()
        .map(|l| &l.name)
        .filter(move |name| last.replace(*name) != Some(*name))
}

/// The attributes of those of `files` that exist in a view.
pub(super) fn attributes(
    run: &Run<'_>,
    volume: &OpenVolume,
    view: View,
    files: &FileSet,
) -> Result<BTreeMap<FileKey, Attributes>> {
    let Some(fs) = volume.filesystem() else {
        return Ok(BTreeMap::new());
    };
    let bound = Bound {
        what: "attributes",
        limit: run.options.limits.files,
        at_once: 256,
    };
    let found = run.ask(view, volume, files, bound, |files, scan, found| {
        fs.attributes(files, scan, found)
    })?;
    Ok(found.into_iter().map(|a| (a.key, a)).collect())
}
