//! Pass 2: from links to paths. Hard links, cycles, depth and orphans are dealt with here, once
//! for all filesystems.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::layout::OpenVolume;
use super::run::{Bound, Run};
use crate::report::PathBytes;
use crate::{Bounded, Diagnostic, FileKey, FileSet, Link, LinkCoverage, Result, Shared, View};

/// The links of one view of one volume, as far as they were asked for.
#[derive(Default)]
pub(super) struct Names {
    root: FileKey,
    /// By child, then parent, then name.
    links: Vec<Link>,
    /// None for one that can't be reached.
    directories: HashMap<FileKey, Option<Directory>>,
    /// What their paths take up together: in a deep tree each is nearly as long as the next.
    bytes: usize,
}

/// One path of a file, and the link at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedPath {
    pub(super) path: PathBytes,
    pub(super) parent: FileKey,
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
            ..Self::default()
        };
        let mut asked: BTreeSet<FileKey> = BTreeSet::new();
        let mut missing = wanted.clone();
        while !missing.is_empty() {
            run.check()?;
            let mut found = Bounded::new("links", run.options.limits.links);
            found = found.expecting(missing.len());
            let mut coverage = LinkCoverage::AllDirectories;
            // Only the first question is the same for both views.
            let shared = shared.filter(|_| asked.is_empty());
            run.pass(view, volume, shared, |scan| {
                coverage = fs.links(&missing, scan, &mut found)?;
                Ok(())
            })?;
            if names.links.is_empty() {
                names.links = found.items;
            } else {
                names.links.append(&mut found.items);
            }
            run.sort(&mut names.links, |a, b| {
                (a.child, a.parent, &a.name).cmp(&(b.child, b.parent, &b.name))
            });
            names.links.dedup();
            if coverage == LinkCoverage::AllDirectories {
                break;
            }
            asked.extend(missing.iter());
            let parents = names.links.iter().map(|l| l.parent);
            missing = parents
                .filter(|p| *p != names.root && !asked.contains(p))
                .collect();
        }
        names.reach(run, wanted);
        Ok(names)
    }

    /// Finds the paths of the directories that name a file of `wanted`.
    fn reach(&mut self, run: &Run<'_>, wanted: &FileSet) {
        let limits = &run.options.limits;
        let mut parents = Vec::new();
        for (file, links) in linked(&self.links, wanted) {
            if links.len() > limits.links_per_file {
                let text = format!("file {} has more names than are looked at", file.number);
                run.report(None, Diagnostic::warning("links-limit", text).losing());
            }
            let links = links.iter().take(limits.links_per_file);
            for parent in links.map(|l| l.parent) {
                if parents.last() != Some(&parent) {
                    parents.push(parent);
                }
            }
        }
        parents.sort_unstable();
        parents.dedup();
        for parent in parents {
            self.directory(run, parent);
        }
    }

    /// The links whose child is `key`, by parent and name.
    pub(super) fn links_of(&self, key: FileKey) -> &[Link] {
        self.links_from(self.links.partition_point(|l| l.child < key), key)
    }

    /// The same, when the last file that was asked for had its links at `near`, which is moved
    /// along: files that lie near each other on a disk mostly have numbers that do.
    fn links_near(&self, near: &mut usize, key: FileKey) -> &[Link] {
        let (low, high) = (near.saturating_sub(NEAR), near.saturating_add(NEAR));
        let before = |at: usize| self.links.get(at).is_some_and(|l| l.child < key);
        // With the first of them before the key, and one behind that is not, it starts between.
        let between = before(low) && !before(high);
        let within = self.links.get(low..high.min(self.links.len()));
        *near = match within.filter(|_| between) {
            Some(within) => low + within.partition_point(|l| l.child < key),
            None => self.links.partition_point(|l| l.child < key),
        };
        self.links_from(*near, key)
    }

    fn links_from(&self, from: usize, key: FileKey) -> &[Link] {
        let behind = self.links.get(from..).unwrap_or_default();
        let count = behind.iter().take_while(|l| l.child == key).count();
        behind.get(..count).unwrap_or_default()
    }

    /// All paths of `key`, one of those that were asked for, sorted; none for a file that can't be
    /// reached from the root.
    pub(super) fn paths_of(&self, run: &Run<'_>, key: FileKey) -> Vec<NamedPath> {
        if key == self.root {
            let path = b"/".to_vec();
            let parent = self.root;
            return vec![NamedPath { path, parent }];
        }
        let mut paths: Vec<NamedPath> = self
            .reached(run, self.links_of(key))
            .map(|(above, link)| NamedPath {
                path: join(above, link.name.as_bytes()),
                parent: link.parent,
            })
            .collect();
        paths.sort_by(|a, b| a.path.cmp(&b.path));
        paths.dedup_by(|a, b| a.path == b.path);
        paths
    }

    /// The paths alone, with a hint where the links are. Most files have one, and there are many
    /// files.
    pub(super) fn shared_paths(
        &self,
        run: &Run<'_>,
        near: &mut usize,
        key: FileKey,
    ) -> Arc<[PathBytes]> {
        let mut reached = self.reached(run, self.links_near(near, key));
        match (reached.next(), reached.next()) {
            (Some((above, link)), None) if key != self.root => {
                [join(above, link.name.as_bytes())].into()
            }
            _ => self
                .paths_of(run, key)
                .into_iter()
                .map(|n| n.path)
                .collect(),
        }
    }

    /// Of `files`, of which all links were asked for: those without a path, and the paths of those
    /// that have so many that finding them again would cost.
    pub(super) fn apart(
        &self,
        run: &Run<'_>,
        files: &FileSet,
    ) -> (FileSet, HashMap<FileKey, Arc<[PathBytes]>>) {
        let (mut bare, mut many) = (Vec::new(), HashMap::new());
        // Files with numbers that follow each other mostly lie in one directory.
        let mut known = None;
        for (file, links) in linked(&self.links, files) {
            if links.len() > MANY_LINKS {
                many.insert(file, self.shared_paths(run, &mut 0, file));
            }
            let parent = links.first().map(|l| l.parent);
            if file == self.root || parent.is_some() && parent == known {
                continue;
            }
            match self.reached(run, links).next() {
                Some((_, link)) => known = Some(link.parent),
                None => bare.push(file),
            }
        }
        (bare.into_iter().collect(), many)
    }

    /// Those of `links`, of one file, whose parent can be reached from the root, with its path.
    fn reached<'a>(
        &'a self,
        run: &Run<'_>,
        links: &'a [Link],
    ) -> impl Iterator<Item = (&'a [u8], &'a Link)> {
        let limits = &run.options.limits;
        let most = limits.path_bytes;
        links
            .iter()
            .take(limits.links_per_file)
            .filter_map(move |link| {
                let above: &[u8] = match link.parent {
                    root if root == self.root => &[],
                    parent => &self.directories.get(&parent)?.as_ref()?.path,
                };
                if !fits(above, link.name.as_bytes(), most) {
                    run.long_path();
                    return None;
                }
                Some((above, link))
            })
    }

    /// Finds the path of a directory, without a slash at its end (empty for the root).
    fn directory(&mut self, run: &Run<'_>, key: FileKey) {
        let mut chain: Vec<(FileKey, Link)> = Vec::new();
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
            let Some(link) = self.links_of(at).first().cloned() else {
                break None;
            };
            let parent = link.parent;
            chain.push((at, link));
            at = parent;
        };
        for (directory, link) in chain.into_iter().rev() {
            path = path.and_then(|above| self.below(run, &above, link.name.as_bytes()));
            self.directories.insert(directory, path.clone());
        }
    }

    /// The directory with this name in `above`, unless its path is longer than what is kept.
    fn below(&mut self, run: &Run<'_>, above: &Directory, name: &[u8]) -> Option<Directory> {
        let limits = &run.options.limits;
        let depth = above.depth + 1;
        let bytes = self.bytes.saturating_add(above.path.len() + 1 + name.len());
        if !fits(&above.path, name, limits.path_bytes)
            || depth > limits.path_depth
            || bytes > limits.paths_bytes
        {
            run.long_path();
            return None;
        }
        self.bytes = bytes;
        Some(Directory {
            path: join(&above.path, name).into(),
            depth,
        })
    }
}

