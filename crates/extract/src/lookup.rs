//! From paths to files.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use hexz_resolve::{Attributes, Error, FileKey, FileKind, Result};

use crate::problem::Problems;
use crate::tree::Tree;

/// Links that are followed for one path, as Linux does.
const MOST_LINKS: usize = 40;
/// Names that are remembered.
const MOST_NAMES: usize = 1 << 20;

/// What stands at a path.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Its path without links and `..`: starts with `/`.
    pub path: Vec<u8>,
    /// What is known of it.
    pub attributes: Attributes,
}

type Names = Arc<HashMap<Vec<u8>, FileKey>>;

/// Finds files by path, and remembers the directories it read.
#[derive(Debug)]
pub struct Lookup<'d> {
    tree: Tree<'d>,
    directories: HashMap<FileKey, Names>,
    names: usize,
}

impl<'d> Lookup<'d> {
    /// Over `tree`.
    #[must_use]
    pub fn new(tree: Tree<'d>) -> Self {
        Self {
            tree,
            directories: HashMap::new(),
            names: 0,
        }
    }

    /// The tree.
    #[must_use]
    pub fn tree(&self) -> Tree<'d> {
        self.tree
    }

    fn names_in(&mut self, directory: FileKey, problems: &Problems) -> Names {
        if let Some(known) = self.directories.get(&directory) {
            return Arc::clone(known);
        }
        let asked = [directory].into_iter().collect();
        let links = problems.take(self.tree.volume().entries(&asked));
        let mut names = HashMap::new();
        for link in links.unwrap_or_default() {
            if link.parent == directory {
                // Of two equal names a system sees the first.
                names
                    .entry(link.name.as_bytes().to_vec())
                    .or_insert(link.child);
            }
        }
        if self.names > MOST_NAMES {
            self.directories.clear();
            self.names = 0;
        }
        self.names = self.names.saturating_add(names.len());
        let names = Arc::new(names);
        self.directories.insert(directory, Arc::clone(&names));
        names
    }

    /// What stands at `path`. Links on the way are followed within this tree, the last one only
    /// when `follow` says so. `None` when nothing stands there.
    ///
    /// # Errors
    /// When too many links are met on the way.
    pub fn resolve(
        &mut self,
        path: &[u8],
        follow: bool,
        problems: &Problems,
    ) -> Result<Option<Resolved>> {
        let Some(root) = self.tree.attributes(self.tree.root(), problems) else {
            return Ok(None);
        };
        let mut todo: VecDeque<Vec<u8>> = names(path).collect();
        // The directories above, with their names.
        let mut above: Vec<(Vec<u8>, Attributes)> = Vec::new();
        let mut links = 0_usize;
        while let Some(name) = todo.pop_front() {
            if name == b".." {
                above.pop();
                continue;
            }
            let here = above.last().map_or(&root, |(_, a)| a);
            if !here.kind.has_entries() {
                return Ok(None);
            }
            let Some(key) = self.names_in(here.key, problems).get(&name).copied() else {
                return Ok(None);
            };
            let Some(attributes) = self.tree.attributes(key, problems) else {
                return Ok(None);
            };
            if let (FileKind::Symlink, Some(target)) = (attributes.kind, &attributes.target)
                && (follow || !todo.is_empty())
            {
                links = links.saturating_add(1);
                if links > MOST_LINKS {
                    let text = format!("more than {MOST_LINKS} links on the way");
                    return Err(Error::limit("path", text));
                }
                let target = target.as_bytes();
                if target.first() == Some(&b'/') {
                    above.clear();
                }
                for name in names(target).rev() {
                    todo.push_front(name);
                }
                continue;
            }
            above.push((name, attributes));
        }
        let mut path = Vec::new();
        for (name, _) in &above {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        let attributes = above.pop().map_or(root, |(_, a)| a);
        Ok(Some(Resolved { path, attributes }))
    }
}

impl Tree<'_> {
    /// The files below `folder`, which is the upper folder of an overlayfs; `None` when it is not
    /// there.
    ///
    /// # Errors
    /// When too many links are met on the way.
    pub fn upper(self, folder: &[u8], problems: &Problems) -> Result<Option<Self>> {
        let found = self.resolve(folder, false, problems)?;
        Ok(found.map(|found| self.below_upper(found.attributes.key)))
    }

    /// What stands at `path`; see [`Lookup::resolve`].
    ///
    /// # Errors
    /// When too many links are met on the way.
    pub fn resolve(
        &self,
        path: &[u8],
        follow: bool,
        problems: &Problems,
    ) -> Result<Option<Resolved>> {
        Lookup::new(*self).resolve(path, follow, problems)
    }
}

/// The names of a path, without those that mean nothing.
fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|b| *b == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
}
