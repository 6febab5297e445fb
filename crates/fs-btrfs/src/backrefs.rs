//! The extent tree: what is allocated, and who refers to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hexz_ondisk::Fields;
use hexz_resolve::{ByteRange, Error, Result};

use crate::btrfs::View;
use crate::node::Node;
use crate::ondisk::{FileExtent, Key, Root, item, objectid};
use crate::sweep::Swept;

/// `BTRFS_EXTENT_FLAG_TREE_BLOCK`.
const TREE_BLOCK: u64 = 1 << 1;
/// A reference to decoded bytes reaches at most this far beyond where it begins: extents are
/// no longer, but for those that `btrfs-convert` made, which are not compressed.
const DECODED: u64 = 1 << 20;

/// Who refers to an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ref {
    /// A block of this tree has a pointer to it.
    TreeBlock { root: u64 },
    /// The block at this logical address has a pointer to it.
    SharedBlock { parent: u64 },
    /// So many items of a file of this tree. `offset` is where the extent would begin in the file.
    Data {
        root: u64,
        objectid: u64,
        offset: u64,
        count: u32,
    },
    /// Items of the leaf at this logical address.
    SharedData { parent: u64 },
}

/// An allocated extent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Extent {
    /// Logical addresses.
    pub(crate) range: ByteRange,
    /// The level, for a tree block.
    pub(crate) level: Option<u8>,
    pub(crate) refs: Vec<Ref>,
}

impl Extent {
    /// The first file that refers to it by its key: tree, inode, offset.
    pub(crate) fn first_file(&self) -> Option<(u64, u64, u64)> {
        self.refs.iter().find_map(|reference| match *reference {
            Ref::Data {
                root,
                objectid,
                offset,
                ..
            } => Some((root, objectid, offset)),
            _ => None,
        })
    }

    /// The extent in an `EXTENT_ITEM` or `METADATA_ITEM`.
    fn parse(key: Key, fields: &Fields<'_>, nodesize: u32) -> Result<Self> {
        let flags = fields.le64(16)?;
        let mut at = 24usize;
        let (length, level) = if key.kind == item::METADATA_ITEM {
            (u64::from(nodesize), u8::try_from(key.offset).ok())
        } else if flags & TREE_BLOCK != 0 {
            at = 42;
            (key.offset, Some(fields.u8(41)?))
        } else {
            (key.offset, None)
        };
        let range = ByteRange::at(key.objectid, length).filter(|r| !r.is_empty());
        let Some(range) = range else {
            return Err(fields.corrupt(0).found(format_args!("length {length}")));
        };
        let mut extent = Self {
            range,
            level,
            refs: Vec::new(),
        };
        while at < fields.len() {
            let kind = fields.u8(at)?;
            let body = fields.sub(
                "back reference",
                at.saturating_add(1),
                size_of_ref(kind, fields, at)?,
            )?;
            extent.refs.extend(reference(kind, None, &body)?);
            at = at.saturating_add(1).saturating_add(body.len());
        }
        Ok(extent)
    }
}

/// Bytes of an inline reference behind its type.
fn size_of_ref(kind: u8, fields: &Fields<'_>, at: usize) -> Result<usize> {
    Ok(match kind {
        item::TREE_BLOCK_REF | item::SHARED_BLOCK_REF | item::EXTENT_OWNER_REF => 8,
        item::EXTENT_DATA_REF => 28,
        item::SHARED_DATA_REF => 12,
        other => {
            let error = fields.corrupt(at).expected("a type of reference");
            return Err(error.found(other));
        }
    })
}

/// The reference in `fields`: inline ones begin with what else is the offset of the key.
fn reference(kind: u8, key: Option<Key>, fields: &Fields<'_>) -> Result<Option<Ref>> {
    let first = || key.map_or_else(|| fields.le64(0), |key| Ok(key.offset));
    Ok(Some(match kind {
        item::TREE_BLOCK_REF => Ref::TreeBlock { root: first()? },
        item::SHARED_BLOCK_REF => Ref::SharedBlock { parent: first()? },
        item::SHARED_DATA_REF => Ref::SharedData { parent: first()? },
        item::EXTENT_DATA_REF => Ref::Data {
            root: fields.le64(0)?,
            objectid: fields.le64(8)?,
            offset: fields.le64(16)?,
            count: fields.le32(24)?,
        },
        _ => return Ok(None),
    }))
}

