//! From paths to change records: the files of a few paths are looked at, and compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::briefs::Brief;
use super::content::{Comparer, Extents, InPlace, Side as Content, extents};
use super::measure::Measure;
use super::names::PathParts;
use super::plan::{Planned, Step};
use super::ranges::Ranges;
use super::run::Run;
use super::touched::Touched;
use super::volume::OpenVolume;
use crate::report::{Change, ChangeKind, FileNames, PathBytes};
use crate::{
    Attributes, Bounded, Diagnostics, FileKey, FileKind, FileSet, RangeCursor, RangeSet, Result,
    View,
};

/// Makes change records of one pair of volumes.
pub(super) struct Records<'t, 'a> {
    pub(super) run: &'t Run<'a>,
    pub(super) touched: &'t Touched<'a>,
    /// Index of the volume in the report.
    pub(super) volume: usize,
    pub(super) ranges: &'t Ranges<'t>,
    /// Where the two views may differ; `None` when all of it may.
    pub(super) dirty: Option<&'t RangeSet>,
    /// Where the two views read otherwise than the disks do. `None` where the volume does not lie at
    /// one place in both.
    pub(super) replayed: Option<&'t RangeSet>,
    /// Bytes that may still be compared.
    pub(super) budget: &'t AtomicU64,
}

/// What came of a few paths.
pub(super) struct Found {
    /// Those that changed, in the order of their paths.
    pub(super) changes: Vec<Change>,
    /// The names of those files of them that have very many.
    pub(super) names: Vec<FileNames>,
}

/// A file and what is known of it, in a view where it exists.
type Known<'k> = Option<(FileKey, &'k Attributes)>;

/// What is known of the files of a few paths.
struct Files {
    base: BTreeMap<FileKey, Attributes>,
    merged: BTreeMap<FileKey, Attributes>,
    base_extents: Extents,
    merged_extents: Extents,
}

impl Records<'_, '_> {
    /// The changes at `steps`. Findings go into `findings`.
    pub(super) fn of(&self, steps: &[Planned], findings: &Diagnostics) -> Result<Found> {
        self.run.check()?;
        let files = self.files(steps, findings)?;
        let comparer = self.comparer(findings);
        let measure = Measure {
            touched: self.touched,
            base: &files.base_extents,
            merged: &files.merged_extents,
            comparer: comparer.as_ref(),
        };
        let mut links = HashMap::new();
        let mut found = Found {
            changes: Vec::with_capacity(steps.len()),
            names: Vec::new(),
        };
        let mut all = Vec::with_capacity(steps.len());
        for Planned { step, counted } in steps {
            let Some(mut joined) = self.record(*step, &files, comparer.as_ref(), findings)? else {
                continue;
            };
            joined.change.content_bytes = measure.of(&joined.change, *counted)?;
            self.name(&mut joined, &mut links, &mut found.names);
            all.push(joined);
        }
        // Where all contents lie is much, and so are the ranges that changed.
        drop(files);
        for mut joined in all {
            self.ranges
                .add_to(&mut joined.change, joined.base, joined.merged)?;
            found.changes.push(joined.change);
        }
        Ok(found)
    }

    fn path(&self, view: View, at: u32) -> Option<(FileKey, PathParts<'_>)> {
        let side = match view {
            View::Base => &self.touched.base,
            View::Merged => &self.touched.merged,
        };
        side.path(self.run, at as usize)
    }

    /// Asks for the attributes of the files at `steps`, and where those lie that must be compared.
    fn files(&self, steps: &[Planned], findings: &Diagnostics) -> Result<Files> {
        let key = |view, at| Some(self.path(view, at)?.0);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for planned in steps {
            let (base, merged) = match planned.step {
                Step::Both { base, merged } | Step::Moved { base, merged, .. } => {
                    (Some(base), Some(merged))
                }
                Step::Added { merged } => (None, Some(merged)),
                Step::Deleted { base } => (Some(base), None),
            };
            let base = base.and_then(|at| key(View::Base, at));
            let merged = merged.and_then(|at| key(View::Merged, at));
            before.extend(base);
            after.extend(merged);
        }
        let [base, merged] = self.touched.pair.sides();
        let base_files = self.attributes(base, before, findings)?;
        let merged_files = self.attributes(merged, after, findings)?;
        let regular = |files: &BTreeMap<FileKey, Attributes>| -> FileSet {
            let regular = files.values().filter(|a| a.kind == FileKind::File);
            regular.map(|a| a.key).collect()
        };
        let extents = |(view, volume): (View, Option<&OpenVolume>), files, findings| match volume {
            Some(volume) => extents(self.run, (view, volume), &regular(files), findings),
            None => Ok(Extents::new()),
        };
        let later = Diagnostics::new();
        let (merged_extents, base_extents) = self.run.beside(
            || extents(merged, &merged_files, &later),
            || extents(base, &base_files, findings),
        )?;
        findings.absorb(&later, |finding| finding);
        Ok(Files {
            base_extents,
            merged_extents,
            base: base_files,
            merged: merged_files,
        })
    }

