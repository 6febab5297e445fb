//! Directories: where their entries lie, and the entries.

use std::borrow::Cow;
use std::sync::Arc;

use hexz_ondisk::Fields;
use hexz_resolve::{Diagnostic, Error, FileKey, Link, RawName, Result};

use crate::checksum::crc;
use crate::map::Piece;
use crate::ondisk::RawInode;

/// A directory and where its entries lie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Directory {
    pub(crate) number: u64,
    pub(crate) generation: u32,
    /// `i_flags`.
    pub(crate) flags: u32,
    pub(crate) size: u64,
    /// Its entries are in its inode.
    pub(crate) inline: bool,
    pub(crate) pieces: Arc<[Piece]>,
}

impl Directory {
    /// The directory that an inode is, with its entries in `pieces`, or in the inode itself.
    pub(crate) fn new(
        number: u64,
        inode: &RawInode<'_>,
        pieces: Option<Vec<Piece>>,
    ) -> Result<Self> {
        Ok(Self {
            number,
            generation: inode.i_generation()?,
            flags: inode.i_flags()?,
            size: inode.i_size()?,
            inline: pieces.is_none(),
            pieces: pieces.unwrap_or_default().into(),
        })
    }

    /// The numbers of the blocks that it has. One in its inode has one.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = u64> {
        let inline = self.inline.then_some(0);
        let pieces = self.pieces.iter();
        let blocks = pieces.flat_map(|p| p.logical..p.logical.saturating_add(p.length));
        inline.into_iter().chain(blocks)
    }

    /// It as if it had no other `blocks`, which rise; where it is in its inode, the whole of it.
    pub(crate) fn only(&self, blocks: &[u64]) -> Self {
        let pieces = self.pieces.iter().flat_map(|piece| {
            let end = piece.logical.saturating_add(piece.length);
            let inside = blocks
                .iter()
                .filter(move |b| (piece.logical..end).contains(b));
            inside.map(|block| Piece {
                logical: *block,
                physical: piece
                    .physical
                    .saturating_add(block.saturating_sub(piece.logical)),
                length: 1,
                ..*piece
            })
        });
        Self {
            pieces: pieces.collect(),
            ..self.clone()
        }
    }
}

/// `file_type` of a directory.
pub(crate) const FT_DIR: u8 = 2;
/// `det_reserved_ft` of a checksum tail.
const FT_CHECKSUM: u8 = 0xDE;

/// An entry.
pub(crate) struct Entry<'a> {
    pub(crate) child: u64,
    pub(crate) file_type: u8,
    pub(crate) name: Cow<'a, [u8]>,
    /// What stands behind the name: its hash and minor hash, where a directory is encrypted and
    /// does not tell cases apart.
    pub(crate) hash: Option<(u32, u32)>,
}

impl Entry<'_> {
    pub(crate) fn link(&self, parent: u64) -> Link {
        Link {
            parent: FileKey::new(parent),
            name: RawName::from(&*self.name),
            child: FileKey::new(self.child),
        }
    }
}

/// Hands out the entries in one block (or in a piece of an inode), without `.`, `..` and those of
/// no file. The nodes of a hash tree hide their content as the tail of an entry of no file.
///
/// # Errors
/// `Corrupt` at the first entry that can't be; those before it were handed out.
pub(crate) fn entries<'a>(
    block: Fields<'a>,
    mut visit: impl FnMut(Entry<'a>) -> Result<()>,
) -> Result<()> {
    let mut at = 0usize;
    while at < block.len() {
        let left = block.len().saturating_sub(at);
        if left < 8 {
            return Ok(());
        }
        let inode = block.le32(at)?;
        let rec_len = record_length(block.le16(at.saturating_add(4))?, block.len());
        let name_len = usize::from(block.u8(at.saturating_add(6))?);
        if rec_len < 8 || rec_len > left || !rec_len.is_multiple_of(4) {
            let expected = format_args!("rec_len from 8 to {left}");
            return Err(block
                .corrupt(at.saturating_add(4))
                .expected(expected)
                .found(rec_len));
        }
        if name_len.saturating_add(8) > rec_len {
            let expected = format_args!("name_len up to {}", rec_len.saturating_sub(8));
            return Err(block
                .corrupt(at.saturating_add(6))
                .expected(expected)
                .found(name_len));
        }
        let name = block.bytes(at.saturating_add(8), name_len)?;
        if inode != 0 && !name.is_empty() && name != b"." && name != b".." {
            let file_type = block.u8(at.saturating_add(7))?;
            let behind = name_len.saturating_add(8).next_multiple_of(4);
            let hash = (behind.saturating_add(8) <= rec_len).then(|| {
                let at = at.saturating_add(behind);
                Ok((block.le32(at)?, block.le32(at.saturating_add(4))?))
            });
            visit(Entry {
                child: inode.into(),
                file_type,
                name: name.into(),
                hash: hash.transpose()?,
            })?;
        }
        at = at.saturating_add(rec_len);
    }
    Ok(())
}

