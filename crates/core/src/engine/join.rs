//! The join of the two views: from touched files to changed paths.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{Comparer, Extents, Side};
use super::measure::Measure;
use super::names::NamedPath;
use super::touched::Touched;
use crate::report::{Change, ChangeKind, PathBytes};
use crate::{Attributes, FileKey, FileKind, Result};

/// Leaves out what came or went with a snapshot: the record of its root stands for all of it.
fn leave_out_snapshots(changes: &mut Vec<Joined>, touched: &Touched<'_>) {
    let side = |joined: &Joined| match joined.change.change {
        ChangeKind::Added => joined.merged.map(|key| (&touched.merged, key)),
        ChangeKind::Deleted => joined.base.map(|key| (&touched.base, key)),
        _ => None,
    };
    let roots: BTreeSet<(ChangeKind, FileKey)> = changes
        .iter()
        .filter_map(|joined| {
            let (side, key) = side(joined)?;
            let root = side.attributes.get(&key)?.snapshot_of.is_some();
            root.then_some((joined.change.change, key))
        })
        .collect();
    let subvolumes: BTreeSet<(ChangeKind, u64)> = roots
        .iter()
        .map(|(change, key)| (*change, key.subvolume))
        .collect();
    changes.retain(|joined| {
        side(joined).is_none_or(|(_, key)| {
            let change = joined.change.change;
            roots.contains(&(change, key)) || !subvolumes.contains(&(change, key.subvolume))
        })
    });
}

/// Compares touched files path by path.
pub(super) struct Join<'a> {
    touched: &'a Touched<'a>,
    base_extents: &'a Extents,
    merged_extents: &'a Extents,
    comparer: Option<Comparer<'a>>,
    /// Renamed directories, by where they stood, and by where they stand.
    renames: BTreeMap<PathBytes, PathBytes>,
    renamed_to: BTreeMap<PathBytes, PathBytes>,
    renamed_from: BTreeSet<PathBytes>,
    compared: BTreeMap<(FileKey, FileKey), bool>,
}

/// A change, before its data ranges are known, with the files it is about.
pub(super) struct Joined {
    pub(super) change: Change,
    pub(super) base: Option<FileKey>,
    pub(super) merged: Option<FileKey>,
}

impl Joined {
    /// A change that speaks for a whole volume.
    pub(super) fn of_volume(change: Change) -> Self {
        Self {
            change,
            base: None,
            merged: None,
        }
    }
}

impl<'a> Join<'a> {
    pub(super) fn new(
        touched: &'a Touched<'a>,
        base_extents: &'a Extents,
        merged_extents: &'a Extents,
        comparer: Option<Comparer<'a>>,
    ) -> Self {
        Self {
            touched,
            base_extents,
            merged_extents,
            comparer,
            renames: BTreeMap::new(),
            renamed_to: BTreeMap::new(),
            renamed_from: BTreeSet::new(),
            compared: BTreeMap::new(),
        }
    }

    /// All changed paths, sorted; one record for a changed file with several links.
    pub(super) fn changes(mut self) -> Result<Vec<Joined>> {
        let mut out = Vec::new();
        let touched = self.touched;
        for (path, &key) in &touched.merged.by_path {
            let Some(now) = touched.merged.attributes.get(&key) else {
                continue;
            };
            out.extend(match touched.base.by_path.get(path) {
                Some(&before) => self.in_both(path, before, key, now)?,
                None => self.in_merged_only(path, key, now)?,
            });
        }
        for (path, &key) in &touched.base.by_path {
            let gone =
                !touched.merged.by_path.contains_key(path) && !self.renamed_from.contains(path);
            if let (true, Some(then)) = (gone, touched.base.attributes.get(&key)) {
                out.push(self.record(ChangeKind::Deleted, path, (Some((key, then)), None)));
            }
        }
        let mut seen = BTreeSet::new();
        out.sort_by(|a, b| a.change.path.cmp(&b.change.path));
        leave_out_snapshots(&mut out, touched);
        out.retain(|j| match (j.change.change, j.base, j.merged) {
            (ChangeKind::Modified | ChangeKind::Metadata, Some(b), Some(m)) => seen.insert((b, m)),
            _ => true,
        });
        let mut measure = Measure {
            touched,
            base: self.base_extents,
            merged: self.merged_extents,
            seen: BTreeSet::new(),
        };
        for joined in &mut out {
            joined.change.content_bytes = measure.of(joined, self.comparer.as_mut())?;
        }
        Ok(out)
    }

