//! Where the journal lies, as the superblock and the journal's inode say.

use hexz_ondisk::{Fields, read};
use hexz_resolve::{Diagnostic, Error, ReadAt, Result};

use super::log::Run;
use crate::geometry::Geometry;
use crate::map::{Mapped, Mapper};
use crate::ondisk::{RawInode, Superblock, compat, i_flags};

/// Where a journal lies.
pub(crate) enum Place {
    /// There is none.
    Nowhere,
    /// In these blocks of the filesystem.
    Internal(Vec<Run>),
    /// On another device.
    External,
}

/// `s_jnl_backup_type`: `s_jnl_blocks` holds a copy of `i_block` and of the size.
const BACKUP_BLOCKS: u8 = 1;

/// Finds the journal of a filesystem that is read as it lies.
///
/// # Errors
/// When there is one, and neither its inode nor the copy in the superblock leads to it.
pub(crate) fn find(
    volume: &dyn ReadAt,
    geometry: &Geometry,
    diagnose: &dyn Fn(Diagnostic),
) -> Result<Place> {
    let superblock = &geometry.sb;
    if !superblock.compat(compat::HAS_JOURNAL) {
        return Ok(Place::Nowhere);
    }
    if superblock.s_journal_inum == 0 {
        return Ok(Place::External);
    }
    let inode = by_inode(volume, geometry).or_else(|error| {
        let Some(copy) = from_copy(superblock) else {
            return Err(error);
        };
        let mut finding = Diagnostic::from(&error.layer("ext4"));
        finding
            .message
            .push_str("; the copy of the journal's map in the superblock is used");
        diagnose(finding);
        Ok(copy)
    })?;
    let inode = RawInode::new(Fields::new("journal inode", 0, &inode));
    let number = u64::from(superblock.s_journal_inum);
    let mut runs = Vec::new();
    Mapper::new(geometry, volume, diagnose).walk(&inode, number, &mut |piece| {
        if matches!(piece.mapped, Mapped::Data | Mapped::Unwritten) {
            runs.push(Run {
                logical: piece.logical,
                physical: piece.physical,
                length: piece.length,
            });
        }
        Ok(())
    })?;
    Ok(Place::Internal(runs))
}

/// The journal's inode, when it looks like one.
fn by_inode(volume: &dyn ReadAt, geometry: &Geometry) -> Result<Vec<u8>> {
    const WHAT: &str = "journal inode";
    let number = u64::from(geometry.sb.s_journal_inum);
    let at = geometry.inode_offset(number).ok_or_else(|| {
        Error::corrupt(WHAT)
            .expected("s_journal_inum of an inode")
            .found(number)
    })?;
    let bytes = read(volume, WHAT, at, usize::from(geometry.sb.s_inode_size))?;
    let inode = RawInode::new(Fields::new(WHAT, at, &bytes));
    if inode.i_mode()? & 0xF000 != 0x8000 || inode.i_links_count()? == 0 || inode.i_size()? == 0 {
        let found = format!(
            "mode {:#o}, {} links, {} bytes",
            inode.i_mode()?,
            inode.i_links_count()?,
            inode.i_size()?
        );
        return Err(Error::corrupt(WHAT).at(at).expected("a file").found(found));
    }
    Ok(bytes)
}

/// An inode with the map that `s_jnl_blocks` holds.
fn from_copy(superblock: &Superblock) -> Option<Vec<u8>> {
    let i_block = superblock.s_jnl_blocks.get(..60)?;
    if superblock.s_jnl_backup_type != BACKUP_BLOCKS || i_block.iter().all(|b| *b == 0) {
        return None;
    }
    let mut inode = vec![0; 128];
    // An extent tree shows by its magic.
    if i_block.starts_with(&0xF30Au16.to_le_bytes()) {
        inode
            .get_mut(0x20..0x24)?
            .copy_from_slice(&i_flags::EXTENTS.to_le_bytes());
    }
    inode.get_mut(0x28..0x64)?.copy_from_slice(i_block);
    Some(inode)
}
