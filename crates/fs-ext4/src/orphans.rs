//! Files that are open and have no name any more, or are being cut: the orphan list and the orphan
//! file. <https://www.kernel.org/doc/html/latest/filesystems/ext4/orphan.html>

use std::collections::BTreeSet;

use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{Diagnostic, OpenContext, ReadAt, Result};

use crate::geometry::Geometry;
use crate::map::{Mapped, Mapper};
use crate::ondisk::{RawInode, compat};

/// `ob_magic`, at the end of a block of the orphan file.
const MAGIC: u32 = 0x0B10_CA04;

/// The numbers of all orphans.
pub(crate) fn find(
    geometry: &Geometry,
    reader: &dyn ReadAt,
    cx: &OpenContext<'_>,
) -> BTreeSet<u64> {
    let mut orphans = BTreeSet::new();
    let list = list(geometry, reader, &mut orphans);
    let file = if geometry.sb.compat(compat::ORPHAN_FILE) {
        file(geometry, reader, cx, &mut orphans)
    } else {
        Ok(())
    };
    for error in [list, file].into_iter().filter_map(Result::err) {
        cx.diagnose(Diagnostic::from(&error.layer("ext4")));
    }
    orphans
}

/// Follows the list from `s_last_orphan`, which goes on in `i_dtime`.
fn list(geometry: &Geometry, reader: &dyn ReadAt, orphans: &mut BTreeSet<u64>) -> Result<()> {
    let mut number = u64::from(geometry.sb.s_last_orphan);
    while number != 0 {
        let Some(offset) = geometry.inode_offset(number) else {
            return Ok(());
        };
        if !orphans.insert(number) {
            return Ok(());
        }
        let length = usize::from(geometry.sb.s_inode_size);
        let bytes = read(reader, "orphan inode", offset, length)?;
        number = RawInode::new(Fields::new("orphan inode", offset, &bytes))
            .i_dtime()?
            .into();
    }
    Ok(())
}

/// Reads the blocks of the orphan file: inode numbers, then a magic.
fn file(
    geometry: &Geometry,
    reader: &dyn ReadAt,
    cx: &OpenContext<'_>,
    orphans: &mut BTreeSet<u64>,
) -> Result<()> {
    let number = u64::from(geometry.sb.s_orphan_file_inum);
    let Some(offset) = geometry.inode_offset(number) else {
        return Ok(());
    };
    let length = usize::from(geometry.sb.s_inode_size);
    let bytes = read(reader, "orphan file inode", offset, length)?;
    let inode = RawInode::new(Fields::new("orphan file inode", offset, &bytes));
    let diagnose = |finding| cx.diagnose(finding);
    let mut blocks = Vec::new();
    Mapper::new(geometry, reader, &diagnose).walk(&inode, number, &mut |piece| {
        if piece.mapped == Mapped::Data {
            blocks.push(piece);
        }
        Ok(())
    })?;
    for piece in blocks {
        for n in 0..piece.length {
            let Some(range) = geometry.blocks(piece.physical.saturating_add(n), 1) else {
                break;
            };
            let size = to_usize(range.len()).unwrap_or(0);
            let bytes = match read(reader, "orphan file", range.start(), size) {
                Ok(bytes) => bytes,
                Err(error) => {
                    diagnose(Diagnostic::from(&error.layer("ext4")));
                    continue;
                }
            };
            let block = Fields::new("orphan file", range.start(), &bytes);
            let tail = size.saturating_sub(8);
            if block.le32(tail)? != MAGIC {
                let found = format_args!("{:#010x}", block.le32(tail)?);
                return Err(block
                    .corrupt(tail)
                    .expected("magic 0x0b10ca04")
                    .found(found));
            }
            let numbers = block.bytes(0, tail)?.chunks_exact(4);
            let numbers = numbers.filter_map(|n| n.try_into().ok().map(u32::from_le_bytes));
            orphans.extend(numbers.filter(|n| *n != 0).map(u64::from));
        }
    }
    Ok(())
}
