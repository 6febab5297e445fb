//! Pass 2: from links to paths. Hard links, cycles, depth and orphans are dealt with here, once
//! for all filesystems.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::links::Links;
use super::run::{Bound, Run};
use super::volume::OpenVolume;
use crate::report::{MANY_NAMES, PathBytes};
use crate::{
    Bounded, ByteRange, Diagnostic, Diagnostics, FileKey, FileSet, Link, LinkCoverage, RangeSet,
    Result, Shared, Sink as _, View,
};

/// The links of one view of one volume, as far as they were asked for.
#[derive(Default)]
pub(super) struct Names {
    root: FileKey,
    links: Links,
    /// None for one that can't be reached.
    directories: HashMap<FileKey, Option<Directory>>,
    /// The paths of those that name a file, by their index among the parents.
    parents: Vec<Option<Arc<[u8]>>>,
    /// What their paths take up together: in a deep tree each is nearly as long as the next.
    bytes: usize,
}

/// One path of a file: a name in a directory. Kept apart, since a directory has many.
#[derive(Clone, Debug)]
pub(super) struct PathParts<'a> {
    /// The path of the directory, without a slash at its end: empty for the root.
    pub(super) above: &'a [u8],
    /// The name in it; empty for the root itself.
    pub(super) name: Cow<'a, [u8]>,
    pub(super) parent: FileKey,
}

impl PathParts<'_> {
    /// The whole path.
    pub(super) fn path(&self) -> PathBytes {
        join(self.above, &self.name)
    }

    /// As the whole paths are ordered.
    pub(super) fn order(&self, other: &PathParts<'_>) -> Ordering {
        if self.above == other.above {
            return self.name.cmp(&other.name);
        }
        // Most directories differ within what both have.
        let both = self.above.len().min(other.above.len());
        let (here, rest) = self.above.split_at(both);
        let (there, other_rest) = other.above.split_at(both);
        let mine: [&[u8]; 3] = [rest, b"/", &self.name];
        let others: [&[u8]; 3] = [other_rest, b"/", &other.name];
        here.cmp(there).then_with(|| in_a_row(mine, others))
    }
}

/// Compares the bytes of some pieces behind each other with those of others.
fn in_a_row<const N: usize>(mine: [&[u8]; N], others: [&[u8]; N]) -> Ordering {
    let (mut mine, mut others) = (mine.into_iter(), others.into_iter());
    let (mut here, mut there): (&[u8], &[u8]) = (&[], &[]);
    loop {
        while here.is_empty() {
            let Some(next) = mine.next() else { break };
            here = next;
        }
        while there.is_empty() {
            let Some(next) = others.next() else { break };
            there = next;
        }
        let both = here.len().min(there.len());
        if both == 0 {
            return here.len().cmp(&there.len());
        }
        let ((x, rest), (y, other_rest)) = (here.split_at(both), there.split_at(both));
        if x != y {
            return x.cmp(y);
        }
        (here, there) = (rest, other_rest);
    }
}

impl Names {
    /// Finds the links of `wanted` and of all directories above them.
    pub(super) fn gather(
        run: &Run<'_>,
        volume: &OpenVolume,
        view: View,
        wanted: &FileSet,
        shared: Option<&Shared>,
    ) -> Result<Self> {
        let Some(fs) = volume.filesystem() else {
            return Ok(Self::default());
        };
        let mut names = Self {
            root: fs.root(),
            links: Links::new(run),
            ..Self::default()
        };
        let mut asked: BTreeSet<FileKey> = BTreeSet::new();
        let mut missing = Cow::Borrowed(wanted);
        let mut first = true;
        while !missing.is_empty() {
            run.check()?;
            let mut coverage = LinkCoverage::AllDirectories;
            // Only the first question is the same for both views.
            let shared = shared.filter(|_| first);
            run.pass(view, volume, shared, |scan| {
                coverage = fs.links(&missing, scan, &mut names.links)?;
                Ok(())
            })?;
            names.links.sort(run)?;
            if coverage == LinkCoverage::AllDirectories {
                break;
            }
            if !first {
                asked.extend(missing.iter());
            }
            first = false;
            let known = |key: &FileKey| wanted.contains(*key) || asked.contains(key);
            let parents = names.links.parents().iter().copied();
            let next: FileSet = parents.filter(|p| *p != names.root && !known(p)).collect();
            missing = Cow::Owned(next);
        }
        names.reach(run, wanted);
        Ok(names)
    }

