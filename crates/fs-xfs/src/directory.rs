//! Names in a directory: in its inode, or in its data blocks, whatever index stands beside them.

use hexz_ondisk::{Fields, read_into, to_usize, with_buffer};
use hexz_resolve::{ByteRange, Error, RangeSet, Result};

use crate::disk::{DIR_TAG, Disk};
use crate::fork::{self, Extent};
use crate::inode::{Inode, Which};
use crate::ondisk::{DIR_BLOCK, DIR_DATA, DIR_LEAF_OFFSET, format};

/// `XFS_DIR3_FT_DIR`.
const FT_DIR: u8 = 2;
/// `XFS_DIR2_DATA_FREE_TAG`: in place of the upper half of an inode number.
const FREE_TAG: u16 = 0xFFFF;
/// Bytes read at a time.
const READ_AT_ONCE: u64 = 1 << 20;

/// A directory entry. `.` and `..` are not told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) inode: u64,
    /// Whether it says that it names a directory; `None` where entries don't say.
    pub(crate) is_directory: Option<bool>,
}

/// What is done with an entry.
pub(crate) type Each<'a> = dyn FnMut(Entry<'_>) -> Result<()> + 'a;

/// Hands out the entries of the directory `inode`, in the order they lie.
pub(crate) fn entries(disk: &Disk<'_>, inode: &Inode<'_>, each: &mut Each<'_>) -> Result<()> {
    if inode.format == format::LOCAL {
        return shortform(disk, inode, each);
    }
    let mut extents = fork::extents(disk, inode, Which::Data)?;
    extents.retain(|e| e.offset < DIR_LEAF_OFFSET);
    let geometry = disk.geometry;
    let size = geometry.block_size().saturating_mul(geometry.dir_blocks());
    let mut at = 0;
    while let Some((from, to)) = run(&extents, at, size) {
        let length = to_usize(to.saturating_sub(from)).unwrap_or(0);
        let mut buffer = vec![0; length];
        let whole = match fork::read(disk, "directory blocks", &extents, from, &mut buffer) {
            Ok(whole) => whole,
            Err(error) if to.saturating_sub(from) > size => {
                // One by one, so that the blocks beside the bad one are had.
                let _ = error;
                single(disk, inode, &extents, (from, to), size, each)?;
                at = to;
                continue;
            }
            Err(error) => {
                disk.tolerate(error)?;
                at = to;
                continue;
            }
        };
        if !whole {
            let error = Error::corrupt("directory").at(inode.fields.offset());
            let text = format!(
                "a block of directory {} is not mapped in full",
                inode.number
            );
            disk.tolerate(error.message(text))?;
        }
        let step = to_usize(size).unwrap_or(usize::MAX);
        let mut offset = from;
        for block in buffer.chunks(step) {
            let place = place(&extents, offset);
            data_block(disk, inode, place, block, each).or_else(|e| disk.tolerate(e))?;
            offset = offset.saturating_add(size);
        }
        at = to;
    }
    Ok(())
}

/// Hands out the entries in those blocks of the directory `inode` that hold something of `dirty`, and
/// the others to `clean`. Where its blocks are no blocks of the filesystem, all entries.
pub(crate) fn dirty_entries(
    disk: &Disk<'_>,
    inode: &Inode<'_>,
    dirty: &RangeSet,
    each: &mut Each<'_>,
    clean: &mut dyn FnMut(ByteRange),
) -> Result<()> {
    if inode.format == format::LOCAL || disk.geometry.dir_blocks() != 1 {
        return entries(disk, inode, each);
    }
    let size = disk.geometry.block_size();
    let length = to_usize(size).unwrap_or(0);
    let extents = fork::extents(disk, inode, Which::Data)?;
    for extent in extents.iter().filter(|e| e.offset < DIR_LEAF_OFFSET) {
        let touched: RangeSet = dirty.overlapping(extent.range).collect();
        let touched = touched.aligned_out(size).clipped(extent.range);
        for range in &RangeSet::from(extent.range).difference(&touched) {
            clean(range);
        }
        for range in &touched {
            let mut at = range.start();
            while at < range.end() {
                with_buffer(length, |bytes| {
                    read_into(disk.reader, "directory block", at, bytes)?;
                    data_block(disk, inode, at, bytes, each)
                })
                .or_else(|error| disk.tolerate(error))?;
                at = at.saturating_add(size);
            }
        }
    }
    Ok(())
}

