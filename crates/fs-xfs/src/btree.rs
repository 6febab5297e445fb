//! Walking the btrees: of allocation groups, with block numbers of 32 bits within the group, and
//! of forks, with filesystem block numbers of 64 bits.

use std::collections::HashSet;

use hexz_ondisk::{Fields, to_usize};
use hexz_resolve::{ByteRange, Error, Result};

use crate::disk::{Disk, Tag};

/// A kind of btree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// For messages.
    pub(crate) name: &'static str,
    /// On V4 and on V5; 0 where it is not there.
    magic: [u32; 2],
    /// Bytes of the key or keys of a child.
    key: usize,
    /// Bytes of a record.
    record: usize,
    /// Whether block numbers have 64 bits.
    long: bool,
}

const fn shape(name: &'static str, magic: [&[u8; 4]; 2], key: usize, record: usize) -> Shape {
    let [v4, v5] = magic;
    Shape {
        name,
        magic: [u32::from_be_bytes(*v4), u32::from_be_bytes(*v5)],
        key,
        record,
        long: false,
    }
}

/// Free extents by place.
pub(crate) const BNOBT: Shape = shape("bnobt block", [b"ABTB", b"AB3B"], 8, 8);
/// Free extents by size.
pub(crate) const CNTBT: Shape = shape("cntbt block", [b"ABTC", b"AB3C"], 8, 8);
/// Inode chunks.
pub(crate) const INOBT: Shape = shape("inobt block", [b"IABT", b"IAB3"], 4, 16);
/// Inode chunks with free inodes.
pub(crate) const FINOBT: Shape = shape("finobt block", [b"FIBT", b"FIB3"], 4, 16);
/// Owners by place.
pub(crate) const RMAPBT: Shape = shape("rmapbt block", [&[0; 4], b"RMB3"], 40, 24);
/// Shared extents.
pub(crate) const REFCOUNTBT: Shape = shape("refcountbt block", [&[0; 4], b"R3FC"], 4, 12);
/// Extents of a fork.
pub(crate) const BMBT: Shape = Shape {
    long: true,
    ..shape("bmbt block", [b"BMAP", b"BMA3"], 8, 16)
};

/// Levels a btree can have: `XFS_BTREE_MAXLEVELS` is 9, and some are given.
const MOST_LEVELS: u16 = 16;

/// What is done with what a walk meets.
pub(crate) trait Visitor {
    /// Whether to read the child of `level` whose key is `key`; `next` is the key of the child
    /// behind it in the same block.
    fn wants(&mut self, level: u16, key: &Fields<'_>, next: Option<&Fields<'_>>) -> Result<bool> {
        let _ = (level, key, next);
        Ok(true)
    }

    /// A block of the btree, read or not.
    fn block(&mut self, range: ByteRange) -> Result<()> {
        let _ = range;
        Ok(())
    }

    /// A record.
    fn record(&mut self, record: &Fields<'_>) -> Result<()>;
}

/// The top of a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    /// The group, for block numbers within it.
    pub(crate) agno: u32,
    /// What V5 blocks say they belong to: the group, or the inode.
    pub(crate) owner: u64,
    /// Block number.
    pub(crate) block: u64,
    /// Level of this block; 0 is a leaf.
    pub(crate) level: u16,
}

/// A block still to be visited.
#[derive(Clone, Copy)]
struct Pending {
    block: u64,
    level: u16,
    read: bool,
}

/// Walks the btree at `root` in the order of its keys. A part that can't be read is told and left
/// out.
pub(crate) fn walk(
    disk: &Disk<'_>,
    shape: &Shape,
    root: Root,
    visitor: &mut dyn Visitor,
) -> Result<()> {
    if root.level >= MOST_LEVELS {
        let error = Error::corrupt(shape.name).message("the tree is too deep");
        return disk.tolerate(error.expected(format_args!("less than {MOST_LEVELS} levels")));
    }
    let mut seen = HashSet::new();
    let mut stack = vec![Pending {
        block: root.block,
        level: root.level,
        read: true,
    }];
    while let Some(next) = stack.pop() {
        if let Err(error) = visit(disk, shape, &root, next, &mut seen, &mut stack, visitor) {
            disk.tolerate(error)?;
        }
    }
    Ok(())
}

fn range_of(disk: &Disk<'_>, shape: &Shape, root: &Root, block: u64) -> Result<ByteRange> {
    let range = if shape.long {
        disk.geometry.extent(block, 1)
    } else {
        u32::try_from(block)
            .ok()
            .and_then(|block| disk.geometry.ag_extent(root.agno, block, 1))
    };
    range.ok_or_else(|| {
        let text = format!("block {block} is outside of what is there");
        Error::corrupt(shape.name).message(text)
    })
}

