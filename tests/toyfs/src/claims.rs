//! Pass 1: who owns which bytes.

use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{
    ByteRange, Claim, FileKey, FileKind, FileSet, RangeSet, Result, Role, Scan, Sink, UnitReader,
};

use crate::Toy;
use crate::ondisk::{self, INODE, Inode, Slice};

/// All claims that share a byte with `wanted`.
pub(crate) fn claims(
    toy: &Toy,
    wanted: &RangeSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    let superblock = &toy.superblock;
    for claim in [
        Claim::structure(ondisk::blocks(0, 1), Role::Superblock, "superblock"),
        Claim::structure(superblock.bitmap(), Role::Allocation, "block-bitmap"),
        Claim::structure(superblock.table(), Role::InodeTable, ""),
    ] {
        if wanted.overlaps(claim.range) {
            out.put(claim)?;
        }
    }
    let visit = |inode: &Inode, found: &mut Vec<Claim>| {
        let record = superblock.record(inode.key.number).unwrap_or_default();
        let record = Claim::file(record, inode.key, Role::InodeRecord);
        let content = [record].into_iter().chain(content(inode));
        found.extend(content.filter(|claim| wanted.overlaps(claim.range)));
    };
    each_inode(toy, cx, "claims", None, visit, out)?;
    free(toy, wanted, cx, out)
}

/// The blocks of a file.
fn content(inode: &Inode) -> Option<Claim> {
    let role = match inode.kind {
        FileKind::Directory => Role::Directory,
        _ => Role::Data,
    };
    let claim = Claim::file(inode.extent, inode.key, role).offset(0);
    (!inode.extent.is_empty()).then_some(claim)
}

/// Runs `visit` on the inodes in use: those in `files`, or all. What it finds goes to `out` in the
/// order of the table, whatever the number of threads.
pub(crate) fn each_inode<T: Clone + Send + Sync + 'static>(
    toy: &Toy,
    cx: &Scan<'_>,
    pass: &'static str,
    files: Option<&FileSet>,
    visit: impl Fn(&Inode, &mut Vec<T>) + Sync,
    out: &mut dyn Sink<T>,
) -> Result<()> {
    let mut slices = Slice::all(&toy.superblock, &toy.volume, cx.limits().unit_bytes);
    if let Some(files) = files {
        slices.retain(|slice| {
            let end = slice.first.saturating_add(slice.range.len() / INODE);
            files.any_in(slice.first, end)
        });
    }
    cx.units(
        pass,
        &toy.volume,
        &slices,
        |slice, reader| {
            let mut found = Vec::new();
            for inode in inodes(toy, slice, reader)? {
                if files.is_none_or(|files| files.contains(inode.key)) {
                    visit(&inode, &mut found);
                }
            }
            Ok(found)
        },
        |slice, found| {
            cx.advance(slice.range.len());
            found.iter().try_for_each(|item| out.put(item.clone()))
        },
    )
}

/// The inodes in use of a slice. One that makes no sense is a finding, and the others go on.
fn inodes(toy: &Toy, slice: &Slice, reader: &UnitReader<'_>) -> Result<Vec<Inode>> {
    let length = to_usize(slice.range.len()).unwrap_or_default();
    let start = slice.range.start();
    let bytes = read(reader, "inode table", start, length)?;
    let size = to_usize(INODE).unwrap_or_default();
    let mut found = Vec::new();
    for (number, record) in (slice.first..).zip(bytes.chunks_exact(size)) {
        let place = toy.superblock.record(number).map_or(start, |r| r.start());
        match Inode::parse(
            &toy.superblock,
            number,
            &Fields::new("inode", place, record),
        ) {
            Ok(inode) => found.extend(inode),
            Err(error) => reader.tolerate(error)?,
        }
    }
    Ok(found)
}

/// Free space, a block of the bitmap at a time.
fn free(toy: &Toy, wanted: &RangeSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
    let bits = ondisk::BLOCK.saturating_mul(8);
    let bitmap = toy.superblock.bitmap().start();
    let count = toy.superblock.s_blocks;
    // A unit holds all that its result depends on: where the bits lie, and the blocks they tell of.
    let units: Vec<(u64, u32, u32)> = (0..count.div_ceil(bits))
        .map(|n| {
            let first = n.saturating_mul(bits);
            let place = bitmap.saturating_add(ondisk::blocks(n, 0).start());
            (place, first, count.saturating_sub(first).min(bits))
        })
        .take_while(|(place, ..)| *place < toy.volume.len())
        .filter(|(_, first, blocks)| wanted.overlaps(ondisk::blocks(*first, *blocks)))
        .collect();
    cx.units(
        "free",
        &toy.volume,
        &units,
        |(place, first, blocks), reader| {
            let length = to_usize(u64::from(ondisk::BLOCK)).unwrap_or_default();
            let bytes = read(reader, "block bitmap", *place, length)?;
            let free: RangeSet = (0..*blocks)
                .filter(|n| !is_set(&bytes, *n))
                .map(|n| ondisk::blocks(first.saturating_add(n), 1))
                .collect();
            Ok(free)
        },
        |_, free| {
            let mut runs = free.iter().filter(|run: &ByteRange| wanted.overlaps(*run));
            runs.try_for_each(|run| out.put(Claim::free(run)))
        },
    )
}

fn is_set(bitmap: &[u8], bit: u32) -> bool {
    let byte = to_usize(u64::from(bit / 8)).and_then(|at| bitmap.get(at));
    // Bits past the end of the bitmap say nothing, and so not that a block is free.
    byte.is_none_or(|byte| byte.checked_shr(bit % 8).is_some_and(|b| b & 1 == 1))
}

/// The content of `files`.
pub(crate) fn extents(
    toy: &Toy,
    files: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    let data = |inode: &Inode, found: &mut Vec<Claim>| {
        found.extend(content(inode).filter(|claim| claim.role == Role::Data));
    };
    each_inode(toy, cx, "extents", Some(files), data, out)
}

/// The directories in use: those in `files`, or all. They are the units of the passes that read
/// directories, so that one that can't be read costs only its own names.
pub(crate) fn directories(
    toy: &Toy,
    cx: &Scan<'_>,
    pass: &'static str,
    files: Option<&FileSet>,
) -> Result<Vec<(FileKey, ByteRange)>> {
    let mut all = Vec::new();
    let visit = |inode: &Inode, found: &mut Vec<(FileKey, ByteRange)>| {
        if inode.kind == FileKind::Directory {
            found.push((inode.key, inode.extent));
        }
    };
    each_inode(toy, cx, pass, files, visit, &mut all)?;
    Ok(all)
}