    /// Finds the paths of the directories that name a file of `wanted`.
    fn reach(&mut self, run: &Run<'_>, wanted: &FileSet) {
        let limits = &run.options.limits;
        let mut naming = vec![false; self.links.parents().len()];
        for (file, links) in self.links.linked(wanted) {
            if links.len() > limits.links_per_file {
                let text = format!("file {} has more names than are looked at", file.number);
                run.report(None, Diagnostic::warning("links-limit", text).losing());
            }
            for link in links.take(limits.links_per_file) {
                let parent = self.links.get(link).map(|link| link.parent as usize);
                if let Some(naming) = parent.and_then(|parent| naming.get_mut(parent)) {
                    *naming = true;
                }
            }
        }
        let mut parents: Vec<(FileKey, usize)> = Vec::new();
        let all = self.links.parents().iter().copied();
        parents.extend(all.zip(0..).filter(|(_, n)| naming.get(*n) == Some(&true)));
        parents.sort_unstable();
        self.parents = vec![None; naming.len()];
        for (parent, index) in parents {
            self.directory(run, parent);
            let path = match parent {
                root if root == self.root => Some(Arc::default()),
                parent => self
                    .directories
                    .get(&parent)
                    .cloned()
                    .flatten()
                    .map(|d| d.path),
            };
            if let Some(slot) = self.parents.get_mut(index) {
                *slot = path;
            }
        }
    }

    /// The number of links whose child is `key`.
    pub(super) fn count(&self, key: FileKey) -> usize {
        self.links.of(key).len()
    }

    /// The directory and the name of the first link whose child is `key`, by directory and name.
    pub(super) fn first_link(&self, key: FileKey) -> Option<(FileKey, Cow<'_, [u8]>)> {
        let entry = self.links.get(self.links.of(key).next()?)?;
        Some((self.links.parent(&entry), self.links.name(&entry)))
    }

