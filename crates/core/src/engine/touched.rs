//! Which files a change touched: the owners of differing bytes, and the children whose directory
//! entries differ.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::OpenVolume;
use super::names::{NamedPath, Names, entries};
use super::run::Run;
use crate::{
    Attributes, Bounded, Diagnostic, FileId, FileKey, FileKind, FileSet, Link, Result, Shared, View,
};

/// A volume in its two views; at least one is there.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) base: Option<&'a OpenVolume>,
    pub(super) merged: Option<&'a OpenVolume>,
    /// Whether a file id means the same file in both views: the filesystem was not made anew.
    pub(super) same_filesystem: bool,
}

impl<'a> Pair<'a> {
    pub(super) fn sides(&self) -> [(View, Option<&'a OpenVolume>); 2] {
        [(View::Base, self.base), (View::Merged, self.merged)]
    }

    pub(super) fn same_file(&self, base: FileId, merged: FileId) -> bool {
        self.same_filesystem && base == merged
    }
}

/// What is known of the touched files in one view.
#[derive(Default)]
pub(super) struct Side {
    /// Those that exist.
    pub(super) attributes: BTreeMap<FileKey, Attributes>,
    /// The links in those that are directories.
    pub(super) entries: BTreeMap<FileKey, Vec<Link>>,
    pub(super) names: Names,
    /// The paths of those that have any.
    pub(super) paths: BTreeMap<FileKey, Vec<NamedPath>>,
    /// The other way round.
    pub(super) by_path: BTreeMap<Vec<u8>, FileKey>,
}

impl Side {
    fn is_directory(&self, key: FileKey) -> bool {
        self.attributes
            .get(&key)
            .is_some_and(|a| a.kind == FileKind::Directory)
    }

    pub(super) fn links_in(&self, directory: FileKey) -> &[Link] {
        self.entries.get(&directory).map_or(&[], Vec::as_slice)
    }
}

/// The touched files of one volume.
pub(super) struct Touched<'a> {
    run: &'a Run<'a>,
    pub(super) pair: Pair<'a>,
    keys: BTreeSet<FileKey>,
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
        let mut touched = Self {
            run,
            pair,
            keys: BTreeSet::new(),
            base,
            merged,
        };
        touched.explore(owners)?;
        let mut expanded = BTreeSet::new();
        loop {
            touched.name(shared().as_ref())?;
            let children = touched.children_of_swapped(&mut expanded);
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
                    self.run.note_partial();
                    let text = "more files were touched than are looked at";
                    self.run
                        .report(None, Diagnostic::warning("files-limit", text));
                }
                return Ok(());
            }
            self.keys.extend(fresh.iter());
            for (view, volume) in self.pair.sides() {
                let Some(volume) = volume else { continue };
                let attributes = attributes(self.run, volume, view, &fresh)?;
                self.side_mut(view).attributes.extend(attributes);
            }
            let directories: FileSet = fresh
                .iter()
                .filter(|k| self.base.is_directory(*k) || self.merged.is_directory(*k))
                .collect();
            for (view, volume) in self.pair.sides() {
                let Some(volume) = volume else { continue };
                let found = entries(self.run, volume, view, &directories)?;
                self.side_mut(view).entries.extend(found);
            }
            pending = directories
                .iter()
                .flat_map(|d| self.differing_children(d))
                .collect();
        }
    }

    fn side_mut(&mut self, view: View) -> &mut Side {
        match view {
            View::Base => &mut self.base,
            View::Merged => &mut self.merged,
        }
    }

    /// The children whose entries in `directory` came or went; all of them where the directory
    /// itself did.
    fn differing_children(&self, directory: FileKey) -> Vec<FileKey> {
        let (base, merged) = (
            self.base.links_in(directory),
            self.merged.links_in(directory),
        );
        let ids = (
            self.base.attributes.get(&directory),
            self.merged.attributes.get(&directory),
        );
        let same = matches!(ids, (Some(b), Some(m)) if self.pair.same_file(b.id, m.id));
        let lacks = |others: &[Link], link: &Link| !same || others.binary_search(link).is_err();
        let went = base.iter().filter(|l| lacks(merged, l));
        let came = merged.iter().filter(|l| lacks(base, l));
        went.chain(came).map(|l| l.child).collect()
    }

    /// Finds the paths of all touched files in both views.
    fn name(&mut self, shared: Option<&Shared>) -> Result<()> {
        // The same question for both views, so that a scan serves both.
        let all: FileSet = self.keys.iter().copied().collect();
        for (view, volume) in self.pair.sides().into_iter().rev() {
            let Some(volume) = volume else { continue };
            let mut names = Names::gather(self.run, volume, view, &all, shared)?;
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
    fn children_of_swapped(&self, done: &mut BTreeSet<FileKey>) -> BTreeSet<FileKey> {
        let mut children = BTreeSet::new();
        for (key, attributes) in &self.base.attributes {
            let Some(now) = self.merged.attributes.get(key) else {
                continue;
            };
            if attributes.kind != FileKind::Directory
                || !self.pair.same_file(attributes.id, now.id)
                || done.contains(key)
            {
                continue;
            }
            let path = |side: &Side| Some(side.paths.get(key)?.first()?.path.clone());
            let (Some(from), Some(to)) = (path(&self.base), path(&self.merged)) else {
                continue;
            };
            let taken =
                self.merged.by_path.contains_key(&from) || self.base.by_path.contains_key(&to);
            if from != to && taken {
                done.insert(*key);
                let links = self
                    .base
                    .links_in(*key)
                    .iter()
                    .chain(self.merged.links_in(*key));
                children.extend(links.map(|l| l.child));
            }
        }
        children
    }
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
    let mut found = Bounded::new("attributes", run.options.limits.files);
    run.pass(view, &volume.name, None, |scan| {
        fs.attributes(files, scan, &mut found)
    })?;
    Ok(found.items.into_iter().map(|a| (a.id.key(), a)).collect())
}
