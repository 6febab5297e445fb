//! Allocated extents, and the references to them.

use hexz_ondisk::Fields;
use hexz_resolve::{ByteRange, Result};

use crate::node::Item;
use crate::ondisk::{ExtentKind, FileExtent, Key, item};

/// `BTRFS_EXTENT_FLAG_TREE_BLOCK`.
const TREE_BLOCK: u64 = 1 << 1;

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
    pub(crate) fn parse(key: Key, fields: &Fields<'_>, nodesize: u32) -> Result<Self> {
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
pub(crate) fn reference(kind: u8, key: Option<Key>, fields: &Fields<'_>) -> Result<Option<Ref>> {
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

/// The part of the extent at `bytenr` that the item is about, for no tree yet.
pub(crate) fn part_of(bytenr: u64, found: &Item<'_>) -> Result<Option<Share>> {
    let file = FileExtent::parse(&found.fields)?;
    if file.kind == ExtentKind::Inline || file.disk_bytenr != bytenr {
        return Ok(None);
    }
    let inner = ByteRange::at(file.offset, file.num_bytes);
    Ok(inner.map(|inner| Share {
        root: 0,
        objectid: found.key.objectid,
        file_offset: found.key.offset,
        inner,
        prealloc: file.kind == ExtentKind::Prealloc,
        plain: file.is_plain(),
    }))
}