    /// The path of the root.
    pub(super) fn root_path(&self) -> PathParts<'_> {
        PathParts {
            above: &[],
            name: Cow::Borrowed(&[]),
            parent: self.root,
        }
    }

    /// All paths of `key`, one of those that were asked for, sorted; none for a file that can't be
    /// reached from the root.
    pub(super) fn paths_of(&self, run: &Run<'_>, key: FileKey) -> Vec<PathParts<'_>> {
        if key == self.root {
            return vec![self.root_path()];
        }
        let mut paths: Vec<PathParts<'_>> = self
            .reached(run, self.links.of(key))
            .map(|(_, parts)| parts)
            .collect();
        paths.sort_by(PathParts::order);
        paths.dedup_by(|a, b| a.order(b) == Ordering::Equal);
        paths
    }

    /// The whole paths, with a hint where the links are. Most files have one, and there are many
    /// files.
    pub(super) fn shared_paths(
        &self,
        run: &Run<'_>,
        near: &mut usize,
        key: FileKey,
    ) -> Arc<[PathBytes]> {
        let mut reached = self.reached(run, self.links.near(near, key));
        match (reached.next(), reached.next()) {
            (Some((_, only)), None) if key != self.root => [only.path()].into(),
            _ => self
                .paths_of(run, key)
                .iter()
                .map(PathParts::path)
                .collect(),
        }
    }

    /// Of `files`, of which all links were asked for: those without a path, and the paths of those
    /// that have so many that finding them again would cost.
    pub(super) fn apart(
        &self,
        run: &Run<'_>,
        files: &FileSet,
    ) -> (FileSet, BTreeMap<FileKey, Arc<[PathBytes]>>) {
        let (mut bare, mut many) = (Vec::new(), BTreeMap::new());
        for (file, links) in self.links.linked(files) {
            if links.len() > MANY_NAMES {
                many.insert(file, self.shared_paths(run, &mut 0, file));
            }
            if file != self.root && self.reached(run, links).next().is_none() {
                bare.push(file);
            }
        }
        (bare.into_iter().collect(), many)
    }

    /// All links that can be reached: each with its index, its file and its path.
    pub(super) fn each_path<'a>(
        &'a self,
        run: &Run<'_>,
    ) -> impl Iterator<Item = (usize, FileKey, PathParts<'a>)> {
        let (mut child, mut count) = (None, 0);
        let most = run.options.limits.links_per_file;
        let within = move |index: &usize| {
            let own = self.links.get(*index).map(|e| e.child);
            count = if own == child { count + 1 } else { 1 };
            child = own;
            count <= most
        };
        (0..self.links.len())
            .filter(within)
            .filter_map(|index| self.at(run, index))
    }

    /// The link at `index`: its file and its path, when it can be reached.
    pub(super) fn at(
        &self,
        run: &Run<'_>,
        index: usize,
    ) -> Option<(usize, FileKey, PathParts<'_>)> {
        let entry = self.links.get(index)?;
        let above = self.parents.get(entry.parent as usize)?.as_deref()?;
        let name = self.links.name(&entry);
        if !fits(above, &name, run.options.limits.path_bytes) {
            run.long_path();
            return None;
        }
        let parent = self.links.parent(&entry);
        Some((
            index,
            entry.child,
            PathParts {
                above,
                name,
                parent,
            },
        ))
    }

    /// Those of `links`, of one file, whose parent can be reached from the root, with its path.
    fn reached<'a>(
        &'a self,
        run: &Run<'_>,
        links: Range<usize>,
    ) -> impl Iterator<Item = (usize, PathParts<'a>)> {
        let most = run.options.limits.links_per_file;
        links
            .take(most)
            .filter_map(move |index| self.at(run, index))
            .map(|(index, _, parts)| (index, parts))
    }

    /// Finds the path of a directory, without a slash at its end (empty for the root).
    fn directory(&mut self, run: &Run<'_>, key: FileKey) {
        let mut chain: Vec<(FileKey, usize)> = Vec::new();
        let mut at = key;
        let mut path = loop {
            if at == self.root {
                break Some(Directory::default());
            }
            if let Some(known) = self.directories.get(&at) {
                break known.clone();
            }
            // Taken as unreachable until it is known, so that a cycle ends here.
            self.directories.insert(at, None);
            // A directory has one name on a sound image; on another the first one is taken.
            let own = self.links.of(at);
            let first = own.clone().next();
            let Some(link) = first.and_then(|first| self.links.get(first)) else {
                break None;
            };
            chain.push((at, own.start));
            at = self.links.parent(&link);
        };
        for (directory, link) in chain.into_iter().rev() {
            let entry = self.links.get(link);
            path = path.zip(entry).and_then(|(above, entry)| {
                let below = below(run, self.bytes, &above, &self.links.name(&entry))?;
                self.bytes = self.bytes.saturating_add(below.path.len());
                Some(below)
            });
            self.directories.insert(directory, path.clone());
        }
    }
}

/// The directory with this name in `above`, unless its path is longer than what is kept, or all
/// are with the `bytes` of those before.
fn below(run: &Run<'_>, bytes: usize, above: &Directory, name: &[u8]) -> Option<Directory> {
    let limits = &run.options.limits;
    let depth = above.depth + 1;
    let bytes = bytes.saturating_add(above.path.len() + 1 + name.len());
    if !fits(&above.path, name, limits.path_bytes)
        || depth > limits.path_depth
        || bytes > limits.paths_bytes
    {
        run.long_path();
        return None;
    }
    Some(Directory {
        path: join(&above.path, name).into(),
        depth,
    })
}

/// A directory that can be reached from the root.
#[derive(Clone, Default)]
struct Directory {
    path: Arc<[u8]>,
    depth: u32,
}

