//! What inodes say of themselves.

use std::sync::Arc;

use hexz_ondisk::Fields;
use hexz_resolve::{
    Attributes, FileKey, FileKind, FileSet, Lineage, RawName, Result, Scan, Sink, Timestamp, Xattr,
};

use crate::btrfs::{Btrfs, EmptyDirectory, View};
use crate::links::{each_file, names_of};
use crate::ondisk::{DirItem, ExtentKind, FileExtent, InodeItem, Key, item, objectid};

/// The bits of `btrfs_inode_item.flags` that `FS_IOC_GETFLAGS` shows, and as which bits. The last
/// two exclude each other: what is not to be compressed is not shown as compressed.
const SHOWN_FLAGS: [(u64, u64); 8] = [
    (1 << 5, 0x8),
    (1 << 6, 0x10),
    (1 << 7, 0x20),
    (1 << 8, 0x40),
    (1 << 9, 0x80),
    (1 << 10, 0x1_0000),
    (1 << 1, 0x80_0000),
    (1 << 32, 0x10_0000),
];
const NOCOMPRESS: (u64, u64) = (1 << 3, 0x400);
const COMPRESS: (u64, u64) = (1 << 11, 0x4);
/// Bytes of the longest target of a symlink.
const LONGEST_TARGET: u64 = 4096;

/// The attributes of those of `files` that exist.
pub(crate) fn attributes(
    fs: &Btrfs,
    files: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Attributes>,
) -> Result<()> {
    each_file(fs, "btrfs-attributes", files, cx, of_file, out)
}

pub(crate) fn of_file(view: &View<'_>, key: FileKey, found: &mut Vec<Attributes>) -> Result<()> {
    if EmptyDirectory::of(key.number).is_some() {
        let mut names = Vec::new();
        names_of(view, key, &mut names)?;
        if !names.is_empty() {
            let mut attributes = Attributes::new(key, FileKind::Directory);
            attributes.lineage = lineage(key, None);
            found.push(attributes);
        }
        return Ok(());
    }
    let Some(tree) = view.subvolume(key.subvolume) else {
        return Ok(());
    };
    let mut attributes = None;
    tree.each(
        Key::new(key.number, item::INODE_ITEM, 0),
        Key::new(key.number, item::XATTR_ITEM, u64::MAX),
        |item| {
            match (item.key.kind, &mut attributes) {
                (item::INODE_ITEM, none) => *none = inode(key, &InodeItem(item.fields))?,
                (item::XATTR_ITEM, Some(attributes)) => xattrs(&item.fields, attributes)?,
                _ => {}
            }
            Ok(attributes.is_some())
        },
    )?;
    let Some(mut attributes) = attributes else {
        return Ok(());
    };
    attributes.xattrs.sort_unstable();
    match attributes.kind {
        FileKind::Symlink => attributes.target = target(view, key)?,
        FileKind::Subvolume => subvolume(view, &mut attributes)?,
        _ => {}
    }
    found.push(attributes);
    Ok(())
}

/// The inode in an item; `None` for one that a mount deletes.
fn inode(key: FileKey, item: &InodeItem<'_>) -> Result<Option<Attributes>> {
    if item.nlink()? == 0 {
        return Ok(None);
    }
    let mode = item.mode()?;
    let kind = u16::try_from(mode & 0xFFFF)
        .ok()
        .and_then(FileKind::from_mode);
    let Some(mut kind) = kind else {
        let error = item.0.corrupt(52).expected("a kind of file");
        return Err(error.found(format_args!("mode {mode:o}")));
    };
    if key.number == objectid::FIRST_FREE && key.subvolume != objectid::FS_TREE {
        kind = FileKind::Subvolume;
    }
    let generation = item.generation()?;
    let mut attributes = Attributes::new(key, kind);
    attributes.generation = Some(generation);
    attributes.lineage = lineage(key, Some(generation));
    attributes.size = item.size()?;
    attributes.mode = Some(mode & 0o7777);
    attributes.uid = Some(item.uid()?);
    attributes.gid = Some(item.gid()?);
    attributes.nlink = Some(u64::from(item.nlink()?));
    if matches!(kind, FileKind::BlockDevice | FileKind::CharDevice) {
        let rdev = item.rdev()?;
        attributes.rdev = Some((rdev >> 20) << 32 | rdev & 0xF_FFFF);
    }
    attributes.flags = Some(flags(item.flags()?));
    let time = |at| -> Result<Option<Timestamp>> {
        Ok(Some(Timestamp {
            seconds: i64::from_le_bytes(item.0.array(at)?),
            nanoseconds: item.0.le32(at.saturating_add(8))?,
        }))
    };
    attributes.atime = time(112)?;
    attributes.ctime = time(124)?;
    attributes.mtime = time(136)?;
    attributes.btime = time(148)?;
    Ok(Some(attributes))
}