    fn in_both(
        &mut self,
        path: &[u8],
        before: FileKey,
        key: FileKey,
        now: &Attributes,
    ) -> Result<Option<Joined>> {
        let Some(then) = self.touched.base.attributes.get(&before) else {
            return Ok(None);
        };
        let same = self.touched.pair.same_at_path(then, now);
        let replaced = !same;
        let content_changed = then.kind != now.kind || self.content_differs(then, now)?;
        let attributes = differing_attributes(then, now, same);
        let kind = if then.kind != now.kind {
            ChangeKind::Type
        } else if content_changed {
            ChangeKind::Modified
        } else if replaced || !attributes.is_empty() {
            ChangeKind::Metadata
        } else {
            return Ok(None);
        };
        let mut joined = self.record(kind, path, (Some((before, then)), Some((key, now))));
        joined.change.replaced = replaced;
        joined.change.content_changed = content_changed;
        joined.change.attributes = attributes;
        Ok(Some(joined))
    }

    fn in_merged_only(
        &mut self,
        path: &[u8],
        key: FileKey,
        now: &Attributes,
    ) -> Result<Option<Joined>> {
        let Some((before, then, left)) = self.left(path, now) else {
            return Ok(Some(self.record(
                ChangeKind::Added,
                path,
                (None, Some((key, now))),
            )));
        };
        self.renamed_from.insert(left.path.clone());
        let moved_along = self.moved_with_parent(left, path, key);
        if now.kind.has_entries() {
            self.renames.insert(left.path.clone(), path.to_vec());
            self.renamed_to.insert(path.to_vec(), left.path.clone());
        }
        let content_changed = self.content_differs(then, now)?;
        let attributes = differing_attributes(then, now, true);
        let kind = match (moved_along, content_changed, attributes.is_empty()) {
            (false, ..) => ChangeKind::Renamed,
            (true, true, _) => ChangeKind::Modified,
            (true, false, false) => ChangeKind::Metadata,
            (true, false, true) => return Ok(None),
        };
        let mut joined = self.record(kind, path, (Some((before, then)), Some((key, now))));
        joined.change.from = (!moved_along).then(|| left.path.clone());
        joined.change.content_changed = content_changed;
        joined.change.attributes = attributes;
        Ok(Some(joined))
    }

    /// A path that the file `now` at `path` had in base and that is gone, with the file as it was
    /// there.
    fn left(
        &self,
        path: &[u8],
        now: &Attributes,
    ) -> Option<(FileKey, &'a Attributes, &'a NamedPath)> {
        let touched = self.touched;
        let base = &touched.base;
        let gone = |named: &&NamedPath| {
            !touched.merged.by_path.contains_key(&named.path)
                && !self.renamed_from.contains(&named.path)
        };
        let of_lineage = base.of_lineage(&now.lineage).find_map(|before| {
            let then = base.attributes.get(&before)?;
            let left = base.paths.get(&before)?.iter().find(gone)?;
            let same = touched.pair.same_file(then, now);
            same.then_some((before, then, left))
        });
        // What has no lineage is known by its name in a directory, wherever that went.
        of_lineage.or_else(|| {
            let stood = self.before_renames(path)?;
            let before = *base.by_path.get(&stood)?;
            let then = base.attributes.get(&before)?;
            let mut paths = base.paths.get(&before)?.iter().filter(gone);
            let left = paths.find(|named| named.path == stood)?;
            let same = touched.pair.same_at_path(then, now) && !touched.pair.same_file(then, now);
            same.then_some((before, then, left))
        })
    }

    /// Where `path` of merged would be had no directory above it been renamed; `None` when none
    /// was.
    fn before_renames(&self, path: &[u8]) -> Option<PathBytes> {
        let mut directory = above(path);
        while !directory.is_empty() {
            if let Some(stood) = self.renamed_to.get(directory) {
                let below = path.get(directory.len()..).unwrap_or_default();
                return Some([stood, below].concat());
            }
            directory = above(directory);
        }
        None
    }

