//! Pass 2: what files are called.

use std::collections::HashSet;

use hexz_resolve::{
    ByteRange, FileKey, FileKind, FileSet, Filesystem as _, Link, RangeSet, RawName, Result, Scan,
    Sink,
};

use crate::directory::{Entry, dirty_entries, entries};
use crate::fs::Xfs;
use crate::inode::Inode;
use crate::xattr::{Item, items};

impl Xfs {
    /// Whether `inode` is a directory of a user, and would be after a mount.
    pub(crate) fn is_directory(&self, inode: &Inode<'_>) -> bool {
        inode.kind() == Some(FileKind::Directory)
            && inode.is_linked()
            && inode.internal(&self.geometry).is_none()
    }

    /// Links to `wanted` and to all directories: by reading all directories.
    pub(crate) fn links_by_directories(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        let known = self.directories.get();
        if known.is_none() && self.geometry.ftype {
            return self.links_from_root(wanted, cx, out);
        }
        let units = match known {
            Some(known) => self.inodes_of(cx, known, None)?,
            None => self.all_inodes(cx)?,
        };
        let found;
        let directories = match known {
            Some(known) => known,
            None => {
                found = self.all_directories(cx, &units)?;
                &found
            }
        };
        cx.units(
            "xfs-links",
            &self.reader,
            &units,
            |unit, reader| {
                if !self.geometry.ftype {
                    // Which entries are kept depends on inodes of other units.
                    reader.do_not_share();
                }
                let disk = self.disk(reader);
                let mut links = Vec::new();
                unit.for_each(&disk, cx.limits().unit_bytes, |inode| {
                    if !self.is_directory(inode) {
                        return Ok(());
                    }
                    entries(&disk, inode, &mut |entry| {
                        let child = FileKey::new(entry.inode);
                        let directory = entry
                            .is_directory
                            .unwrap_or_else(|| directories.binary_search(&entry.inode).is_ok());
                        if directory || wanted.contains(child) {
                            links.push(link(inode, entry.name, child));
                        }
                        Ok(())
                    })
                })?;
                Ok(links)
            },
            |_, links| links.iter().try_for_each(|link| out.put(link.clone())),
        )
    }

    /// The same, from the root down, level by level: entries tell which of them are directories, so
    /// no other inodes are read. What can't be reached from the root has no path anyway.
    fn links_from_root(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        let root = self.root().number;
        let mut seen = HashSet::from([root]);
        let mut level = vec![root];
        for _ in 0..=cx.limits().path_depth {
            if level.is_empty() {
                break;
            }
            level.sort_unstable();
            let units = self.inodes_of(cx, &level, None)?;
            level.clear();
            cx.units(
                "xfs-links-below",
                &self.reader,
                &units,
                |unit, reader| {
                    let disk = self.disk(reader);
                    let (mut links, mut below) = (Vec::new(), Vec::new());
                    unit.for_each(&disk, cx.limits().unit_bytes, |inode| {
                        if !self.is_directory(inode) {
                            return Ok(());
                        }
                        entries(&disk, inode, &mut |entry| {
                            let child = FileKey::new(entry.inode);
                            let directory = entry.is_directory == Some(true);
                            if directory {
                                below.push(entry.inode);
                            }
                            if directory || wanted.contains(child) {
                                links.push(link(inode, entry.name, child));
                            }
                            Ok(())
                        })
                    })?;
                    Ok((links, below))
                },
                |_, (links, below)| {
                    level.extend(below.iter().filter(|number| seen.insert(**number)));
                    links.iter().try_for_each(|link| out.put(link.clone()))
                },
            )?;
        }
        Ok(())
    }

    /// The numbers of all directories, rising, for filesystems whose entries do not tell the kind.
    fn all_directories(
        &self,
        cx: &Scan<'_>,
        units: &[crate::chunks::InodeUnit],
    ) -> Result<Vec<u64>> {
        let mut all = Vec::new();
        cx.units(
            "xfs-directories",
            &self.reader,
            units,
            |unit, reader| {
                let mut numbers = Vec::new();
                unit.for_each(&self.disk(reader), cx.limits().unit_bytes, |inode| {
                    if self.is_directory(inode) {
                        numbers.push(inode.number);
                    }
                    Ok(())
                })?;
                Ok(numbers)
            },
            |_, numbers| {
                all.extend(numbers);
                Ok(())
            },
        )?;
        Ok(all)
    }

    /// Links to `wanted`, by their parent pointers.
    pub(crate) fn links_by_parents(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        let units = self.some_inodes(cx, wanted)?;
        cx.units(
            "xfs-parents",
            &self.reader,
            &units,
            |unit, reader| {
                let disk = self.disk(reader);
                let mut links = Vec::new();
                unit.for_each(&disk, cx.limits().unit_bytes, |inode| {
                    if !inode.is_linked() || inode.internal(&unit.geometry).is_some() {
                        return Ok(());
                    }
                    items(&disk, inode, &mut |item| {
                        if let Item::Parent { name, parent } = item {
                            links.push(Link {
                                parent: FileKey::new(parent),
                                name: RawName::from(name),
                                child: FileKey::new(inode.number),
                            });
                        }
                        Ok(())
                    })
                })?;
                Ok(links)
            },
            |_, links| links.iter().try_for_each(|link| out.put(link.clone())),
        )
    }

    /// Links in each of `wanted` that is a directory, but for those in blocks that hold nothing of
    /// `dirty`: these go to `clean`.
    pub(crate) fn dirty_entries_of(
        &self,
        wanted: &FileSet,
        dirty: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
        clean: &mut dyn Sink<(FileKey, ByteRange)>,
    ) -> Result<()> {
        let units = self.some_inodes(cx, wanted)?;
        cx.units_moved(
            "xfs-dirty-entries",
            &self.reader,
            &units,
            |unit, reader| {
                let disk = self.disk_with_kept(reader);
                let (mut links, mut blocks) = (Vec::new(), Vec::new());
                unit.for_each(&disk, cx.limits().unit_bytes, |inode| {
                    if !self.is_directory(inode) {
                        return Ok(());
                    }
                    let mut each = |entry: Entry<'_>| {
                        links.push(link(inode, entry.name, FileKey::new(entry.inode)));
                        Ok(())
                    };
                    dirty_entries(&disk, inode, dirty, &mut each, &mut |range| {
                        blocks.push((inode.key(), range));
                    })
                })?;
                Ok((links, blocks))
            },
            |_, (links, blocks)| {
                links.into_iter().try_for_each(|link| out.put(link))?;
                blocks.into_iter().try_for_each(|block| clean.put(block))
            },
        )
    }

    /// All links in each of `wanted` that is a directory.
    pub(crate) fn entries_of(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        let units = self.some_inodes(cx, wanted)?;
        cx.units(
            "xfs-entries",
            &self.reader,
            &units,
            |unit, reader| {
                let disk = self.disk_with_kept(reader);
                let mut links = Vec::new();
                unit.for_each(&disk, cx.limits().unit_bytes, |inode| {
                    if !self.is_directory(inode) {
                        return Ok(());
                    }
                    entries(&disk, inode, &mut |entry| {
                        links.push(link(inode, entry.name, FileKey::new(entry.inode)));
                        Ok(())
                    })
                })?;
                Ok(links)
            },
            |_, links| links.iter().try_for_each(|link| out.put(link.clone())),
        )
    }
}

pub(crate) fn link(parent: &Inode<'_>, name: &[u8], child: FileKey) -> Link {
    Link {
        parent: FileKey::new(parent.number),
        name: RawName::from(name),
        child,
    }
}