/// A directory that can be reached from the root.
#[derive(Clone, Default)]
struct Directory {
    path: Arc<[u8]>,
    depth: u32,
}

/// Links that are looked at around the last ones, before all are.
const NEAR: usize = 64;
/// So many links are many.
const MANY_LINKS: usize = 64;

/// Each of `files` with its links; both are sorted.
fn linked<'a>(
    links: &'a [Link],
    files: &'a FileSet,
) -> impl Iterator<Item = (FileKey, &'a [Link])> {
    let mut rest = links;
    files.iter().map(move |file| {
        let others = rest.iter().take_while(|l| l.child < file).count();
        let behind = rest.get(others..).unwrap_or_default();
        let own = behind.iter().take_while(|l| l.child == file).count();
        let (own, behind) = behind.split_at(own);
        rest = behind;
        (file, own)
    })
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

/// The names and children in each of `directories`.
pub(super) fn entries(
    run: &Run<'_>,
    volume: &OpenVolume,
    view: View,
    directories: &FileSet,
) -> Result<Entries> {
    let Some(fs) = volume.filesystem() else {
        return Ok(Entries::default());
    };
    let bound = Bound {
        what: "directory entries",
        limit: run.options.limits.links,
        at_once: 16,
    };
    let mut links = run.ask(view, volume, directories, bound, |part, scan, found| {
        let result = fs.entries(part, scan, found);
        found.items.sort_unstable();
        found.items.dedup();
        result
    })?;
    // The parts come by directory; a plugin could give more than it was asked for.
    if !links.is_sorted() {
        links.sort_unstable();
        links.dedup();
    }
    Ok(Entries(links))
}
