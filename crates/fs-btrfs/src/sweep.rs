//! What the extent tree would tell, from all other trees: each is read once, where the extent tree
//! can't be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hexz_resolve::{ByteRange, Diagnostic, Error, Result};

use crate::btrfs::View;
use crate::node::Node;
use crate::ondisk::{ExtentKind, FileExtent, Root, item};
use crate::refs::{Extent, Ref};

/// What the trees of a view have.
#[derive(Default)]
pub(crate) struct Swept {
    /// By start; they do not overlap.
    extents: Vec<Extent>,
    /// The trees in which each block is, rising.
    trees: BTreeMap<u64, Arc<[u64]>>,
}

impl Swept {
    /// Reads all trees, of which blocks that can't be read are left out.
    ///
    /// # Errors
    /// `Limit`, when they have more than `most` blocks and extents.
    pub(crate) fn read(view: &View<'_>, most: usize) -> Result<Self> {
        let mut found = Found {
            left: most,
            ..Found::default()
        };
        for id in view.fs.roots.in_use() {
            found.tree(view, id)?;
        }
        let text = "the extent tree can't be read: owners are found by reading all other trees, and \
                    what they do not have is not known to be free";
        (view.findings)(Diagnostic::warning("btrfs-swept", text));
        Ok(found.swept())
    }

    /// The extents that share a byte with `range`, rising.
    pub(crate) fn within(&self, range: ByteRange) -> impl Iterator<Item = &Extent> {
        let from = self
            .extents
            .partition_point(|extent| extent.range.end() <= range.start());
        let rest = self.extents.get(from..).unwrap_or_default();
        rest.iter()
            .take_while(move |extent| extent.range.start() < range.end())
    }

    /// The trees in which the block at `bytenr` is.
    pub(crate) fn trees_of(&self, bytenr: u64) -> Arc<[u64]> {
        self.trees.get(&bytenr).cloned().unwrap_or_default()
    }
}

/// What was read so far.
#[derive(Default)]
struct Found {
    /// Blocks and extents that may still come.
    left: usize,
    /// Level and trees of each block, by its address.
    blocks: BTreeMap<u64, (ByteRange, u8, Vec<u64>)>,
    /// The leaves that have each extent.
    data: BTreeMap<(u64, u64), BTreeSet<u64>>,
}

impl Found {
    fn tree(&mut self, view: &View<'_>, id: u64) -> Result<()> {
        let Some(tree) = view.tree(id) else {
            return Ok(());
        };
        let mut waiting = vec![tree.root];
        while let Some(at) = waiting.pop() {
            match view.read(at).and_then(|node| self.block(view, id, &node)) {
                Ok(further) => waiting.extend(further),
                Err(error) if error.ends_scan() => return Err(error),
                // It is told where it is asked for.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<()> {
        let too_many = || Error::limit("btrfs", "too many blocks to find their owners one by one");
        self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }

    /// Adds a block of a tree, and gives those that it points at.
    fn block(&mut self, view: &View<'_>, id: u64, node: &Node) -> Result<Vec<Root>> {
        self.take()?;
        let Some(range) = view.fs.blocks.range(node.bytenr) else {
            return Ok(Vec::new());
        };
        let known = self.blocks.entry(node.bytenr);
        let (_, _, trees) = known.or_insert_with(|| (range, node.level, Vec::new()));
        // Once a tree: what it points at is not gone through again.
        if trees.last() == Some(&id) {
            return Ok(Vec::new());
        }
        let first = trees.is_empty();
        trees.push(id);
        if node.level > 0 {
            return (0..node.count).map(|slot| node.child(slot)).collect();
        }
        for slot in 0..node.count {
            let found = node.item(slot)?;
            if !first || found.key.kind != item::EXTENT_DATA {
                continue;
            }
            let extent = FileExtent::parse(&found.fields)?;
            if extent.kind == ExtentKind::Inline || extent.disk_bytenr == 0 {
                continue;
            }
            self.take()?;
            let place = (extent.disk_bytenr, extent.disk_num_bytes);
            self.data.entry(place).or_default().insert(node.bytenr);
        }
        Ok(Vec::new())
    }

    fn swept(self) -> Swept {
        let mut swept = Swept::default();
        let mut all = Vec::new();
        for (bytenr, (range, level, trees)) in self.blocks {
            all.push(Extent {
                range,
                level: Some(level),
                refs: Vec::new(),
            });
            swept.trees.insert(bytenr, trees.into());
        }
        for ((start, length), leaves) in self.data {
            let refs = leaves.into_iter().map(|parent| Ref::SharedData { parent });
            let range = ByteRange::at(start, length).filter(|range| !range.is_empty());
            all.extend(range.map(|range| Extent {
                range,
                level: None,
                refs: refs.collect(),
            }));
        }
        all.sort_by_key(|extent| extent.range.start());
        // No two extents have a byte in common where the trees are sound.
        let mut end = 0;
        all.retain(|extent| {
            let apart = extent.range.start() >= end;
            end = end.max(extent.range.end());
            apart
        });
        swept.extents = all;
        swept
    }
}
