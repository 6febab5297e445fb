//! What inodes say of themselves.

use std::sync::Arc;

use hexz_ondisk::{Fields, to_usize};
use hexz_resolve::{Attributes, FileKind, FileSet, RawName, Result, Scan, Sink, Xattr};

use crate::disk::{Disk, REMOTE_TAG};
use crate::fork;
use crate::fs::Xfs;
use crate::inode::{Inode, Which};
use crate::ondisk::{SYMLINK_MAGIC, format};
use crate::xattr::{Item, items};

/// `XFS_SYMLINK_MAXLEN`.
const LONGEST_TARGET: u64 = 1024;
/// The flags of `di_flags` that `FS_IOC_FSGETXATTR` shows in the same bits, without those that
/// only say how or where the data are stored (realtime, preallocated, defragment).
const SHOWN_FLAGS: u16 = 0b0101_1111_1111_1000;

impl Xfs {
    /// The attributes of those of `files` that a mount would leave.
    pub(crate) fn attributes_of(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        let units = self.some_inodes(cx, files)?;
        cx.units(
            "xfs-attributes",
            &self.reader,
            &units,
            |unit, reader| {
                let disk = self.disk_with_kept(reader);
                let mut found = Vec::new();
                unit.for_each(&disk, cx.limits().unit_bytes, |inode| {
                    if inode.is_linked() && inode.internal(&unit.geometry).is_none() {
                        found.push(attributes(&disk, inode)?);
                    }
                    Ok(())
                })?;
                Ok(found)
            },
            |_, found| found.iter().try_for_each(|file| out.put(file.clone())),
        )
    }
}

fn attributes(disk: &Disk<'_>, inode: &Inode<'_>) -> Result<Attributes> {
    let fields = inode.fields;
    let Some(kind) = inode.kind() else {
        let error = fields.corrupt(2).expected("a kind of file");
        return Err(error.found(format_args!("mode {:o}", inode.mode)));
    };
    let mut file = Attributes::inode(inode.key(), inode.generation.into(), kind);
    file.size = inode.size;
    file.mode = Some(u32::from(inode.mode & 0o7777));
    file.uid = Some(fields.be32(8)?);
    file.gid = Some(fields.be32(12)?);
    file.nlink = Some(u64::from(inode.nlink));
    if matches!(kind, FileKind::BlockDevice | FileKind::CharDevice) {
        file.rdev = inode.rdev()?;
    }
    // DAX is the one flag of `di_flags2` that is shown, in another bit.
    let dax = inode.flags2 & 1;
    file.flags = Some(u64::from(inode.flags & SHOWN_FLAGS) | dax << 15);
    file.atime = Some(inode.time(32)?);
    file.mtime = Some(inode.time(40)?);
    file.ctime = Some(inode.time(48)?);
    if inode.version >= 3 {
        file.btime = Some(inode.time(144)?);
    }
    if kind == FileKind::Symlink {
        file.target = target(disk, inode)
            .or_else(|error| disk.tolerate(error).map(|()| None))?
            .map(|bytes| RawName::from(&bytes));
    }
    xattrs(disk, inode, &mut file).or_else(|error| disk.tolerate(error))?;
    file.special = special(disk, inode)?;
    Ok(file)
}

fn xattrs(disk: &Disk<'_>, inode: &Inode<'_>, file: &mut Attributes) -> Result<()> {
    let result = items(disk, inode, &mut |item| {
        if let Item::Attribute {
            namespace,
            name,
            value,
        } = item
        {
            file.xattrs.push(Xattr {
                name: RawName::from(&[namespace.as_bytes(), name].concat()),
                value: Arc::from(value),
            });
        }
        Ok(())
    });
    file.xattrs.sort_unstable();
    result
}

/// Project, and the hints of how extents are allocated.
fn special(disk: &Disk<'_>, inode: &Inode<'_>) -> Result<Vec<(&'static str, String)>> {
    let fields = inode.fields;
    let mut special = Vec::new();
    let extsize = fields.be32(72)?;
    if inode.version >= 3 && fields.be32(128)? != 0 && inode.flags2 & (1 << 2) != 0 {
        special.push(("cow-extent-size", fields.be32(128)?.to_string()));
    }
    if extsize != 0 && inode.flags & (1 << 11 | 1 << 12) != 0 {
        special.push(("extent-size", extsize.to_string()));
    }
    if inode.version >= 2 {
        let high = if disk.geometry.projid32 {
            u32::from(fields.be16(22)?) << 16
        } else {
            0
        };
        let project = high | u32::from(fields.be16(20)?);
        if project != 0 {
            special.push(("project", project.to_string()));
        }
    }
    Ok(special)
}

/// The target of a symlink: in the inode, or in blocks that have headers on V5.
fn target(disk: &Disk<'_>, inode: &Inode<'_>) -> Result<Option<Vec<u8>>> {
    let Some(fork) = inode.fork(Which::Data)? else {
        return Ok(None);
    };
    if inode.size > LONGEST_TARGET {
        let error = inode
            .fields
            .corrupt(56)
            .expected(format_args!("at most {LONGEST_TARGET}"));
        return Err(error.found(inode.size));
    }
    let length = to_usize(inode.size).unwrap_or(0);
    if fork.format == format::LOCAL {
        return Ok(Some(fork.fields.bytes(0, length)?.to_vec()));
    }
    let mut target = Vec::new();
    for extent in fork::extents(disk, inode, Which::Data)? {
        if target.len() >= length {
            break;
        }
        // An extent has one header, and is no longer than the longest target needs.
        let at = extent.range.start();
        let most = LONGEST_TARGET
            .saturating_add(56)
            .next_multiple_of(disk.geometry.block_size());
        let bytes = disk.read(
            "symlink",
            at,
            to_usize(extent.range.len().min(most)).unwrap_or(0),
        )?;
        let block = Fields::new("symlink", at, &bytes);
        let rest = length.saturating_sub(target.len());
        if disk.geometry.v5 {
            let magic = block.be32(0)?;
            if magic != SYMLINK_MAGIC {
                let error = block
                    .corrupt(0)
                    .expected(format_args!("{SYMLINK_MAGIC:08x}"));
                return Err(error.found(format_args!("{magic:08x}")));
            }
            disk.verify(&block, REMOTE_TAG, inode.number)?;
            let here = to_usize(u64::from(block.be32(8)?)).unwrap_or(usize::MAX);
            target.extend_from_slice(block.bytes(56, here.min(rest))?);
        } else {
            target.extend_from_slice(block.bytes(0, rest.min(block.len()))?);
        }
    }
    if target.len() < length {
        let error = inode
            .fields
            .corrupt(56)
            .expected(format_args!("{length} bytes of target"));
        return Err(error.found(target.len()));
    }
    Ok(Some(target))
}