/// Whether a path is no longer than `most`.
fn fits(above: &[u8], name: &[u8], most: usize) -> bool {
    above.len() + name.len() < most
}

fn join(above: &[u8], name: &[u8]) -> PathBytes {
    let mut path = Vec::with_capacity(above.len() + 1 + name.len());
    path.extend_from_slice(above);
    path.push(b'/');
    path.extend_from_slice(name);
    path
}

/// The links in directories, by directory, name and child.
#[derive(Default)]
pub(super) struct Entries(Vec<Link>);

impl Entries {
    /// Those in one directory.
    pub(super) fn of(&self, directory: FileKey) -> &[Link] {
        let from = self.0.partition_point(|l| l.parent < directory);
        let to = self.0.partition_point(|l| l.parent <= directory);
        self.0.get(from..to).unwrap_or_default()
    }

    /// All.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Link> {
        self.0.iter()
    }
}

/// The entries of some directories, but for those in blocks that read the same in both views.
#[derive(Default)]
pub(super) struct DirtyEntries {
    pub(super) entries: Entries,
    /// Those blocks, by directory.
    clean: Vec<(FileKey, ByteRange)>,
}

impl DirtyEntries {
    /// The blocks of one directory whose entries are left out.
    pub(super) fn clean(&self, directory: FileKey) -> &[(FileKey, ByteRange)] {
        let from = self.clean.partition_point(|(d, _)| *d < directory);
        let to = self.clean.partition_point(|(d, _)| *d <= directory);
        self.clean.get(from..to).unwrap_or_default()
    }
}

/// What a filesystem says of a directory.
enum Told {
    Link(Link),
    Clean((FileKey, ByteRange)),
}

/// [`entries`], but for those in blocks that hold nothing of `dirty`.
pub(super) fn dirty_entries(
    run: &Run<'_>,
    volume: &OpenVolume,
    view: View,
    directories: &FileSet,
    dirty: &RangeSet,
) -> Result<DirtyEntries> {
    let Some(fs) = volume.filesystem() else {
        return Ok(DirtyEntries::default());
    };
    let bound = entries_bound(run);
    let place = (view, volume);
    let parts = run.ask_into(
        &run.diagnostics,
        place,
        directories,
        bound,
        |part, scan, found| {
            let mut clean = Bounded::new("directory blocks", bound.limit);
            let mut links = Bounded::new(bound.what, bound.limit);
            let result = fs.dirty_entries(part, dirty, scan, &mut links, &mut clean);
            let links = sorted(links.items).into_iter().map(Told::Link);
            let clean = clean.items.into_iter().map(Told::Clean);
            links.chain(clean).try_for_each(|told| found.put(told))?;
            result
        },
    )?;
    let (mut links, mut clean) = (Vec::new(), Vec::new());
    for told in parts {
        match told {
            Told::Link(link) => links.push(link),
            Told::Clean(block) => clean.push(block),
        }
    }
    clean.sort_unstable();
    let entries = Entries(sorted(links));
    Ok(DirtyEntries { entries, clean })
}

fn entries_bound(run: &Run<'_>) -> Bound {
    Bound {
        what: "directory entries",
        limit: run.options.limits.links,
        at_once: 8,
    }
}

/// Each of `links` once, in order.
fn sorted(mut links: Vec<Link>) -> Vec<Link> {
    if !links.is_sorted() {
        links.sort_unstable();
    }
    links.dedup();
    links
}

/// The names and children in each of `directories`.
pub(super) fn entries(
    run: &Run<'_>,
    volume: &OpenVolume,
    view: View,
    directories: &FileSet,
    findings: &Diagnostics,
) -> Result<Entries> {
    let Some(fs) = volume.filesystem() else {
        return Ok(Entries::default());
    };
    let (bound, place) = (entries_bound(run), (view, volume));
    let links = run.ask_into(findings, place, directories, bound, |part, scan, found| {
        let result = fs.entries(part, scan, found);
        found.items = sorted(std::mem::take(&mut found.items));
        result
    })?;
    // The parts come by directory; a plugin could give more than it was asked for.
    Ok(Entries(sorted(links)))
}
