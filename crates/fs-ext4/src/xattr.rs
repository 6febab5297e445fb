//! Extended attributes: within the inode, in a block, and the inline data kept like one.
//!
//! <https://www.kernel.org/doc/html/latest/filesystems/ext4/attributes.html>

use std::sync::Arc;

use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{ByteRange, Error, RawName, ReadAt, Result, Xattr};

use crate::checksum::crc;
use crate::content::Content;
use crate::fs::Ext4;
use crate::map::{Mapped, Mapper};
use crate::nokey;
use crate::ondisk::{RawInode, incompat, ro_compat};

const MAGIC: u32 = 0xEA02_0000;
/// `e_name_index` of `system.`.
const INDEX_SYSTEM: u8 = 7;
/// Largest value, of one that is kept in an inode of its own.
const MAX_VALUE: u32 = 1 << 20;

/// One entry: where its value lies is relative to something that depends on where it stands.
struct Entry<'a> {
    e_name_index: u8,
    name: &'a [u8],
    e_value_offs: usize,
    e_value_inum: u32,
    e_value_size: u32,
}

/// `e_name_index` of the context of an encrypted file, which the kernel shows no one.
const INDEX_ENCRYPTION: u8 = 9;

/// The prefix that an index stands for.
fn prefix(index: u8) -> &'static str {
    match index {
        1 => "user.",
        2 => "system.posix_acl_access",
        3 => "system.posix_acl_default",
        4 => "trusted.",
        5 => "lustre.",
        6 => "security.",
        INDEX_SYSTEM => "system.",
        8 => "system.richacl",
        10 => "gnu.",
        _ => "",
    }
}

fn entries<'a>(f: Fields<'a>, start: usize) -> Result<Vec<Entry<'a>>> {
    let mut out = Vec::new();
    let mut at = start;
    // Four zero bytes end the list, or the end of the space.
    while at.saturating_add(16) <= f.len() && f.le32(at)? != 0 {
        let name_len = usize::from(f.u8(at)?);
        out.push(Entry {
            e_name_index: f.u8(at.saturating_add(1))?,
            e_value_offs: f.le16(at.saturating_add(2))?.into(),
            e_value_inum: f.le32(at.saturating_add(4))?,
            e_value_size: f.le32(at.saturating_add(8))?,
            name: f.bytes(at.saturating_add(16), name_len)?,
        });
        at = at
            .saturating_add(16)
            .saturating_add(name_len)
            .next_multiple_of(4);
    }
    Ok(out)
}

/// The attributes within an inode: the space they have, and the entries in it.
fn in_inode<'a>(inode: &RawInode<'a>) -> Result<Option<(Fields<'a>, Vec<Entry<'a>>)>> {
    let Some(space) = inode.xattr_space().filter(|s| s.len() >= 4) else {
        return Ok(None);
    };
    if space.le32(0)? != MAGIC {
        return Ok(None);
    }
    // Offsets count from the first entry.
    let space = space.sub("inode xattrs", 4, space.len().saturating_sub(4))?;
    Ok(Some((space, entries(space, 0)?)))
}

/// The value of `system.data`: what inline data does not fit `i_block`.
pub(crate) fn inline_tail<'a>(inode: &RawInode<'a>) -> Result<Option<Fields<'a>>> {
    let Some((space, entries)) = in_inode(inode)? else {
        return Ok(None);
    };
    let data =
        |e: &&Entry<'_>| e.e_name_index == INDEX_SYSTEM && e.name == b"data" && e.e_value_inum == 0;
    let Some(entry) = entries.iter().find(data) else {
        return Ok(None);
    };
    let size = to_usize(entry.e_value_size.into()).unwrap_or(usize::MAX);
    space.sub("inline data", entry.e_value_offs, size).map(Some)
}

/// Where inline content lies, with its offset in the file.
pub(crate) fn inline_ranges(inode: &RawInode<'_>) -> Result<Vec<(ByteRange, u64)>> {
    let block = inode.i_block()?;
    let size = inode.i_size()?;
    let mut out = Vec::new();
    out.extend(ByteRange::at(block.offset(), size.min(60)).map(|range| (range, 0)));
    if let Some(tail) = inline_tail(inode)? {
        let length = u64::try_from(tail.len())
            .unwrap_or(0)
            .min(size.saturating_sub(60));
        out.extend(ByteRange::at(tail.offset(), length).map(|range| (range, 60)));
    }
    out.retain(|(range, _)| !range.is_empty());
    Ok(out)
}

impl Ext4 {
    /// The block of extended attributes of an inode.
    ///
    /// # Errors
    /// When it lies outside of the filesystem.
    pub(crate) fn xattr_block(&self, inode: &RawInode<'_>) -> Result<Option<ByteRange>> {
        let sb = &self.geometry.sb;
        let mut acl = inode.i_file_acl()?;
        if !sb.incompat(incompat::BITS64) {
            // The high bits mean something else on other systems.
            acl &= u64::from(u32::MAX);
        }
        if acl == 0 {
            return Ok(None);
        }
        self.geometry.blocks(acl, 1).map(Some).ok_or_else(|| {
            Error::corrupt("inode i_file_acl")
                .at(inode.fields().offset_of(0x68))
                .expected(format_args!("a block below {}", sb.s_blocks_count))
                .found(acl)
        })
    }

