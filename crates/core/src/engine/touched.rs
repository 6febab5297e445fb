//! Which files a change touched: the owners of differing bytes, and the children whose directory
//! entries differ.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::briefs::Brief;
use super::names::{Entries, dirty_entries, entries};
use super::pairing::Pair;
use super::run::Run;
use super::side::Side;
use crate::{
    Diagnostic, Diagnostics, FileKey, FileSet, Link, RangeSet, RawName, Result, Shared, View,
};

/// Directories whose entries are held in memory at a time.
const DIRECTORIES: usize = 64;

/// The touched files of one volume.
pub(super) struct Touched<'a> {
    run: &'a Run<'a>,
    pub(super) pair: Pair<'a>,
    /// Where the two views may differ; `None` when all of it may.
    dirty: Option<&'a RangeSet>,
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
        dirty: Option<&'a RangeSet>,
        shared: impl Fn() -> Option<Shared>,
    ) -> Result<Self> {
        let (base, merged) = (Side::default(), Side::default());
        let (keys, renamed_in) = (BTreeSet::new(), BTreeSet::new());
        let mut touched = Self {
            run,
            pair,
            dirty,
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
                if pending.iter().any(|k| !self.keys.contains(k)) {
                    let text = "more files were touched than are looked at";
                    let finding = Diagnostic::warning("files-limit", text).losing();
                    let volume = self.pair.shown().map(|v| v.name.as_str());
                    self.run.report(volume, finding);
                }
                return Ok(());
            }
            self.keys.extend(fresh.iter());
            for (view, volume) in self.pair.sides() {
                if let Some(volume) = volume {
                    let run = self.run;
                    self.side_mut(view).files.find(run, volume, view, &fresh)?;
                }
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
        let whole = self.compare_dirty(directories, children)?;
        if whole.is_empty() {
            return Ok(());
        }
        let directories = whole.as_slice();
        let [base, merged] = self.links_in(directories, &self.run.diagnostics)?;
        let compared = self.run.each(directories, |key| {
            let (before, after) = (base.of(*key), merged.of(*key));
            let (same, ids) = self.is_same(*key);
            let plain = |b: &Option<Brief>| b.as_ref().is_some_and(|b| !b.snapshot);
            let came_or_went: Vec<FileKey> = match same {
                true => differing(before, after).map(|l| l.child).collect(),
                false => {
                    let before = before.iter().filter(|_| plain(&ids.0));
                    let after = after.iter().filter(|_| plain(&ids.1));
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

    /// Whether a directory is the same one in both views, and what it is in each.
    fn is_same(&self, key: FileKey) -> (bool, (Option<Brief>, Option<Brief>)) {
        let ids = (self.base.files.get(key), self.merged.files.get(key));
        let same = matches!(&ids, (Some(b), Some(m)) if self.pair.same_file(b, m));
        (same, ids)
    }

    /// Compares those of `directories` that are in both views, without their blocks that read the
    /// same in both: what these hold is in both. Gives the others back.
    fn compare_dirty(
        &mut self,
        directories: &[FileKey],
        children: &mut BTreeSet<FileKey>,
    ) -> Result<Vec<FileKey>> {
        let mut whole = Vec::new();
        let (Some(dirty), [(x, Some(base)), (y, Some(merged))]) = (self.dirty, self.pair.sides())
        else {
            return Ok(directories.to_vec());
        };
        let same: FileSet = directories
            .iter()
            .copied()
            .filter(|k| self.is_same(*k).0)
            .collect();
        let base = dirty_entries(self.run, base, x, &same, dirty)?;
        let merged = dirty_entries(self.run, merged, y, &same, dirty)?;
        for key in directories.iter().copied() {
            if !same.contains(key) || base.clean(key) != merged.clean(key) {
                whole.push(key);
                continue;
            }
            let (before, after) = (base.entries.of(key), merged.entries.of(key));
            children.extend(differing(before, after).map(|l| l.child));
            if !names(before).eq(names(after)) {
                self.renamed_in.insert(key);
            }
        }
        Ok(whole)
    }

    /// The links in each of `directories`, in base and in merged.
    fn links_in(&self, directories: &[FileKey], findings: &Diagnostics) -> Result<[Entries; 2]> {
        let directories: FileSet = directories.iter().copied().collect();
        let mut found = [Entries::default(), Entries::default()];
        for ((view, volume), out) in self.pair.sides().into_iter().zip(&mut found) {
            if let Some(volume) = volume {
                *out = entries(self.run, volume, view, &directories, findings)?;
            }
        }
        Ok(found)
    }

    /// Whether the directory `before` of base has other names than the directory `after` of merged.
    /// Findings go into `findings`.
    pub(super) fn names_differ(
        &self,
        before: FileKey,
        after: FileKey,
        findings: &Diagnostics,
    ) -> Result<bool> {
        if before == after {
            return Ok(self.renamed_in.contains(&before));
        }
        let [base, merged] = self.links_in(&[before, after], findings)?;
        Ok(!names(base.of(before)).eq(names(merged.of(after))))
    }

    /// Finds the paths of all touched files in both views.
    fn name(&mut self, shared: Option<&Shared>) -> Result<()> {
        // The same question for both views, so that a scan serves both.
        let all: FileSet = self.keys.iter().copied().collect();
        let run = self.run;
        for (view, volume) in self.pair.sides().into_iter().rev() {
            if let Some(volume) = volume {
                let side = self.side_mut(view);
                side.name(run, volume, view, &all, shared)?;
            }
        }
        Ok(())
    }

    /// The children of directories that changed places in a way that is no plain rename (two were
    /// exchanged, or a new one stands where the old one was): the paths below them all mean
    /// something else now.
    fn children_of_swapped(&self, done: &mut BTreeSet<FileKey>) -> Result<BTreeSet<FileKey>> {
        let mut swapped = Vec::new();
        let (base, merged, run) = (&self.base, &self.merged, self.run);
        for then in base.files.iter() {
            if !then.kind.has_entries() || done.contains(&then.key) {
                continue;
            }
            let mut alike = merged.files.of_lineage(&then.lineage);
            let Some(now) = alike.find(|now| self.pair.same_file(&then, now)) else {
                continue;
            };
            let from = base.names.paths_of(run, then.key).into_iter().next();
            let to = merged.names.paths_of(run, now.key).into_iter().next();
            let (Some(from), Some(to)) = (from, to) else {
                continue;
            };
            let taken = || merged.find(run, &from).is_some() || base.find(run, &to).is_some();
            if from.order(&to) != Ordering::Equal && taken() {
                done.insert(then.key);
                swapped.extend([then.key, now.key]);
            }
        }
        swapped.sort_unstable();
        swapped.dedup();
        let links = self.links_in(&swapped, &run.diagnostics)?;
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