    /// Whether only a directory above moved: the link itself is as it was.
    fn moved_with_parent(&self, from: &NamedPath, to: &[u8], key: FileKey) -> bool {
        let touched = self.touched;
        let now = touched.merged.paths.get(&key).into_iter().flatten();
        let Some(to) = now.into_iter().find(|named| named.path == to) else {
            return false;
        };
        name_of(&from.path) == name_of(&to.path)
            && self.directory_moved(
                (from.parent, above(&from.path)),
                (to.parent, above(&to.path)),
            )
    }

    /// Whether the directory that stood at `from` was renamed, or moved along, to `to`.
    fn directory_moved(
        &self,
        (mut before, mut from): (FileKey, &[u8]),
        (mut after, mut to): (FileKey, &[u8]),
    ) -> bool {
        let touched = self.touched;
        loop {
            if !self.is_one_directory(before, after) {
                return false;
            }
            if from == to {
                return false;
            }
            if self.renames.get(from).is_some_and(|t| t == to) {
                return true;
            }
            // A touched directory that moved would be in the map by now: it sorts before what is
            // in it.
            let known = touched.base.attributes.contains_key(&before);
            let then = touched.base.names.links_of(before).first();
            let now = touched.merged.names.links_of(after).first();
            match (then, now) {
                (Some(b), Some(m)) if !known && b.name == m.name => {
                    (before, after) = (b.parent, m.parent);
                }
                _ => return false,
            }
            (from, to) = (above(from), above(to));
        }
    }

    /// Whether directory `before` of base is directory `after` of merged. One that was not touched
    /// is found in both views in the same way.
    fn is_one_directory(&self, before: FileKey, after: FileKey) -> bool {
        let (base, merged) = (&self.touched.base, &self.touched.merged);
        match (base.attributes.get(&before), merged.attributes.get(&after)) {
            (Some(then), Some(now)) => self.touched.pair.same_file(then, now),
            (None, None) => before == after,
            _ => false,
        }
    }

    fn content_differs(&mut self, then: &Attributes, now: &Attributes) -> Result<bool> {
        let (before, after) = (then.key, now.key);
        Ok(match now.kind {
            FileKind::Directory | FileKind::Subvolume => {
                self.touched.names_differ(before, after)?
            }
            FileKind::Symlink => then.target != now.target,
            FileKind::File => {
                if then.size != now.size {
                    return Ok(true);
                }
                if let Some(known) = self.compared.get(&(before, after)) {
                    return Ok(*known);
                }
                let of = |extents: &'a Extents, file: FileKey| Side {
                    file,
                    extents: extents.get(&file).map_or(&[], Vec::as_slice),
                };
                let (x, y) = (
                    of(self.base_extents, before),
                    of(self.merged_extents, after),
                );
                let differ = match &mut self.comparer {
                    Some(comparer) => comparer.differ(x, y, now.size)?,
                    None => true,
                };
                self.compared.insert((before, after), differ);
                differ
            }
            _ => false,
        })
    }

    fn record(
        &self,
        change: ChangeKind,
        path: &[u8],
        (base, merged): (Known<'_>, Known<'_>),
    ) -> Joined {
        let (paths, shown) = match (merged, base) {
            (Some((key, now)), _) => (self.touched.merged.paths.get(&key), Some(now)),
            (None, Some((key, then))) => (self.touched.base.paths.get(&key), Some(then)),
            (None, None) => (None, None),
        };
        Joined {
            change: Change {
                volume: 0,
                change,
                path: path.to_vec(),
                from: None,
                links: paths
                    .into_iter()
                    .flatten()
                    .map(|n| n.path.clone())
                    .collect(),
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
}

/// A file and what is known of it, in a view where it exists.
type Known<'k> = Option<(FileKey, &'k Attributes)>;

fn above(path: &[u8]) -> &[u8] {
    path.iter()
        .rposition(|b| *b == b'/')
        .and_then(|at| path.get(..at))
        .unwrap_or_default()
}

fn name_of(path: &[u8]) -> &[u8] {
    path.get(above(path).len()..).unwrap_or_default()
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