    /// All extended attributes of an inode, sorted by name, without `system.data`.
    pub(crate) fn xattrs(
        &self,
        inode: &RawInode<'_>,
        diagnose: &dyn Fn(hexz_resolve::Diagnostic),
    ) -> Result<Vec<Xattr>> {
        let mut out = Vec::new();
        let mut take = |f: Fields<'_>, entries: Vec<Entry<'_>>| -> Result<()> {
            for entry in entries {
                let inline = entry.e_name_index == INDEX_SYSTEM && entry.name == b"data";
                if inline || entry.e_name_index == INDEX_ENCRYPTION {
                    continue;
                }
                let name = [prefix(entry.e_name_index).as_bytes(), entry.name].concat();
                let value = self.value(f, &entry, diagnose)?;
                out.push(Xattr {
                    name: RawName::from(&name),
                    value: value.into(),
                });
            }
            Ok(())
        };
        if let Some((space, entries)) = in_inode(inode)? {
            take(space, entries)?;
        }
        if let Some(range) = self.xattr_block(inode)? {
            let length = to_usize(range.len()).unwrap_or(0);
            let bytes = read(&*self.reader, "xattr block", range.start(), length)?;
            let f = Fields::new("xattr block", range.start(), &bytes);
            if f.le32(0)? != MAGIC {
                return Err(f.corrupt(0).expected("magic 0xea020000").found(f.le32(0)?));
            }
            self.check_block(f, diagnose)?;
            take(f, entries(f, 32)?)?;
        }
        out.sort();
        Ok(out)
    }

    fn check_block(
        &self,
        f: Fields<'_>,
        diagnose: &dyn Fn(hexz_resolve::Diagnostic),
    ) -> Result<()> {
        if !self.geometry.sb.ro_compat(ro_compat::METADATA_CSUM) {
            return Ok(());
        }
        let block = f.offset().checked_div(self.geometry.block()).unwrap_or(0);
        // Block number, then the block with h_checksum taken as zero.
        let seed = crc(self.geometry.sb.checksum_seed(), &block.to_le_bytes());
        let sum = crc(crc(crc(seed, f.bytes(0, 16)?), &[0; 4]), f.rest(20)?);
        if sum != f.le32(16)? {
            let text = format!("xattr block {block} does not match its checksum");
            diagnose(hexz_resolve::Diagnostic::warning("ext4-checksum", text).at(f.offset()));
        }
        Ok(())
    }

    fn value(
        &self,
        f: Fields<'_>,
        entry: &Entry<'_>,
        diagnose: &dyn Fn(hexz_resolve::Diagnostic),
    ) -> Result<Vec<u8>> {
        if entry.e_value_inum == 0 {
            let size = to_usize(entry.e_value_size.into()).unwrap_or(usize::MAX);
            return Ok(f.bytes(entry.e_value_offs, size)?.to_vec());
        }
        // The value has an inode of its own (`ea_inode`).
        let number = entry.e_value_inum.into();
        self.mapped_bytes("xattr value inode", number, entry.e_value_size, diagnose)
    }

    /// The first `size` bytes of a small file.
    fn mapped_bytes(
        &self,
        structure: &'static str,
        number: u64,
        size: u32,
        diagnose: &dyn Fn(hexz_resolve::Diagnostic),
    ) -> Result<Vec<u8>> {
        if size > MAX_VALUE {
            return Err(Error::corrupt(structure)
                .expected(format_args!("a value of up to {MAX_VALUE} bytes"))
                .found(size));
        }
        let reader: &dyn ReadAt = &*self.reader;
        let Some((offset, bytes)) = self.inode_bytes(reader, number)? else {
            return Err(Error::corrupt(structure).expected("an inode").found(number));
        };
        let inode = RawInode::new(Fields::new(structure, offset, &bytes));
        let mut value = vec![0; to_usize(size.into()).unwrap_or(0)];
        let block = self.geometry.block();
        Mapper::new(&self.geometry, reader, diagnose).walk(&inode, number, &mut |piece| {
            let at = piece.logical.saturating_mul(block);
            let range = self.geometry.blocks(piece.physical, piece.length);
            let (Some(range), Mapped::Data, true) = (range, piece.mapped, at < size.into()) else {
                return Ok(());
            };
            let length = range.len().min(u64::from(size).saturating_sub(at));
            let found = read(
                reader,
                structure,
                range.start(),
                to_usize(length).unwrap_or(0),
            )?;
            let at = to_usize(at).unwrap_or(usize::MAX);
            if let Some(place) = value.get_mut(at..at.saturating_add(found.len())) {
                place.copy_from_slice(&found);
            }
            Ok(())
        })?;
        Ok(value)
    }

    /// The target of a symlink.
    pub(crate) fn target(
        &self,
        number: u64,
        inode: &RawInode<'_>,
        content: Content,
        diagnose: &dyn Fn(hexz_resolve::Diagnostic),
    ) -> Result<Arc<[u8]>> {
        let size = inode.i_size()?;
        // A target is a path: at most a block, and never more than 64 KiB.
        let size = to_usize(size.min(self.geometry.block()).min(1 << 16)).unwrap_or(0);
        let target: Arc<[u8]> = match content {
            Content::Fast => inode.i_block()?.bytes(0, size.min(60))?.into(),
            Content::Inline => {
                let mut target = inode.i_block()?.bytes(0, size.min(60))?.to_vec();
                if let Some(tail) = inline_tail(inode)? {
                    target.extend_from_slice(tail.as_bytes());
                    target.truncate(size);
                }
                target.into()
            }
            _ => {
                let size = u32::try_from(size).unwrap_or(0);
                self.mapped_bytes("symlink", number, size, diagnose)?.into()
            }
        };
        Ok(nokey::target(inode, &target)?.map_or(target, Into::into))
    }
}