/// `rec_len` in bytes: in blocks of 64 KiB the two low bits stand for bits 16 and 17.
fn record_length(raw: u16, block: usize) -> usize {
    let raw = usize::from(raw);
    match raw {
        0 | 0xFFFF if block >= 0x1_0000 => block,
        _ if block >= 0x1_0000 => raw & 0xFFFC | (raw & 3) << 16,
        _ => raw,
    }
}

/// A finding when a block with a checksum tail does not match it.
pub(crate) fn check(block: Fields<'_>, seed: u32, number: u64) -> Option<Diagnostic> {
    let tail = block.len().checked_sub(12)?;
    let is_tail = block.le32(tail).ok()? == 0
        && block.le16(tail.saturating_add(4)).ok()? == 12
        && block.u8(tail.saturating_add(7)).ok()? == FT_CHECKSUM;
    let stored = block.le32(tail.saturating_add(8)).ok()?;
    if !is_tail || is_index(block) || crc(seed, block.bytes(0, tail).ok()?) == stored {
        return None;
    }
    let text = format!("a block of directory {number} does not match its checksum");
    Some(Diagnostic::warning("ext4-checksum", text).at(block.offset()))
}

/// Whether a block is a node of a hash tree: an entry reaches to its end and hides the rest. What
/// looks like a tail there was left over when the directory got its tree.
fn is_index(block: Fields<'_>) -> bool {
    let reaches_end = |at: usize| {
        let length = block
            .le16(at.saturating_add(4))
            .map(|raw| record_length(raw, block.len()));
        length.is_ok_and(|length| at.checked_add(length) == Some(block.len()))
    };
    reaches_end(0) || (block.le16(4).is_ok_and(|l| l == 12) && reaches_end(12))
}

/// What a damaged block of a directory is told as.
pub(crate) fn damage(error: Error, number: u64) -> Diagnostic {
    let mut finding = Diagnostic::from(&error.layer("ext4"));
    finding.message.push_str(&format!(
        "; the rest of this block of directory {number} is left out"
    ));
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(inode: u32, rec_len: u16, name: &[u8]) -> Vec<u8> {
        let mut bytes = inode.to_le_bytes().to_vec();
        bytes.extend(rec_len.to_le_bytes());
        bytes.extend([name.len() as u8, 1]);
        bytes.extend(name);
        bytes.resize(rec_len.into(), 0);
        bytes
    }

    fn names(block: &[u8]) -> (Vec<Vec<u8>>, Result<()>) {
        let mut found = Vec::new();
        let result = entries(Fields::new("directory block", 0, block), |e| {
            found.push(e.name.to_vec());
            Ok(())
        });
        (found, result)
    }

    #[test]
    fn dots_and_entries_of_no_file_are_no_links() {
        let block = [
            entry(2, 12, b"."),
            entry(2, 12, b".."),
            entry(0, 16, b"gone"),
            entry(12, 24, b"here"),
        ];
        let (found, result) = names(&block.concat());
        assert!(result.is_ok());
        assert_eq!(found, [b"here".to_vec()]);
    }

    #[test]
    fn a_bad_length_ends_the_block_and_keeps_what_came_before() {
        for bad in [0u16, 6, 10, 400] {
            let mut block = [entry(12, 16, b"here"), entry(13, 24, b"lost")].concat();
            block[20..22].copy_from_slice(&bad.to_le_bytes());
            let (found, result) = names(&block);
            assert_eq!(found, [b"here".to_vec()], "rec_len {bad}");
            assert_eq!(result.unwrap_err().offset(), Some(20));
        }
    }

    #[test]
    fn lengths_in_64_kib_blocks_use_their_low_bits() {
        assert_eq!(record_length(0xFFFF, 0x1_0000), 0x1_0000);
        assert_eq!(record_length(0, 0x1_0000), 0x1_0000);
        assert_eq!(record_length(0xFFFC, 0x1_0000), 0xFFFC);
        assert_eq!(record_length(12, 1024), 12);
    }
}
