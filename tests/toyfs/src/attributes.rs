//! What is known of a file beside its content and its names.

use hexz_resolve::{Attributes, FileSet, Result, Scan, Sink, Timestamp};

use crate::Toy;
use crate::claims::each_inode;
use crate::ondisk::Inode;

/// The attributes of those of `files` that exist.
pub(crate) fn attributes(
    toy: &Toy,
    files: &FileSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Attributes>,
) -> Result<()> {
    let visit = |inode: &Inode, found: &mut Vec<Attributes>| found.push(of(inode));
    each_inode(toy, cx, "attributes", Some(files), visit, out)
}

fn of(inode: &Inode) -> Attributes {
    let mut attributes = Attributes::inode(inode.key, inode.generation, inode.kind);
    attributes.size = u64::from(inode.i_size);
    attributes.mode = Some(u32::from(inode.i_mode & 0o7777));
    attributes.uid = Some(inode.i_uid);
    attributes.nlink = Some(u64::from(inode.i_links));
    attributes.mtime = i64::try_from(inode.i_mtime).ok().map(|seconds| Timestamp {
        seconds,
        nanoseconds: 0,
    });
    attributes
}
