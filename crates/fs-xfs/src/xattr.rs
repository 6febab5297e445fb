//! Extended attributes and parent pointers: in the inode, in leaf blocks, and in blocks of their
//! own.

use std::collections::BTreeSet;

use hexz_ondisk::{Fields, to_usize};
use hexz_resolve::{Error, Result};

use crate::disk::{DA_TAG, Disk, REMOTE_TAG};
use crate::fork::{self, Extent};
use crate::inode::{Inode, Which};
use crate::ondisk::{ATTR_LEAF, DA_NODE, RMT_MAGIC, format};

/// `XFS_ATTR_LOCAL`: the value stands beside the name.
const LOCAL: u8 = 1;
const ROOT: u8 = 1 << 1;
const SECURE: u8 = 1 << 2;
const PARENT: u8 = 1 << 3;
/// `XFS_ATTR_INCOMPLETE`: was never finished, and is not there.
const INCOMPLETE: u8 = 1 << 7;
/// `XFS_XATTR_SIZE_MAX`.
const LONGEST_VALUE: u32 = 64 * 1024;

/// What an attribute fork holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item<'a> {
    /// An extended attribute; the name is that within `namespace`.
    Attribute {
        namespace: &'static str,
        name: &'a [u8],
        value: &'a [u8],
    },
    /// A directory that names this inode, and by what name.
    Parent { name: &'a [u8], parent: u64 },
}

/// What is done with an item.
pub(crate) type Each<'a> = dyn FnMut(Item<'_>) -> Result<()> + 'a;

/// Hands out what the attribute fork of `inode` holds.
pub(crate) fn items(disk: &Disk<'_>, inode: &Inode<'_>, each: &mut Each<'_>) -> Result<()> {
    let Some(fork) = inode.fork(Which::Attr)? else {
        return Ok(());
    };
    if fork.format == format::LOCAL {
        return shortform(&fork.fields, each);
    }
    let extents = fork::extents(disk, inode, Which::Attr)?;
    if extents.is_empty() {
        return Ok(());
    }
    let fork = AttrFork {
        disk,
        inode,
        extents,
    };
    fork.leaves(each)
}

fn tell(flags: u8, name: &[u8], value: &[u8], each: &mut Each<'_>) -> Result<()> {
    if flags & INCOMPLETE != 0 {
        return Ok(());
    }
    if flags & PARENT != 0 {
        // `struct xfs_parent_rec`: inode and generation.
        let parent = Fields::new("parent pointer", 0, value).be64(0)?;
        return each(Item::Parent { name, parent });
    }
    let (namespace, name) = match (flags & ROOT != 0, flags & SECURE != 0, name) {
        (true, _, b"SGI_ACL_FILE") => ("system.", b"posix_acl_access".as_slice()),
        (true, _, b"SGI_ACL_DEFAULT") => ("system.", b"posix_acl_default".as_slice()),
        (true, _, _) => ("trusted.", name),
        (_, true, _) => ("security.", name),
        _ => ("user.", name),
    };
    each(Item::Attribute {
        namespace,
        name,
        value,
    })
}

/// `struct xfs_attr_sf_hdr` and its entries.
fn shortform(fields: &Fields<'_>, each: &mut Each<'_>) -> Result<()> {
    let count = fields.u8(2)?;
    let mut at: usize = 4;
    for _ in 0..count {
        let name_length = usize::from(fields.u8(at)?);
        let value_length = usize::from(fields.u8(at.saturating_add(1))?);
        let flags = fields.u8(at.saturating_add(2))?;
        let name_at = at.saturating_add(3);
        let value_at = name_at.saturating_add(name_length);
        let name = fields.bytes(name_at, name_length)?;
        tell(flags, name, fields.bytes(value_at, value_length)?, each)?;
        at = value_at.saturating_add(value_length);
    }
    Ok(())
}

struct AttrFork<'a, 'b> {
    disk: &'a Disk<'b>,
    inode: &'a Inode<'a>,
    extents: Vec<Extent>,
}

impl AttrFork<'_, '_> {
    /// The bytes of block `number` of the fork, and where they lie.
    fn block(&self, name: &'static str, number: u32) -> Result<(u64, Vec<u8>)> {
        let size = self.disk.geometry.block_size();
        let offset = u64::from(number).saturating_mul(size);
        let at = self.extents.partition_point(|e| e.end() <= offset);
        let extent = self.extents.get(at).filter(|e| e.offset <= offset);
        let Some(extent) = extent else {
            let text = format!(
                "block {number} of the attributes of inode {} is a hole",
                self.inode.number
            );
            return Err(Error::corrupt(name)
                .at(self.inode.fields.offset())
                .message(text));
        };
        let place = extent
            .range
            .start()
            .saturating_add(offset.saturating_sub(extent.offset));
        let bytes = self.disk.read(name, place, to_usize(size).unwrap_or(0))?;
        Ok((place, bytes))
    }

