//! Where an inode has its content.

use hexz_resolve::{FileKind, Result, Role};

use crate::fs::Ext4;
use crate::ondisk::{ROOT_INO, RawInode, i_flags, incompat};

/// Where an inode has its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// In blocks that it maps.
    Mapped(Role),
    /// In `i_block` and an attribute of the inode.
    Inline,
    InlineDirectory,
    /// In `i_block`: the target of a short symlink.
    Fast,
    /// It has none.
    None,
}

impl Ext4 {
    /// Where an inode has its content.
    pub(crate) fn content(&self, number: u64, inode: &RawInode<'_>) -> Result<Content> {
        let flags = inode.i_flags()?;
        if number < u64::from(self.geometry.sb.s_first_ino) && number != ROOT_INO {
            return Ok(Content::Mapped(Role::Data));
        }
        let kind = FileKind::from_mode(inode.i_mode()?);
        if flags & i_flags::EA_INODE != 0 {
            return Ok(Content::Mapped(Role::Xattr));
        }
        let inline = flags & i_flags::INLINE_DATA != 0;
        Ok(match kind {
            Some(FileKind::File) if inline => Content::Inline,
            Some(FileKind::File) => Content::Mapped(Role::Data),
            Some(FileKind::Directory) if inline => Content::InlineDirectory,
            Some(FileKind::Directory) => Content::Mapped(Role::Directory),
            Some(FileKind::Symlink) if inline => Content::Inline,
            Some(FileKind::Symlink) if self.is_fast_symlink(inode)? => Content::Fast,
            Some(FileKind::Symlink) => Content::Mapped(Role::Symlink),
            _ => Content::None,
        })
    }

    /// Whether the target of a symlink stands in `i_block`: it has no block but that of its
    /// attributes. With `ea_inode`, the blocks of inodes that hold attributes count as its own, and
    /// its length decides.
    fn is_fast_symlink(&self, inode: &RawInode<'_>) -> Result<bool> {
        let short = inode.i_size()? < 60;
        if inode.i_flags()? & i_flags::EXTENTS != 0 {
            return Ok(false);
        }
        if self.geometry.sb.incompat(incompat::EA_INODE) {
            return Ok(short);
        }
        let acl = if self.xattr_block(inode).is_ok_and(|acl| acl.is_none()) {
            0
        } else {
            (self.geometry.block() >> 9).saturating_mul(self.geometry.sb.cluster_blocks.into())
        };
        Ok(short && inode.i_blocks()? <= acl)
    }
}

/// What kind of file an inode is. A reserved one may have no mode.
pub(crate) fn kind(inode: &RawInode<'_>) -> Result<FileKind> {
    Ok(FileKind::from_mode(inode.i_mode()?).unwrap_or(FileKind::File))
}
