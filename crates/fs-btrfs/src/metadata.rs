//! Claims of tree blocks, down to the items of a leaf: which inode each is about.

use std::sync::Arc;

use hexz_resolve::{ByteRange, Claim, FileKey, FileKind, Result, Role};

use crate::backrefs::Resolver;
use crate::btrfs::{Btrfs, View};
use crate::claimed::Claimed;
use crate::node::{Item, Node, inline_range};
use crate::ondisk::{ExtentKind, FileExtent, InodeItem, Key, Root, item, objectid};
use crate::refs::Extent;
use crate::roots::is_subvolume;

/// The claims of the tree block in `extent`.
pub(crate) fn claims(
    view: &View<'_>,
    resolver: &Resolver,
    extent: &Extent,
    level: u8,
    out: &mut Claimed<'_>,
) -> Result<()> {
    let at = Root {
        bytenr: extent.range.start(),
        level,
        generation: None,
    };
    let node = view.read(at)?;
    let (role, detail) = word(node.owner);
    out.put(extent.range, |range| Claim::structure(range, role, detail));
    if level > 0 {
        return Ok(());
    }
    if node.owner == objectid::ROOT_TREE {
        return subvolumes(view, &node, out);
    }
    if !is_subvolume(node.owner) {
        return Ok(());
    }
    let trees: Vec<u64> = {
        // What was swept has none.
        let all: Arc<[u64]> = match extent.refs.as_slice() {
            [] => resolver.trees_of(view, &node)?,
            refs => resolver.trees_by(view, &node, refs)?,
        };
        let live = all.iter().copied();
        live.filter(|id| view.fs.roots.subvolume(*id).is_some())
            .collect()
    };
    items(view, &node, &trees, out)
}

/// The class and the word for a block of a tree.
pub(crate) const fn word(tree: u64) -> (Role, &'static str) {
    match tree {
        objectid::ROOT_TREE => (Role::InodeTable, "root-tree"),
        objectid::EXTENT_TREE => (Role::Allocation, "extent-tree"),
        objectid::CHUNK_TREE => (Role::VolumeMetadata, "chunk-tree"),
        objectid::DEV_TREE => (Role::VolumeMetadata, "device-tree"),
        objectid::CSUM_TREE => (Role::ExtentMap, "checksum-tree"),
        objectid::QUOTA_TREE => (Role::Quota, "quota-tree"),
        objectid::UUID_TREE => (Role::InodeTable, "uuid-tree"),
        objectid::FREE_SPACE_TREE => (Role::Allocation, "free-space-tree"),
        objectid::BLOCK_GROUP_TREE => (Role::Allocation, "block-group-tree"),
        objectid::RAID_STRIPE_TREE => (Role::VolumeMetadata, "raid-stripe-tree"),
        objectid::TREE_LOG => (Role::Journal, "log-tree"),
        objectid::TREE_RELOC | objectid::DATA_RELOC_TREE => {
            (Role::VolumeMetadata, "relocation-tree")
        }
        id if is_subvolume(id) => (Role::InodeTable, "subvolume-tree"),
        _ => (Role::InodeTable, "tree-block"),
    }
}

/// The records of subvolumes in a leaf of the tree of trees.
fn subvolumes(view: &View<'_>, leaf: &Node, out: &mut Claimed<'_>) -> Result<()> {
    for slot in 0..leaf.count {
        let found = leaf.item(slot)?;
        let id = found.key.objectid;
        let about = matches!(found.key.kind, item::ROOT_ITEM | item::ROOT_BACKREF);
        if !about || view.fs.roots.subvolume(id).is_none() {
            continue;
        }
        if let Some(range) = found.range() {
            let root = Btrfs::root_of(id);
            out.put(range, |range| Claim::file(range, root, Role::InodeRecord));
        }
    }
    Ok(())
}

/// What an item is to the inode it is about.
const fn role(kind: u8) -> Option<Role> {
    Some(match kind {
        item::INODE_ITEM | item::INODE_REF | item::INODE_EXTREF => Role::InodeRecord,
        item::VERITY_DESC_ITEM | item::VERITY_MERKLE_ITEM => Role::InodeRecord,
        item::XATTR_ITEM => Role::Xattr,
        item::DIR_ITEM | item::DIR_INDEX => Role::Directory,
        item::EXTENT_DATA => Role::ExtentMap,
        _ => return None,
    })
}