    /// Goes down to the first leaf, then along the leaves.
    fn leaves(&self, each: &mut Each<'_>) -> Result<()> {
        let version = usize::from(self.disk.geometry.v5);
        let mut seen = BTreeSet::new();
        let mut next = Some(0);
        while let Some(number) = next {
            if !seen.insert(number) {
                let error = Error::corrupt("attribute block").at(self.inode.fields.offset());
                return Err(error.message(format!("block {number} is met twice")));
            }
            let (place, bytes) = self.block("attribute block", number)?;
            let block = Fields::new("attribute block", place, &bytes);
            let magic = block.be16(8)?;
            self.disk.verify(&block, DA_TAG, self.inode.number)?;
            if ATTR_LEAF.get(version) == Some(&magic) {
                self.leaf(&block, each)?;
                next = Some(block.be32(0)?).filter(|forw| *forw != 0);
            } else if DA_NODE.get(version) == Some(&magic) {
                // The first child, `before` of the first `struct xfs_da_node_entry`.
                next = Some(block.be32(if version == 1 { 68 } else { 20 })?);
            } else {
                let found = format!("{magic:04x}");
                return Err(block.corrupt(8).expected("a leaf or a node").found(found));
            }
        }
        Ok(())
    }

    fn leaf(&self, block: &Fields<'_>, each: &mut Each<'_>) -> Result<()> {
        let (count_at, entries_at) = if self.disk.geometry.v5 {
            (56, 80)
        } else {
            (12, 32)
        };
        let count = usize::from(block.be16(count_at)?);
        for n in 0..count {
            let entry = usize::saturating_add(entries_at, n.saturating_mul(8));
            let at = usize::from(block.be16(entry.saturating_add(4))?);
            let flags = block.u8(entry.saturating_add(6))?;
            if flags & INCOMPLETE != 0 {
                continue;
            }
            if flags & LOCAL != 0 {
                let value_length = usize::from(block.be16(at)?);
                let name_length = usize::from(block.u8(at.saturating_add(2))?);
                let name_at = at.saturating_add(3);
                let name = block.bytes(name_at, name_length)?;
                let value = block.bytes(name_at.saturating_add(name_length), value_length)?;
                tell(flags, name, value, each)?;
                continue;
            }
            let (first, length) = (block.be32(at)?, block.be32(at.saturating_add(4))?);
            let name_length = usize::from(block.u8(at.saturating_add(8))?);
            let name = block.bytes(at.saturating_add(9), name_length)?;
            if length > LONGEST_VALUE {
                let error = block
                    .corrupt(at)
                    .expected(format_args!("at most {LONGEST_VALUE} bytes"));
                return Err(error.found(length));
            }
            let value = self.remote(first, to_usize(u64::from(length)).unwrap_or(0))?;
            tell(flags, name, &value, each)?;
        }
        Ok(())
    }

    /// A value of `length` bytes in blocks from `first` on; on V5 each has a header.
    fn remote(&self, first: u32, length: usize) -> Result<Vec<u8>> {
        let mut value = Vec::new();
        let mut number = first;
        while value.len() < length {
            let (place, bytes) = self.block("attribute value", number)?;
            let block = Fields::new("attribute value", place, &bytes);
            let rest = length.saturating_sub(value.len());
            if self.disk.geometry.v5 {
                let magic = block.be32(0)?;
                if magic != RMT_MAGIC {
                    let error = block.corrupt(0).expected(format_args!("{RMT_MAGIC:08x}"));
                    return Err(error.found(format_args!("{magic:08x}")));
                }
                self.disk.verify(&block, REMOTE_TAG, self.inode.number)?;
                let here = to_usize(u64::from(block.be32(8)?)).unwrap_or(usize::MAX);
                if here == 0 {
                    return Err(block.corrupt(8).expected("a part of the value").found(0));
                }
                value.extend_from_slice(block.bytes(56, here.min(rest))?);
            } else {
                value.extend_from_slice(block.bytes(0, rest.min(block.len()))?);
            }
            number = number.saturating_add(1);
        }
        Ok(value)
    }
}