fn single(
    disk: &Disk<'_>,
    inode: &Inode<'_>,
    extents: &[Extent],
    (from, to): (u64, u64),
    size: u64,
    each: &mut Each<'_>,
) -> Result<()> {
    let mut at = from;
    while at < to {
        let mut buffer = vec![0; to_usize(size).unwrap_or(0)];
        match fork::read(disk, "directory block", extents, at, &mut buffer) {
            Ok(_) => data_block(disk, inode, place(extents, at), &buffer, each),
            Err(error) => Err(error),
        }
        .or_else(|error| disk.tolerate(error))?;
        at = at.saturating_add(size);
    }
    Ok(())
}

/// Where byte `offset` of the fork lies.
fn place(extents: &[Extent], offset: u64) -> u64 {
    let at = extents.partition_point(|e| e.end() <= offset);
    extents.get(at).map_or(0, |e| {
        e.range
            .start()
            .saturating_add(offset.saturating_sub(e.offset))
    })
}

/// The next mapped bytes of the fork from `at` on, in whole directory blocks of `size`.
fn run(extents: &[Extent], at: u64, size: u64) -> Option<(u64, u64)> {
    let first = extents.partition_point(|e| e.end() <= at);
    let rest = extents.get(first..)?;
    let start = rest.first()?.offset.max(at);
    let from = start.checked_sub(start.checked_rem(size)?)?;
    let mut to = from;
    for extent in rest {
        if extent.offset > to.max(start) {
            break;
        }
        to = to.max(extent.end());
        if to.saturating_sub(from) >= READ_AT_ONCE {
            to = from.saturating_add(READ_AT_ONCE);
            break;
        }
    }
    let to = to.checked_next_multiple_of(size)?;
    (to > at).then_some((from, to))
}

fn kind(ftype: Option<u8>) -> Option<bool> {
    ftype
        .filter(|ftype| *ftype != 0)
        .map(|ftype| ftype == FT_DIR)
}

/// What `..` of a directory says, as far as that can be read: it is the second entry of its first
/// block, or stands in the header of the inode.
pub(crate) fn parent(disk: &Disk<'_>, inode: &Inode<'_>) -> Option<u64> {
    if inode.format == format::LOCAL {
        let fields = inode.fork(Which::Data).ok()??.fields;
        return match fields.u8(1).ok()? {
            0 => fields.be32(2).ok().map(u64::from),
            _ => fields.be64(2).ok(),
        };
    }
    let extents = fork::extents(disk, inode, Which::Data).ok()?;
    let first = extents.first().filter(|e| e.offset == 0)?;
    let start = first.range.start();
    let bytes = disk.read("directory block", start, 128).ok()?;
    let block = Fields::new("directory block", start, &bytes);
    let header = if disk.geometry.v5 { 64usize } else { 16 };
    let entry = header.saturating_add(16);
    let name = entry.saturating_add(8);
    let is_parent =
        block.u8(name).ok()? == 2 && block.bytes(name.saturating_add(1), 2).ok()? == b"..";
    is_parent.then(|| block.be64(entry).ok())?
}

