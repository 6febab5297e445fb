//! The tree of trees: where each tree begins, and where each subvolume stands.

use std::collections::BTreeMap;

use hexz_ondisk::{Fields, Guid};
use hexz_resolve::Result;

use crate::node::Item;
use crate::ondisk::{Key, Root, item, objectid};
use crate::tree::Tree;

/// `BTRFS_ROOT_SUBVOL_RDONLY` and `BTRFS_ROOT_SUBVOL_DEAD`.
const READ_ONLY: u64 = 1;
const DEAD: u64 = 1 << 48;

/// `struct btrfs_root_item`, as far as it matters here.
#[derive(Clone, Debug)]
pub(crate) struct RootItem {
    pub(crate) root: Root,
    /// Whether it is still in use: none that is being deleted.
    pub(crate) live: bool,
    pub(crate) read_only: bool,
    pub(crate) uuid: Guid,
    /// Of the subvolume that it is a snapshot of.
    pub(crate) parent_uuid: Guid,
}

/// Where a subvolume stands: `struct btrfs_root_ref`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RootRef {
    /// The subvolume and the directory that name it.
    pub(crate) tree: u64,
    pub(crate) directory: u64,
    pub(crate) name: Vec<u8>,
}

/// All trees that the tree of trees names.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    trees: BTreeMap<u64, RootItem>,
    names: BTreeMap<u64, Vec<RootRef>>,
}

impl Roots {
    /// Reads the tree of trees.
    pub(crate) fn read(&mut self, tree: &Tree<'_>) -> Result<()> {
        let last = Key::new(u64::MAX, u8::MAX, u64::MAX);
        tree.each(Key::default(), last, |found| {
            match found.key.kind {
                item::ROOT_ITEM => self.add_root(found)?,
                item::ROOT_BACKREF => self.add_name(found)?,
                _ => {}
            }
            Ok(true)
        })
    }

    fn add_root(&mut self, found: &Item<'_>) -> Result<()> {
        let fields = &found.fields;
        let flags = fields.le64(208)?;
        // Before Linux 3.6 an item ended here.
        let guid = |at| fields.array(at).map(Guid::from_bytes).unwrap_or_default();
        let root = RootItem {
            root: root_of(fields)?,
            live: fields.le32(216)? > 0 && flags & DEAD == 0,
            read_only: flags & READ_ONLY != 0,
            uuid: guid(247),
            parent_uuid: guid(263),
        };
        self.trees.insert(found.key.objectid, root);
        Ok(())
    }

    fn add_name(&mut self, found: &Item<'_>) -> Result<()> {
        let fields = &found.fields;
        let length = usize::from(fields.le16(16)?);
        let name = RootRef {
            tree: found.key.offset,
            directory: fields.le64(0)?,
            name: fields.bytes(18, length)?.to_vec(),
        };
        self.names.entry(found.key.objectid).or_default().push(name);
        Ok(())
    }

    /// Adds a tree that the superblock names.
    pub(crate) fn add(&mut self, id: u64, root: Root) {
        let root = RootItem {
            root,
            live: true,
            read_only: false,
            uuid: Guid::default(),
            parent_uuid: Guid::default(),
        };
        self.trees.insert(id, root);
    }

    /// Where a tree begins, be it in use or not.
    pub(crate) fn get(&self, id: u64) -> Option<&RootItem> {
        self.trees.get(&id)
    }

    /// All trees that are in use, rising. Of one that is being deleted blocks may be free already.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = u64> {
        let live = self.trees.iter().filter(|(_, root)| root.live);
        live.map(|(id, _)| *id)
    }

    /// A subvolume that is in use.
    pub(crate) fn subvolume(&self, id: u64) -> Option<&RootItem> {
        self.trees
            .get(&id)
            .filter(|root| root.live && is_subvolume(id))
    }

    /// The subvolume that `root` is a snapshot of, where that is still there.
    pub(crate) fn source_of(&self, root: &RootItem) -> Option<u64> {
        let mut found = self.trees.iter();
        found
            .find(|(id, other)| is_subvolume(**id) && other.live && other.uuid == root.parent_uuid)
            .map(|(id, _)| *id)
    }

    /// Where a subvolume stands.
    pub(crate) fn names_of(&self, id: u64) -> &[RootRef] {
        self.names.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// Where the tree of a `ROOT_ITEM` begins.
pub(crate) fn root_of(fields: &Fields<'_>) -> Result<Root> {
    Ok(Root {
        bytenr: fields.le64(176)?,
        level: fields.u8(238)?,
        generation: Some(fields.le64(160)?),
    })
}

/// Whether a tree holds files of users.
pub(crate) const fn is_subvolume(id: u64) -> bool {
    id == objectid::FS_TREE || (id >= objectid::FIRST_FREE && id <= objectid::LAST_FREE)
}