    fn attributes(
        &self,
        (view, volume): (View, Option<&OpenVolume>),
        files: Vec<FileKey>,
        findings: &Diagnostics,
    ) -> Result<BTreeMap<FileKey, Attributes>> {
        let files: FileSet = files.into_iter().collect();
        let Some((volume, fs)) = volume.and_then(|v| Some((v, v.filesystem()?))) else {
            return Ok(BTreeMap::new());
        };
        if files.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut found = Bounded::new("attributes", self.run.options.limits.files);
        self.run.pass_into(findings, (view, volume), |scan| {
            fs.attributes(&files, scan, &mut found)
        })?;
        Ok(found.items.into_iter().map(|a| (a.key, a)).collect())
    }

    fn comparer<'c>(&'c self, findings: &'c Diagnostics) -> Option<Comparer<'c>> {
        let pair = self.touched.pair;
        match (pair.filesystems(), pair.merged) {
            ([Some(base), Some(merged)], Some(volume)) => Some(Comparer {
                run: self.run,
                volume,
                base,
                merged,
                dirty: self.dirty.map(RangeCursor::new),
                in_place: self.replayed.map(|replayed| InPlace {
                    counter: self.ranges.differences.counter(),
                    replayed,
                }),
                budget: self.budget,
                findings,
            }),
            _ => None,
        }
    }

    fn record(
        &self,
        step: Step,
        files: &Files,
        comparer: Option<&Comparer<'_>>,
        findings: &Diagnostics,
    ) -> Result<Option<Joined>> {
        let base = |at| {
            let (key, path) = self.path(View::Base, at)?;
            Some((key, path, files.base.get(&key)?))
        };
        let merged = |at| {
            let (key, path) = self.path(View::Merged, at)?;
            Some((key, path, files.merged.get(&key)?))
        };
        match step {
            Step::Added { merged: at } => Ok(merged(at)
                .map(|(key, path, now)| joined(ChangeKind::Added, &path, None, Some((key, now))))),
            Step::Deleted { base: at } => Ok(base(at).map(|(key, path, then)| {
                joined(ChangeKind::Deleted, &path, Some((key, then)), None)
            })),
            Step::Both { base: x, merged: y } => {
                let (Some((before, _, then)), Some((key, path, now))) = (base(x), merged(y)) else {
                    return Ok(None);
                };
                let pair = &self.touched.pair;
                let same = pair.same_at_path(&Brief::of(then), &Brief::of(now));
                let content_changed = then.kind != now.kind
                    || self.content_differs(then, now, files, comparer, findings)?;
                let attributes = differing_attributes(then, now, same);
                let kind = if then.kind != now.kind {
                    ChangeKind::Type
                } else if content_changed {
                    ChangeKind::Modified
                } else if !same || !attributes.is_empty() {
                    ChangeKind::Metadata
                } else {
                    return Ok(None);
                };
                let mut joined = joined(kind, &path, Some((before, then)), Some((key, now)));
                joined.change.replaced = !same;
                joined.change.content_changed = content_changed;
                joined.change.attributes = attributes;
                Ok(Some(joined))
            }
            Step::Moved {
                base: x,
                merged: y,
                along,
            } => {
                let (Some((before, from, then)), Some((key, path, now))) = (base(x), merged(y))
                else {
                    return Ok(None);
                };
                let content_changed = self.content_differs(then, now, files, comparer, findings)?;
                let attributes = differing_attributes(then, now, true);
                let kind = match (along, content_changed, attributes.is_empty()) {
                    (false, ..) => ChangeKind::Renamed,
                    (true, true, _) => ChangeKind::Modified,
                    (true, false, false) => ChangeKind::Metadata,
                    (true, false, true) => return Ok(None),
                };
                let mut joined = joined(kind, &path, Some((before, then)), Some((key, now)));
                joined.change.from = (!along).then(|| from.path());
                joined.change.content_changed = content_changed;
                joined.change.attributes = attributes;
                Ok(Some(joined))
            }
        }
    }

