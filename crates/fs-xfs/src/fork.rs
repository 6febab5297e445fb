//! Where the blocks of a fork lie.

use hexz_ondisk::{Fields, to_usize};
use hexz_resolve::{ByteRange, Error, Result};

use crate::btree::{BMBT, Root, Visitor, children_of_inode_root, walk};
use crate::disk::Disk;
use crate::inode::{Fork, Inode, Which};
use crate::ondisk::format;

/// A mapped piece of a fork, checked to lie within one group and within 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Byte of the fork.
    pub(crate) offset: u64,
    /// Bytes of the volume.
    pub(crate) range: ByteRange,
    /// Allocated, and reads as zeros.
    pub(crate) unwritten: bool,
}

impl Extent {
    /// One past the last byte of the fork.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.range.len())
    }

    /// A packed `xfs_bmbt_rec`: a flag, 54 bits of file offset, 52 of block, 21 of length.
    fn parse(disk: &Disk<'_>, record: &Fields<'_>) -> Result<Self> {
        let (l0, l1) = (record.be64(0)?, record.be64(8)?);
        let startoff = l0 >> 9 & ((1 << 54) - 1);
        let startblock = (l0 & 0x1FF) << 43 | l1 >> 21;
        let count = l1 & ((1 << 21) - 1);
        let geometry = disk.geometry;
        let bytes = |blocks: u64| blocks.checked_mul(geometry.block_size());
        let range = geometry.extent(startblock, count);
        let offset = bytes(startoff);
        match (range, offset) {
            (Some(range), Some(offset)) if offset.checked_add(range.len()).is_some() => Ok(Self {
                offset,
                range,
                unwritten: l0 >> 63 != 0,
            }),
            _ => Err(record.corrupt(0).message(format!(
                "{count} blocks from block {startblock} at block {startoff} of the file are not within a group"
            ))),
        }
    }
}

/// What is done with the extents and the btree blocks of a fork.
pub(crate) trait ForkVisitor {
    /// A mapped piece, in the order of the fork.
    fn extent(&mut self, extent: Extent) -> Result<()>;

    /// A block of its btree.
    fn node(&mut self, range: ByteRange) -> Result<()> {
        let _ = range;
        Ok(())
    }
}

struct Leaves<'a, 'b> {
    disk: &'a Disk<'b>,
    out: &'a mut dyn ForkVisitor,
    /// Whether the extents lie on the realtime device: the tree that maps them does not.
    realtime: bool,
}

impl Leaves<'_, '_> {
    fn put(&mut self, record: &Fields<'_>) -> Result<()> {
        if self.realtime {
            return Ok(());
        }
        match Extent::parse(self.disk, record) {
            Ok(extent) => self.out.extent(extent),
            Err(error) => self.disk.tolerate(error),
        }
    }
}

impl Visitor for Leaves<'_, '_> {
    fn block(&mut self, range: ByteRange) -> Result<()> {
        self.out.node(range)
    }

    fn record(&mut self, record: &Fields<'_>) -> Result<()> {
        self.put(record)
    }
}

/// Hands out the extents of a fork of `inode`, as far as they are on this device. What can't be
/// read is told and left out.
pub(crate) fn visit(
    disk: &Disk<'_>,
    inode: &Inode<'_>,
    which: Which,
    out: &mut dyn ForkVisitor,
) -> Result<()> {
    let Some(fork) = inode.fork(which)? else {
        return Ok(());
    };
    let realtime = which == Which::Data && inode.is_realtime();
    let mut leaves = Leaves {
        disk,
        out,
        realtime,
    };
    match fork.format {
        format::EXTENTS => {
            let room = fork.fields.len() / 16;
            let count = to_usize(fork.extents)
                .filter(|n| *n <= room)
                .ok_or_else(|| {
                    let error = fork
                        .fields
                        .corrupt(0)
                        .expected(format_args!("at most {room} extents"));
                    error.found(fork.extents)
                })?;
            for n in 0..count {
                leaves.put(&fork.fields.sub("extent", n.saturating_mul(16), 16)?)?;
            }
            Ok(())
        }
        format::BTREE => btree(disk, inode, &fork, &mut leaves),
        format::DEV | format::LOCAL => Ok(()),
        other => Err(inode
            .fields
            .corrupt(5)
            .message(format!("fork format {other}"))),
    }
}

/// A btree whose root, `struct xfs_bmdr_block`, lies in the inode.
fn btree(
    disk: &Disk<'_>,
    inode: &Inode<'_>,
    fork: &Fork<'_>,
    leaves: &mut Leaves<'_, '_>,
) -> Result<()> {
    let level = fork.fields.be16(0)?;
    let count = usize::from(fork.fields.be16(2)?);
    let Some(below) = level.checked_sub(1) else {
        return Err(fork
            .fields
            .corrupt(0)
            .expected("level 1 or more")
            .found(level));
    };
    // Keys and then block numbers, each with room for as many as fit.
    let half = (fork.fields.len().saturating_sub(4) / 16).saturating_mul(8);
    let keys = fork.fields.sub("bmap root", 4, half)?;
    let pointers = fork.fields.sub("bmap root", half.saturating_add(4), half)?;
    for block in children_of_inode_root(&keys, &pointers, count)? {
        let root = Root {
            agno: 0,
            owner: inode.number,
            block,
            level: below,
        };
        walk(disk, &BMBT, root, leaves)?;
    }
    Ok(())
}

/// All extents of a fork, for those that are read as a whole.
pub(crate) fn extents(disk: &Disk<'_>, inode: &Inode<'_>, which: Which) -> Result<Vec<Extent>> {
    struct All(Vec<Extent>);
    impl ForkVisitor for All {
        fn extent(&mut self, extent: Extent) -> Result<()> {
            self.0.push(extent);
            Ok(())
        }
    }
    let mut all = All(Vec::new());
    visit(disk, inode, which, &mut all)?;
    if !all.0.is_sorted_by_key(|e| e.offset) {
        let error = Error::corrupt("fork").at(inode.fields.offset());
        disk.tolerate(error.message(format!(
            "extents of inode {} are not in order",
            inode.number
        )))?;
        all.0.sort_by_key(|e| e.offset);
    }
    Ok(all.0)
}

/// Fills `buf` with the fork's bytes at `offset`; false when a part of them is not mapped.
pub(crate) fn read(
    disk: &Disk<'_>,
    structure: &'static str,
    extents: &[Extent],
    offset: u64,
    buf: &mut [u8],
) -> Result<bool> {
    let mut at = offset;
    let mut rest = buf;
    let from = extents.partition_point(|e| e.end() <= offset);
    for extent in extents.get(from..).unwrap_or_default() {
        if rest.is_empty() {
            break;
        }
        let Some(skip) = at.checked_sub(extent.offset) else {
            return Ok(false);
        };
        let left = extent.range.len().saturating_sub(skip);
        let length = rest.len().min(to_usize(left).unwrap_or(usize::MAX));
        let (now, later) = rest.split_at_mut(length);
        let place = extent.range.start().saturating_add(skip);
        hexz_ondisk::read_into(disk.reader, structure, place, now)?;
        at = at.saturating_add(u64::try_from(length).unwrap_or(0));
        rest = later;
    }
    Ok(rest.is_empty())
}