fn visit(
    disk: &Disk<'_>,
    shape: &Shape,
    root: &Root,
    pending: Pending,
    seen: &mut HashSet<u64>,
    stack: &mut Vec<Pending>,
    visitor: &mut dyn Visitor,
) -> Result<()> {
    let range = range_of(disk, shape, root, pending.block)?;
    if !seen.insert(pending.block) {
        let error = Error::corrupt(shape.name).at(range.start());
        return Err(error.message("the tree leads to this block twice"));
    }
    if !pending.read {
        return visitor.block(range);
    }
    let bytes = disk.read(
        shape.name,
        range.start(),
        to_usize(range.len()).unwrap_or(0),
    )?;
    let block = Fields::new(shape.name, range.start(), &bytes);
    let header = header(disk, shape, root, &block, pending.level)?;
    visitor.block(range)?;
    if pending.level == 0 {
        for n in 0..header.records {
            let at = header.length.saturating_add(n.saturating_mul(shape.record));
            visitor.record(&block.sub(shape.name, at, shape.record)?)?;
        }
        return Ok(());
    }
    let pointer = if shape.long { 8 } else { 4 };
    let room = block.len().saturating_sub(header.length);
    let most = room
        .checked_div(shape.key.saturating_add(pointer))
        .unwrap_or(0);
    let keys = block.sub(shape.name, header.length, most.saturating_mul(shape.key))?;
    let pointers_at = header.length.saturating_add(keys.len());
    let pointers = block.sub(shape.name, pointers_at, most.saturating_mul(pointer))?;
    children(
        shape,
        &keys,
        &pointers,
        header.records,
        pending.level,
        stack,
        visitor,
    )
}

struct Header {
    /// Bytes.
    length: usize,
    /// `bb_numrecs`.
    records: usize,
}

fn header(
    disk: &Disk<'_>,
    shape: &Shape,
    root: &Root,
    block: &Fields<'_>,
    expected: u16,
) -> Result<Header> {
    let v5 = disk.geometry.v5;
    let [v4_magic, v5_magic] = shape.magic;
    let expected_magic = if v5 { v5_magic } else { v4_magic };
    let magic = block.be32(0)?;
    if magic != expected_magic {
        let error = block
            .corrupt(0)
            .expected(format_args!("magic {expected_magic:08x}"));
        return Err(error.found(format_args!("{magic:08x}")));
    }
    let level = block.be16(4)?;
    if level != expected {
        return Err(block
            .corrupt(4)
            .expected(format_args!("level {expected}"))
            .found(level));
    }
    let (length, tag) = if shape.long {
        let tag = Tag {
            crc: 64,
            blkno: Some(24),
            uuid: 40,
            owner: Some((56, true)),
        };
        (if v5 { 72 } else { 24 }, tag)
    } else {
        let tag = Tag {
            crc: 52,
            blkno: Some(16),
            uuid: 32,
            owner: Some((48, false)),
        };
        (if v5 { 56 } else { 16 }, tag)
    };
    disk.verify(block, tag, root.owner)?;
    let records = usize::from(block.be16(6)?);
    let pointer = if shape.long { 8 } else { 4 };
    let each = if level == 0 {
        shape.record
    } else {
        shape.key.saturating_add(pointer)
    };
    let most = block
        .len()
        .saturating_sub(length)
        .checked_div(each)
        .unwrap_or(0);
    if records > most {
        return Err(block
            .corrupt(6)
            .expected(format_args!("at most {most} records"))
            .found(records));
    }
    Ok(Header { length, records })
}

/// Puts the children that `keys` and `pointers` name on the stack.
pub(crate) fn children_of_inode_root(
    keys: &Fields<'_>,
    pointers: &Fields<'_>,
    count: usize,
) -> Result<Vec<u64>> {
    let mut out = Vec::new();
    if count.saturating_mul(8) > keys.len() {
        return Err(keys
            .corrupt(0)
            .message("more children than there is room for"));
    }
    for n in 0..count {
        out.push(pointers.be64(n.saturating_mul(8))?);
    }
    Ok(out)
}

fn children(
    shape: &Shape,
    keys: &Fields<'_>,
    pointers: &Fields<'_>,
    count: usize,
    level: u16,
    stack: &mut Vec<Pending>,
    visitor: &mut dyn Visitor,
) -> Result<()> {
    let below = level.saturating_sub(1);
    let key = |n: usize| keys.sub(shape.name, n.saturating_mul(shape.key), shape.key);
    let first = stack.len();
    for n in 0..count {
        let after = n.saturating_add(1);
        let next = if after < count {
            Some(key(after)?)
        } else {
            None
        };
        let read = visitor.wants(below, &key(n)?, next.as_ref())?;
        let block = if shape.long {
            pointers.be64(n.saturating_mul(8))?
        } else {
            u64::from(pointers.be32(n.saturating_mul(4))?)
        };
        stack.push(Pending {
            block,
            level: below,
            read,
        });
    }
    // The stack is taken from its end, and children are visited in their order.
    if let Some(new) = stack.get_mut(first..) {
        new.reverse();
    }
    Ok(())
}