    fn content_differs(
        &self,
        then: &Attributes,
        now: &Attributes,
        files: &Files,
        comparer: Option<&Comparer<'_>>,
        findings: &Diagnostics,
    ) -> Result<bool> {
        Ok(match now.kind {
            FileKind::Directory | FileKind::Subvolume => {
                self.touched.names_differ(then.key, now.key, findings)?
            }
            FileKind::Symlink => then.target != now.target,
            FileKind::File => {
                if then.size != now.size {
                    return Ok(true);
                }
                let before = Content::of(&files.base_extents, then.key);
                let after = Content::of(&files.merged_extents, now.key);
                match comparer {
                    Some(comparer) => comparer.differ(before, after, now.size)?,
                    None => true,
                }
            }
            _ => false,
        })
    }

    /// Sets the volume and the paths of the file. Where those are very many, the records of the
    /// file share them.
    fn name(
        &self,
        joined: &mut Joined,
        known: &mut HashMap<(View, FileKey), Arc<[PathBytes]>>,
        names: &mut Vec<FileNames>,
    ) {
        let change = &mut joined.change;
        change.volume = self.volume;
        let (view, side, shown) = match (&change.merged, &change.base) {
            (Some(now), _) => (View::Merged, &self.touched.merged, now),
            (None, Some(then)) => (View::Base, &self.touched.base, then),
            (None, None) => return,
        };
        let key = shown.key;
        if let Some(links) = known.get(&(view, key)) {
            change.links = Arc::clone(links);
            return;
        }
        let paths = side.names.paths_of(self.run, key);
        change.links = paths.iter().map(PathParts::path).collect();
        if let Some(all) = change.names() {
            known.insert((view, key), Arc::clone(&all.paths));
            names.push(all);
        }
    }
}

/// A change, before its data ranges are known, with the files it is about.
struct Joined {
    change: Change,
    base: Option<FileKey>,
    merged: Option<FileKey>,
}

fn joined(change: ChangeKind, path: &PathParts<'_>, base: Known<'_>, merged: Known<'_>) -> Joined {
    let shown = merged.or(base).map(|(_, a)| a);
    Joined {
        change: Change {
            volume: 0,
            change,
            path: path.path(),
            from: None,
            links: Arc::default(),
            kind: shown.map_or(FileKind::File, |a| a.kind),
            replaced: false,
            content_changed: true,
            attributes: Vec::new(),
            base: base.map(|(_, a)| a.clone()),
            merged: merged.map(|(_, a)| a.clone()),
            content_bytes: None,
            changed_bytes: 0,
            ranges: Vec::new(),
        },
        base: base.map(|(key, _)| key),
        merged: merged.map(|(key, _)| key),
    }
}

/// The names of the attributes that differ, in the fixed order of the report.
fn differing_attributes(then: &Attributes, now: &Attributes, same: bool) -> Vec<&'static str> {
    let directories = then.kind.has_entries() && now.kind.has_entries();
    let mut names: Vec<&'static str> = [
        ("mode", then.mode != now.mode),
        ("uid", then.uid != now.uid),
        ("gid", then.gid != now.gid),
        ("mtime", then.mtime != now.mtime),
        ("ctime", then.ctime != now.ctime),
        ("atime", then.atime != now.atime),
        // That another file was made at another time goes without saying.
        (
            "btime",
            same && then.generation == now.generation && then.btime != now.btime,
        ),
        // The link count of a directory follows from the directories in it.
        ("nlink", !directories && then.nlink != now.nlink),
        ("rdev", then.rdev != now.rdev),
        ("flags", then.flags != now.flags),
        ("xattr", then.xattrs != now.xattrs),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect();
    let value = |a: &Attributes, name: &&'static str| {
        a.special
            .iter()
            .find(|(n, _)| *n == *name)
            .map(|(_, value)| value.clone())
    };
    let special: BTreeSet<&'static str> = then
        .special
        .iter()
        .chain(&now.special)
        .map(|(name, _)| *name)
        .collect();
    names.extend(
        special
            .into_iter()
            .filter(|name| value(then, name) != value(now, name)),
    );
    names
}
