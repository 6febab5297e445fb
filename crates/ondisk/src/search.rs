//! The search for the names of a few files, nearest first.

use std::collections::{BTreeMap, BTreeSet};

use hexz_resolve::{FileKey, Link};

/// Files whose names are looked for among the pieces of an inode table, and how far that went.
///
/// Filesystems put the inodes of a directory's files near that of the directory, and mostly behind
/// it, so the pieces before a file's own are looked at first, and some behind it, in rings that
/// double; in the end all have been. The
/// link count of a file says when all its names are there.
#[derive(Debug)]
pub struct NameSearch {
    files: BTreeMap<FileKey, Nameless>,
    looked: Vec<bool>,
    radius: usize,
}

#[derive(Debug)]
struct Nameless {
    piece: usize,
    links: u64,
    found: BTreeSet<(FileKey, Vec<u8>)>,
}

impl NameSearch {
    /// A search in a table of so many pieces.
    #[must_use]
    pub fn new(pieces: usize) -> Self {
        Self {
            files: BTreeMap::new(),
            looked: vec![false; pieces],
            radius: 0,
        }
    }

    /// Adds a file with so many names, whose inode lies in `piece`.
    pub fn add(&mut self, file: FileKey, piece: usize, links: u64) {
        let found = BTreeSet::new();
        let nameless = Nameless {
            piece,
            links,
            found,
        };
        self.files.insert(file, nameless);
    }

    /// Notes a name that was found; the same one may come several times.
    pub fn found(&mut self, link: &Link) {
        if let Some(file) = self.files.get_mut(&link.child) {
            let name = link.name.as_bytes().to_vec();
            file.found.insert((link.parent, name));
        }
    }

    /// The pieces to look at next, rising; none once all names are there, or all was looked at.
    pub fn next_ring(&mut self) -> Vec<usize> {
        let lacks = |file: &&Nameless| {
            u64::try_from(file.found.len()).is_ok_and(|found| found < file.links)
        };
        let around: Vec<usize> = self.files.values().filter(lacks).map(|f| f.piece).collect();
        let mut ring = Vec::new();
        while ring.is_empty() && !around.is_empty() && self.looked.contains(&false) {
            for at in &around {
                let end = at.saturating_add(self.radius / 8).saturating_add(1);
                for piece in at.saturating_sub(self.radius)..end.min(self.looked.len()) {
                    if let Some(looked) = self.looked.get_mut(piece).filter(|l| !**l) {
                        *looked = true;
                        ring.push(piece);
                    }
                }
            }
            self.radius = self.radius.saturating_mul(2).max(1);
        }
        ring.sort_unstable();
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexz_resolve::RawName;

    fn link(name: &str) -> Link {
        Link {
            parent: FileKey::new(2),
            name: RawName::from(name),
            child: FileKey::new(12),
        }
    }

    #[test]
    fn rings_double_and_end_with_the_names() {
        let mut search = NameSearch::new(20);
        search.add(FileKey::new(12), 12, 2);
        assert_eq!(search.next_ring(), [12]);
        assert_eq!(search.next_ring(), [11]);
        search.found(&link("a"));
        search.found(&link("a"));
        assert_eq!(search.next_ring(), [10]);
        assert_eq!(search.next_ring(), [8, 9]);
        assert_eq!(search.next_ring(), [4, 5, 6, 7, 13]);
        search.found(&link("b"));
        assert_eq!(search.next_ring(), [0; 0]);
    }

    #[test]
    fn in_the_end_all_was_looked_at_once() {
        let mut search = NameSearch::new(100);
        for (file, piece) in [(12, 3), (13, 70), (14, 70)] {
            search.add(FileKey::new(file), piece, 1);
        }
        let mut seen = Vec::new();
        loop {
            let ring = search.next_ring();
            if ring.is_empty() {
                break;
            }
            seen.extend(ring);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }
}
