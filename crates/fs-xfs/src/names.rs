//! Names of a few files, looked for where they are likely to be: in the parent that a directory's
//! `..` names, and in directories whose inodes lie near that of the file, until the link counts
//! are met. Only where there are no parent pointers.

use std::collections::BTreeSet;

use hexz_ondisk::NameSearch;
use hexz_resolve::{FileKey, FileSet, FsState, Link, Result, Scan, Sink};

use crate::chunks::InodeUnit;
use crate::directory::{entries, parent};
use crate::fs::Xfs;
use crate::links::link;

/// What is known of a file that names are looked for: its number, how many there should be, and,
/// of a directory, what its `..` says.
type Asked = (u64, u64, Option<u64>);

impl Xfs {
    /// The links to `wanted`, when they are so few that a search reads less than all directories;
    /// `false` when they are not.
    pub(crate) fn links_by_search(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<bool> {
        if self.directories.get().is_some() || self.info.state != FsState::Clean {
            return Ok(false);
        }
        let units = self.all_inodes(cx)?;
        let place = |number: u64| -> Option<usize> {
            let at = self.geometry.split_inode(number)?;
            let first = |unit: &InodeUnit| (unit.agno, unit.chunks.first().map_or(0, |c| c.start));
            units
                .partition_point(|unit| first(unit) <= at)
                .checked_sub(1)
        };
        let places: BTreeSet<usize> = wanted.iter().filter_map(|key| place(key.number)).collect();
        if places.len().saturating_mul(8) > units.len() {
            return Ok(false);
        }
        let mut names = NameSearch::new(units.len());
        let mut directories = BTreeSet::new();
        for (number, links, above) in self.asked(wanted, cx)? {
            if number != self.geometry.rootino {
                names.add(FileKey::new(number), place(number).unwrap_or(0), links);
            }
            if let Some(above) = above {
                directories.extend([number, above]);
            }
        }
        // A file that came or went was touched along with its directory.
        let numbers: Vec<u64> = directories.into_iter().collect();
        let first = self.inodes_of(cx, &numbers, None)?;
        self.names_in(&first, wanted, cx, &mut names, out)?;
        loop {
            let ring = names.next_ring();
            if ring.is_empty() {
                return Ok(true);
            }
            let near = ring.iter().filter_map(|index| units.get(*index));
            let near: Vec<InodeUnit> = near.cloned().collect();
            self.names_in(&near, wanted, cx, &mut names, out)?;
        }
    }

    /// Those of `wanted` that should have a name.
    fn asked(&self, wanted: &FileSet, cx: &Scan<'_>) -> Result<Vec<Asked>> {
        let units = self.some_inodes(cx, wanted)?;
        let mut all = Vec::new();
        cx.units(
            "xfs-nameless",
            &self.reader,
            &units,
            |unit, reader| {
                let disk = self.disk(reader);
                let mut found: Vec<Asked> = Vec::new();
                unit.for_each(&disk, cx.limits().unit_bytes, |inode| {
                    if self.is_directory(inode) {
                        found.push((inode.number, 1, parent(&disk, inode)));
                    } else if inode.is_linked() && inode.internal(&unit.geometry).is_none() {
                        found.push((inode.number, inode.nlink.into(), None));
                    }
                    Ok(())
                })?;
                Ok(found)
            },
            |_, found| {
                all.extend(found);
                Ok(())
            },
        )?;
        Ok(all)
    }

    /// Reads the directories among the inodes of `units`.
    fn names_in(
        &self,
        units: &[InodeUnit],
        wanted: &FileSet,
        cx: &Scan<'_>,
        names: &mut NameSearch,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        cx.units(
            "xfs-names",
            &self.reader,
            units,
            |unit, reader| {
                let disk = self.disk(reader);
                let mut links = Vec::new();
                unit.for_each(&disk, cx.limits().unit_bytes, |inode| {
                    if !self.is_directory(inode) {
                        return Ok(());
                    }
                    entries(&disk, inode, &mut |entry| {
                        let child = FileKey::new(entry.inode);
                        if wanted.contains(child) {
                            links.push(link(inode, entry.name, child));
                        }
                        Ok(())
                    })
                })?;
                Ok(links)
            },
            |_, links| {
                for link in links {
                    names.found(link);
                    out.put(link.clone())?;
                }
                Ok(())
            },
        )
    }
}