/// A file of another subvolume is another file, and so is one of another generation. File handles
/// tell all of that for files of every kind.
fn lineage(key: FileKey, generation: Option<u64>) -> Lineage {
    let mut bytes = [key.subvolume.to_le_bytes(), key.number.to_le_bytes()].concat();
    bytes.extend(generation.iter().flat_map(|g| g.to_le_bytes()));
    Lineage::new(&bytes)
}

fn flags(stored: u64) -> u64 {
    let last = match stored & NOCOMPRESS.0 {
        0 => COMPRESS,
        _ => NOCOMPRESS,
    };
    let shown = SHOWN_FLAGS.into_iter().chain([last]);
    shown
        .filter(|(bit, _)| stored & bit != 0)
        .fold(0, |all, (_, shown)| all | shown)
}

fn xattrs(fields: &Fields<'_>, attributes: &mut Attributes) -> Result<()> {
    for xattr in DirItem::all(fields)? {
        attributes.xattrs.push(Xattr {
            name: RawName::from(xattr.name),
            value: Arc::from(xattr.data),
        });
    }
    Ok(())
}

/// The target of a symlink, which is inline data and never compressed.
fn target(view: &View<'_>, key: FileKey) -> Result<Option<RawName>> {
    let Some(tree) = view.subvolume(key.subvolume) else {
        return Ok(None);
    };
    let mut target = None;
    let at = Key::new(key.number, item::EXTENT_DATA, 0);
    tree.each(at, at, |found| {
        let extent = FileExtent::parse(&found.fields)?;
        let bytes = found.fields.rest(FileExtent::HEADER)?;
        let plain = extent.kind == ExtentKind::Inline && extent.is_plain();
        if !plain || extent.ram_bytes > LONGEST_TARGET {
            let error = found.fields.corrupt(20).expected("the target of a symlink");
            return Err(error.found(format_args!("{:?}", extent.kind)));
        }
        // `mkfs.btrfs --rootdir` writes the zero byte behind it, too.
        let end = bytes.iter().position(|byte| *byte == 0);
        let bytes = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes);
        target = Some(RawName::from(bytes));
        Ok(false)
    })?;
    Ok(target)
}

/// What is known of a subvolume beside its root directory.
fn subvolume(view: &View<'_>, attributes: &mut Attributes) -> Result<()> {
    let Some(root) = view.fs.roots.get(attributes.key.subvolume) else {
        return Ok(());
    };
    if root.read_only {
        attributes.special.push(("read-only", "true".to_owned()));
    }
    if !root.parent_uuid.is_nil() {
        let path = match view.fs.roots.source_of(root) {
            Some(id) => path_of(view, Btrfs::root_of(id))?,
            None => None,
        };
        let source = path.unwrap_or_else(|| root.parent_uuid.to_string().into_bytes());
        attributes.snapshot_of = Some(RawName::from(&source));
    }
    Ok(())
}

/// Directories above a subvolume that are followed.
const MOST_ABOVE: usize = 256;

/// A path of a file from the top; `None` where it has none.
fn path_of(view: &View<'_>, file: FileKey) -> Result<Option<Vec<u8>>> {
    let top = Btrfs::root_of(objectid::FS_TREE);
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut at = file;
    while at != top {
        let mut links = Vec::new();
        names_of(view, at, &mut links)?;
        let Some(link) = links
            .into_iter()
            .next()
            .filter(|_| names.len() < MOST_ABOVE)
        else {
            return Ok(None);
        };
        names.push(link.name.as_bytes().to_vec());
        at = link.parent;
    }
    let mut path = Vec::new();
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    Ok(Some(path))
}