/// A file's part of a data extent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share {
    pub(crate) root: u64,
    pub(crate) objectid: u64,
    pub(crate) file_offset: u64,
    /// Where in the decoded extent it begins, and how long it is.
    pub(crate) inner: ByteRange,
    pub(crate) prealloc: bool,
    pub(crate) plain: bool,
}

/// Who has a data extent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares {
    pub(crate) files: Vec<Share>,
    /// Whether a log took the extent from a file that has it in its tree.
    pub(crate) dropped: bool,
}

/// Finds out who refers to extents; what was found about tree blocks is remembered.
pub(crate) struct Resolver {
    roots: Mutex<HashMap<u64, Arc<[u64]>>>,
    /// What stands in for the extent tree where that can't be read, or why nothing does.
    swept: OnceLock<Option<Swept>>,
    /// Blocks and extents that are remembered of it.
    most: usize,
}

/// Blocks of which the trees are remembered.
const REMEMBERED: usize = 1 << 18;

impl Resolver {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            roots: Mutex::default(),
            swept: OnceLock::new(),
            most,
        }
    }

    /// What all other trees tell of extents; `None` where they have too many.
    pub(crate) fn swept(&self, view: &View<'_>) -> Option<&Swept> {
        let read = || Swept::read(view, self.most).ok();
        self.swept.get_or_init(read).as_ref()
    }

    /// Calls `visit` with each extent that shares a byte with `range`, rising, and last with how
    /// far the extent tree was read: where it could be read in full, that is the end of `range`.
    pub(crate) fn extents(
        view: &View<'_>,
        range: ByteRange,
        mut visit: impl FnMut(Extent) -> Result<()>,
    ) -> Result<()> {
        let Some(tree) = view.tree(objectid::EXTENT_TREE) else {
            return Err(Error::corrupt("extent tree").message("there is none"));
        };
        let mut before =
            tree.at_or_before(Key::new(range.start(), item::METADATA_ITEM, u64::MAX))?;
        let Some((leaf, slot)) = before.next()? else {
            return Ok(());
        };
        let first = leaf.key(slot)?.objectid;
        let nodesize = view.fs.blocks.nodesize;
        let mut open: Option<Extent> = None;
        let last = Key::new(range.end().saturating_sub(1), u8::MAX, u64::MAX);
        tree.each(Key::new(first, item::EXTENT_ITEM, 0), last, |found| {
            let key = found.key;
            match key.kind {
                item::EXTENT_ITEM | item::METADATA_ITEM => {
                    if let Some(extent) = open.take().filter(|e| e.range.overlaps(&range)) {
                        visit(extent)?;
                    }
                    open = Some(Extent::parse(key, &found.fields, nodesize)?);
                }
                kind => {
                    if let Some(extent) = open.as_mut().filter(|e| e.range.start() == key.objectid)
                    {
                        extent
                            .refs
                            .extend(reference(kind, Some(key), &found.fields)?);
                    }
                }
            }
            Ok(true)
        })?;
        open.filter(|e| e.range.overlaps(&range))
            .map_or(Ok(()), visit)
    }

    /// The trees in which the block `node` is, rising.
    pub(crate) fn trees_of(&self, view: &View<'_>, node: &Node) -> Result<Arc<[u64]>> {
        let known = {
            let roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
            roots.get(&node.bytenr).map(Arc::clone)
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let at = ByteRange::new(node.bytenr, node.bytenr.saturating_add(1));
        let mut refs = Vec::new();
        let told = Self::extents(view, at, |extent| {
            if extent.range.start() == node.bytenr {
                refs.extend(extent.refs);
            }
            Ok(())
        });
        if let Err(error) = told {
            let swept = self.swept(view).filter(|_| !error.ends_scan());
            return swept.map(|swept| swept.trees_of(node.bytenr)).ok_or(error);
        }
        self.trees_by(view, node, &refs)
    }

    /// The same for a block whose references are known.
    pub(crate) fn trees_by(
        &self,
        view: &View<'_>,
        node: &Node,
        refs: &[Ref],
    ) -> Result<Arc<[u64]>> {
        let mut found = Vec::new();
        for reference in refs {
            match *reference {
                Ref::TreeBlock { root } => self.keyed_parent(view, node, root, &mut found)?,
                // The root of a relocation tree names itself.
                Ref::SharedBlock { parent } if parent != node.bytenr => {
                    let Some(level) = node.level.checked_add(1) else {
                        continue;
                    };
                    let at = Root {
                        bytenr: parent,
                        level,
                        generation: None,
                    };
                    let above = view.read(at)?;
                    found.extend(self.trees_of(view, &above)?.iter());
                }
                _ => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        let found: Arc<[u64]> = found.into();
        let mut known = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < REMEMBERED {
            known.insert(node.bytenr, Arc::clone(&found));
        }
        Ok(found)
    }

    /// Adds the trees of the block in tree `root` that points at `node`. The block is one level
    /// up, so this ends.
    fn keyed_parent(
        &self,
        view: &View<'_>,
        node: &Node,
        root: u64,
        found: &mut Vec<u64>,
    ) -> Result<()> {
        let Some(tree) = view.tree(root) else {
            return Ok(());
        };
        if tree.root.bytenr == node.bytenr {
            found.push(root);
            return Ok(());
        }
        if tree.root.level <= node.level || node.count == 0 {
            return Ok(());
        }
        let level = node.level.saturating_add(1);
        let path = tree.path_to(node.key(0)?, level)?;
        let Some(above) = path.last().filter(|above| above.level == level) else {
            return Ok(());
        };
        let slot = above.lower_bound(node.key(0)?)?;
        if slot < above.count && above.child(slot)?.bytenr == node.bytenr {
            found.extend(self.trees_of(view, above)?.iter());
        }
        Ok(())
    }

    /// Every file's part of a data extent, in every tree that has it; each once.
    pub(crate) fn shares(&self, view: &View<'_>, extent: &Extent) -> Result<Shares> {
        let mut shares = Shares::default();
        for reference in &extent.refs {
            match *reference {
                Ref::Data {
                    root,
                    objectid,
                    offset,
                    count,
                } => {
                    let Some(tree) = view.tree(root) else {
                        continue;
                    };
                    // It may begin before the file, where only a later part of it is used.
                    let first = if offset >> 63 == 0 { offset } else { 0 };
                    let length = extent.range.len().max(DECODED);
                    let last = offset.wrapping_add(length).max(first);
                    let mut left = count;
                    tree.each_stored(
                        Key::new(objectid, item::EXTENT_DATA, first),
                        Key::new(objectid, item::EXTENT_DATA, last),
                        |found, leaf| {
                            let part = part_of(extent.range.start(), found)?;
                            let Some(part) = part
                                .filter(|p| p.file_offset.wrapping_sub(p.inner.start()) == offset)
                            else {
                                return Ok(true);
                            };
                            self.add(view, leaf, &part, &mut shares)?;
                            left = left.saturating_sub(1);
                            Ok(left > 0)
                        },
                    )?;
                }
                Ref::SharedData { parent } => {
                    let leaf = view.read(Root {
                        bytenr: parent,
                        level: 0,
                        generation: None,
                    })?;
                    for slot in 0..leaf.count {
                        let found = leaf.item(slot)?;
                        if found.key.kind != item::EXTENT_DATA {
                            continue;
                        }
                        if let Some(part) = part_of(extent.range.start(), &found)? {
                            self.add(view, &leaf, &part, &mut shares)?;
                        }
                    }
                }
                _ => {}
            }
        }
        let logged = view.fs.logged.shares(extent.range.start());
        shares.files.extend_from_slice(logged);
        shares.files.sort_unstable();
        shares.files.dedup();
        Ok(shares)
    }

    fn add(&self, view: &View<'_>, leaf: &Node, part: &Share, shares: &mut Shares) -> Result<()> {
        let key = Key::new(part.objectid, item::EXTENT_DATA, part.file_offset);
        for root in self.trees_of(view, leaf)?.iter() {
            if view.fs.logged.hides(*root, key) {
                shares.dropped = true;
                continue;
            }
            shares.files.push(Share {
                root: *root,
                ..part.clone()
            });
        }
        Ok(())
    }
}

/// The part of the extent at `bytenr` that the item is about, for no tree yet.
pub(crate) fn part_of(bytenr: u64, found: &crate::node::Item<'_>) -> Result<Option<Share>> {
    let file = FileExtent::parse(&found.fields)?;
    if file.kind == crate::ondisk::ExtentKind::Inline || file.disk_bytenr != bytenr {
        return Ok(None);
    }
    let inner = ByteRange::at(file.offset, file.num_bytes);
    Ok(inner.map(|inner| Share {
        root: 0,
        objectid: found.key.objectid,
        file_offset: found.key.offset,
        inner,
        prealloc: file.kind == crate::ondisk::ExtentKind::Prealloc,
        plain: file.is_plain(),
    }))
}