/// Items of one inode that follow each other and are the same to it. In a leaf the bytes of the
/// next item lie before those of the last.
struct Run {
    objectid: u64,
    role: Role,
    range: ByteRange,
}

fn items(view: &View<'_>, leaf: &Node, trees: &[u64], out: &mut Claimed<'_>) -> Result<()> {
    let mut run: Option<Run> = None;
    let mut mode = None;
    let flush = |run: Option<Run>, out: &mut Claimed<'_>| {
        let Some(run) = run else { return };
        for tree in trees {
            let key = FileKey {
                subvolume: *tree,
                number: run.objectid,
            };
            if view.fs.logged.is_gone(key) {
                continue;
            }
            out.put(run.range, |range| Claim::file(range, key, run.role));
        }
    };
    for slot in 0..leaf.count {
        let found = leaf.item(slot)?;
        let key = found.key;
        if key.kind == item::INODE_ITEM {
            let bits = InodeItem(found.fields).mode()?;
            mode = Some((key.objectid, bits));
        }
        let (Some(role), Some(range)) = (role(key.kind), found.range()) else {
            flush(run.take(), out);
            continue;
        };
        let range = match inline(&found)? {
            None => range,
            Some(data) => {
                let kind = kind_of(view, trees, key.objectid, mode)?;
                for tree in trees {
                    if !view.fs.logged.hides(*tree, key) {
                        inline_claim(&found, *tree, kind, data, out);
                    }
                }
                let header = ByteRange::at(range.start(), data);
                header.unwrap_or(range)
            }
        };
        match &mut run {
            Some(run)
                if run.objectid == key.objectid
                    && run.role == role
                    && range.end() == run.range.start() =>
            {
                run.range = ByteRange::new(range.start(), run.range.end());
            }
            _ => {
                let next = Run {
                    objectid: key.objectid,
                    role,
                    range,
                };
                flush(run.replace(next), out);
            }
        }
    }
    flush(run, out);
    Ok(())
}

/// Where in an item inline data begin; `None` for one without.
fn inline(found: &Item<'_>) -> Result<Option<u64>> {
    if found.key.kind != item::EXTENT_DATA {
        return Ok(None);
    }
    let extent = FileExtent::parse(&found.fields)?;
    let at = u64::try_from(FileExtent::HEADER).ok();
    Ok(at.filter(|_| extent.kind == ExtentKind::Inline))
}

/// The kind of an inode, from its record in the same leaf or elsewhere in its tree.
fn kind_of(
    view: &View<'_>,
    trees: &[u64],
    number: u64,
    known: Option<(u64, u32)>,
) -> Result<Option<FileKind>> {
    let from = |mode: u32| {
        u16::try_from(mode & 0xFFFF)
            .ok()
            .and_then(FileKind::from_mode)
    };
    if let Some((_, mode)) = known.filter(|(objectid, _)| *objectid == number) {
        return Ok(from(mode));
    }
    let Some(tree) = trees.first().and_then(|id| view.subvolume(*id)) else {
        return Ok(None);
    };
    let key = Key::new(number, item::INODE_ITEM, 0);
    let mut kind = None;
    tree.each(key, key, |found| {
        kind = from(InodeItem(found.fields).mode()?);
        Ok(false)
    })?;
    Ok(kind)
}

fn inline_claim(
    found: &Item<'_>,
    tree: u64,
    kind: Option<FileKind>,
    data: u64,
    out: &mut Claimed<'_>,
) {
    let Some(range) = inline_range(found, data) else {
        return;
    };
    let owner = FileKey {
        subvolume: tree,
        number: found.key.objectid,
    };
    let symlink = kind == Some(FileKind::Symlink);
    let plain = FileExtent::parse(&found.fields).is_ok_and(|extent| extent.is_plain());
    let role = if symlink { Role::Symlink } else { Role::Data };
    let offset = (!symlink).then_some(found.key.offset);
    out.put_at(range, offset, |range| {
        let mut claim = Claim::file(range, owner, role);
        claim.encoded = !symlink && !plain;
        claim
    });
}
