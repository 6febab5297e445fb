//! Pass 2: what files are called. Each inode names the directories that name it.

use hexz_resolve::{FileKey, FileSet, Link, LinkCoverage, RawName, Result, Scan, Sink};

use crate::btrfs::{Btrfs, EmptyDirectory, View};
use crate::ondisk::{DirItem, InodeName, Key, item, objectid};

/// Files that one unit looks up.
const TOGETHER: usize = 256;

/// Every link whose child is in `wanted`.
pub(crate) fn links(
    fs: &Btrfs,
    wanted: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Link>,
) -> Result<LinkCoverage> {
    each_file(fs, "btrfs-links", wanted, cx, names_of, out)?;
    Ok(LinkCoverage::Wanted)
}

/// All links in each of `directories`.
pub(crate) fn entries(
    fs: &Btrfs,
    directories: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Link>,
) -> Result<()> {
    each_file(fs, "btrfs-entries", directories, cx, entries_of, out)
}

/// Runs `work` on each of `files`. What fails for one is a finding, and the others go on.
pub(crate) fn each_file<T: Clone + Send + Sync + 'static>(
    fs: &Btrfs,
    pass: &'static str,
    files: &FileSet,
    cx: &Scan<'_>,
    work: impl Fn(&View<'_>, FileKey, &mut Vec<T>) -> Result<()> + Sync,
    out: &mut dyn Sink<T>,
) -> Result<()> {
    let keys: Vec<FileKey> = files.iter().collect();
    let units: Vec<Vec<FileKey>> = keys.chunks(TOGETHER).map(<[FileKey]>::to_vec).collect();
    cx.units_moved(
        pass,
        &fs.volume,
        &units,
        |keys, reader| {
            // Tree blocks are remembered, so what a unit depends on is more than what it reads.
            reader.do_not_share();
            let findings = |finding| reader.diagnose(finding);
            let view = fs.view(reader, &findings);
            let mut found = Vec::new();
            for key in keys {
                work(&view, *key, &mut found).or_else(|error| reader.tolerate(error))?;
            }
            Ok(found)
        },
        |_, found| found.into_iter().try_for_each(|item| out.put(item)),
    )
}

pub(crate) fn names_of(view: &View<'_>, child: FileKey, found: &mut Vec<Link>) -> Result<()> {
    if let Some(empty) = EmptyDirectory::of(child.number) {
        let parent = FileKey {
            subvolume: child.subvolume,
            number: empty.parent,
        };
        let mut entries = Vec::new();
        entries_of(view, parent, &mut entries)?;
        found.extend(entries.into_iter().filter(|link| link.child == child));
        return Ok(());
    }
    let Some(tree) = view.subvolume(child.subvolume) else {
        return Ok(());
    };
    if child.number == objectid::FIRST_FREE {
        for name in view.fs.roots.names_of(child.subvolume) {
            let parent = FileKey {
                subvolume: name.tree,
                number: name.directory,
            };
            let name = RawName::from(&name.name);
            found.push(Link {
                parent,
                name,
                child,
            });
        }
        return Ok(());
    }
    tree.each(
        Key::new(child.number, item::INODE_REF, 0),
        Key::new(child.number, item::INODE_EXTREF, u64::MAX),
        |item| {
            for name in InodeName::all(item.key, &item.fields)? {
                let parent = FileKey {
                    subvolume: child.subvolume,
                    number: name.parent,
                };
                let name = RawName::from(name.name);
                found.push(Link {
                    parent,
                    name,
                    child,
                });
            }
            Ok(true)
        },
    )
}

fn entries_of(view: &View<'_>, parent: FileKey, found: &mut Vec<Link>) -> Result<()> {
    let Some(tree) = view.subvolume(parent.subvolume) else {
        return Ok(());
    };
    tree.each(
        Key::new(parent.number, item::DIR_INDEX, 0),
        Key::new(parent.number, item::DIR_INDEX, u64::MAX),
        |item| {
            for entry in DirItem::all(&item.fields)? {
                let child = child(view, parent, &entry);
                let name = RawName::from(entry.name);
                found.extend(child.map(|child| Link {
                    parent,
                    name,
                    child,
                }));
            }
            Ok(true)
        },
    )
}

/// What an entry names. A subvolume stands only in the tree that it was made in: a snapshot of
/// that tree has the entry too, and shows an empty directory.
fn child(view: &View<'_>, parent: FileKey, entry: &DirItem<'_>) -> Option<FileKey> {
    let location = entry.location;
    let subvolume = parent.subvolume;
    if location.kind != item::ROOT_ITEM {
        let number = location.objectid;
        return Some(FileKey { subvolume, number });
    }
    let id = location.objectid;
    let stands = view.fs.roots.names_of(id).iter().any(|name| {
        name.tree == subvolume && name.directory == parent.number && name.name == entry.name
    });
    if stands && view.fs.roots.subvolume(id).is_some() {
        return Some(Btrfs::root_of(id));
    }
    let empty = EmptyDirectory {
        parent: parent.number,
        subvolume: id,
    };
    let number = empty.number()?;
    Some(FileKey { subvolume, number })
}