/// Entries in the inode: `struct xfs_dir2_sf_hdr`.
fn shortform(disk: &Disk<'_>, inode: &Inode<'_>, each: &mut Each<'_>) -> Result<()> {
    let Some(fork) = inode.fork(Which::Data)? else {
        return Ok(());
    };
    let fields = fork.fields;
    let (count, wide) = (fields.u8(0)?, fields.u8(1)? != 0);
    let number = if wide { 8 } else { 4 };
    let mut at = usize::saturating_add(2, number);
    for _ in 0..count.max(if wide { fields.u8(1)? } else { 0 }) {
        let length = usize::from(fields.u8(at)?);
        let name = fields.bytes(at.saturating_add(3), length)?;
        at = at.saturating_add(3).saturating_add(length);
        let ftype = if disk.geometry.ftype {
            at = at.saturating_add(1);
            Some(fields.u8(at.saturating_sub(1))?)
        } else {
            None
        };
        let child = if wide {
            fields.be64(at)?
        } else {
            u64::from(fields.be32(at)?)
        };
        at = at.saturating_add(number);
        entry(disk, inode, &fields, name, child, ftype, each)?;
    }
    Ok(())
}

fn entry(
    disk: &Disk<'_>,
    inode: &Inode<'_>,
    fields: &Fields<'_>,
    name: &[u8],
    child: u64,
    ftype: Option<u8>,
    each: &mut Each<'_>,
) -> Result<()> {
    if matches!(name, b"." | b"..") {
        return Ok(());
    }
    if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
        let text = format!("directory {} has a name that is none", inode.number);
        disk.warn("bad-name", fields.offset(), text);
        return Ok(());
    }
    if disk.geometry.split_inode(child).is_none() {
        let text = format!(
            "directory {} names inode {child}, which can't be",
            inode.number
        );
        disk.warn("bad-entry", fields.offset(), text);
        return Ok(());
    }
    each(Entry {
        name,
        inode: child,
        is_directory: kind(ftype),
    })
}

/// Entries in a data block, or in the only block of a directory.
fn data_block(
    disk: &Disk<'_>,
    inode: &Inode<'_>,
    place: u64,
    bytes: &[u8],
    each: &mut Each<'_>,
) -> Result<()> {
    let block = Fields::new("directory block", place, bytes);
    let magic = block.be32(0)?;
    let version = usize::from(disk.geometry.v5);
    let of = |magics: [u32; 2]| magics.get(version) == Some(&magic);
    let (single, data) = (of(DIR_BLOCK), of(DIR_DATA));
    if !single && !data {
        return Err(block
            .corrupt(0)
            .expected("the magic of a data block")
            .found(format_args!("{magic:08x}")));
    }
    disk.verify(&block, DIR_TAG, inode.number)?;
    let start = if disk.geometry.v5 { 64 } else { 16 };
    let mut end = block.len();
    if single {
        // Leaf entries of 8 bytes and their count lie behind the names.
        let tail = end.saturating_sub(8);
        let count = to_usize(u64::from(block.be32(tail)?)).unwrap_or(usize::MAX);
        end = tail.saturating_sub(count.saturating_mul(8));
    }
    let mut at: usize = start;
    while at < end {
        if block.be16(at)? == FREE_TAG {
            let length = usize::from(block.be16(at.saturating_add(2))?);
            if length == 0 || !length.is_multiple_of(8) {
                return Err(block
                    .corrupt(at)
                    .expected("the length of unused space")
                    .found(length));
            }
            at = at.saturating_add(length);
            continue;
        }
        let length = usize::from(block.u8(at.saturating_add(8))?);
        let name = block.bytes(at.saturating_add(9), length)?;
        let mut next = at.saturating_add(9).saturating_add(length);
        let ftype = if disk.geometry.ftype {
            next = next.saturating_add(1);
            Some(block.u8(next.saturating_sub(1))?)
        } else {
            None
        };
        // A tag of two bytes, and the next entry at a multiple of 8.
        next = next.saturating_add(2).next_multiple_of(8);
        if next > end {
            return Err(block
                .corrupt(at)
                .message("an entry reaches past the end of its block"));
        }
        entry(disk, inode, &block, name, block.be64(at)?, ftype, each)?;
        at = next;
    }
    Ok(())
}
