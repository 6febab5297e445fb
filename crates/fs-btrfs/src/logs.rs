//! The tree of log trees: which subvolumes have one, and which blocks they take up.

use std::collections::BTreeSet;

use hexz_resolve::{Error, RangeSet, Result};

use crate::ondisk::{Root, item, objectid};
use crate::roots::root_of;
use crate::tree::Tree;

/// What the superblock's `log_root` leads to.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    /// Logical addresses of all blocks.
    pub(crate) blocks: RangeSet,
    /// Each subvolume with a log, and where that begins.
    pub(crate) trees: Vec<(u64, Root)>,
}

impl Logs {
    /// Reads all blocks of the tree of log trees and of what it names, of which there may be
    /// `most`.
    pub(crate) fn read(tree: &Tree<'_>, most: usize) -> Result<Self> {
        let mut found = Vec::new();
        let mut trees = Vec::new();
        let mut blocks = vec![(tree.root, true)];
        let mut seen = BTreeSet::new();
        while let Some((at, names_trees)) = blocks.pop() {
            if !seen.insert(at.bytenr) {
                return Err(Error::corrupt("log tree").message("it has a block twice"));
            }
            if seen.len() > most {
                let text = format!("the log trees have more than {most} blocks");
                return Err(Error::unsupported("log tree", text));
            }
            let node = tree.read(at)?;
            found.extend(tree.blocks.range(at.bytenr));
            for slot in 0..node.count {
                if node.level > 0 {
                    blocks.push((node.child(slot)?, names_trees));
                    continue;
                }
                let item = node.item(slot)?;
                let about = item.key.objectid == objectid::TREE_LOG;
                if names_trees && item.key.kind == item::ROOT_ITEM && about {
                    let root = root_of(&item.fields)?;
                    trees.push((item.key.offset, root));
                    blocks.push((root, false));
                }
            }
        }
        trees.sort_unstable_by_key(|(id, _)| *id);
        Ok(Self {
            blocks: found.into_iter().collect(),
            trees,
        })
    }
}
