//! The extent tree: what is allocated, and who refers to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hexz_resolve::{ByteRange, Error, Result};

use crate::btrfs::View;
use crate::node::Node;
use crate::ondisk::{Key, Root, item, objectid};
use crate::refs::{Extent, Ref, Share, part_of, reference};
use crate::sweep::Swept;

/// A reference to decoded bytes reaches at most this far beyond where it begins: extents are
/// no longer, but for those that `btrfs-convert` made, which are not compressed.
const DECODED: u64 = 1 << 20;

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
