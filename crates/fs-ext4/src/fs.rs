//! An open filesystem: what all passes share.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use hexz_ondisk::{Fields, Kept, read, to_usize, with_buffer};
use hexz_resolve::{
    Attributes, ByteRange, Claim, Class, Diagnostic, FileKey, FileSet, Filesystem, FsInfo, Link,
    LinkCoverage, RangeSet, ReadAt, Records, Replayed, Result, Scan, Sink,
};

use crate::directory::Directory;
use crate::fields;
use crate::geometry::Geometry;
use crate::known::Known;
use crate::ondisk::{ROOT_INO, RawInode};
use crate::shape::Shape;

/// One view of an ext2, ext3 or ext4 filesystem.
pub(crate) struct Ext4 {
    pub(crate) info: FsInfo,
    pub(crate) geometry: Arc<Geometry>,
    /// What is kept for other disks depends on it.
    pub(crate) shape: Shape,
    pub(crate) reader: Arc<dyn ReadAt>,
    pub(crate) replayed: Replayed,
    /// What is claimed before any sweep.
    pub(crate) known: Known,
    /// Files that are open and unlinked: a mount deletes them.
    pub(crate) orphans: BTreeSet<u64>,
    /// All directories, once a sweep has met them.
    pub(crate) directories: OnceLock<Vec<Directory>>,
    /// Records of inodes that are asked about more than once.
    pub(crate) kept: Kept,
}

impl Ext4 {
    /// Whether something of what is wanted may be the resize inode's, as far as that can be told
    /// without its map: `structures` are those that are wanted.
    pub(crate) fn is_resize_near(&self, structures: &[Claim], wanted: &RangeSet) -> bool {
        let resize = self.known.resize.as_ref();
        resize.is_some_and(|resize| resize.is_near(&self.geometry, structures, wanted))
    }

    /// What the resize inode owns.
    pub(crate) fn resize_claims(&self, cx: &Scan<'_>) -> &[Claim] {
        let resize = self.known.resize.as_ref();
        resize.map_or(&[], |resize| {
            resize.claims(&self.geometry, &*self.reader, cx)
        })
    }

    /// The bytes of an inode and where they lie; `None` for a number that has none.
    pub(crate) fn inode_bytes(
        &self,
        reader: &dyn ReadAt,
        number: u64,
    ) -> Result<Option<(u64, Vec<u8>)>> {
        let Some(offset) = self.geometry.inode_offset(number) else {
            return Ok(None);
        };
        let length = usize::from(self.geometry.sb.s_inode_size);
        Ok(Some((offset, read(reader, "inode", offset, length)?)))
    }

    /// Runs `work` on each of `files` that is in use, in the order of their numbers; what fails is
    /// a finding.
    pub(crate) fn each_file(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        mut work: impl FnMut(u64, RawInode<'_>) -> Result<()>,
    ) -> Result<()> {
        let plain = files.iter().filter(|key| key.subvolume == 0);
        let places = plain.filter_map(|key| {
            let offset = self.geometry.inode_offset(key.number)?;
            Some((key.number, offset))
        });
        let size = usize::from(self.geometry.sb.s_inode_size);
        let mut places = places.peekable();
        let mut group: Vec<(u64, u64)> = Vec::new();
        while let Some((number, start)) = places.next() {
            cx.check()?;
            group.clear();
            group.push((number, start));
            let mut last = start;
            while let Some(next) = places.next_if(|(_, offset)| is_near(start, last, *offset)) {
                last = next.1;
                group.push(next);
            }
            let mut one = |number: u64, offset: u64, bytes: &[u8]| {
                let inode = RawInode::new(Fields::new("inode", offset, bytes));
                match self.in_use(number, &inode)? {
                    true => work(number, inode),
                    false => Ok(()),
                }
            };
            let mut tolerant = |number: u64, offset: u64, bytes: &[u8]| {
                let done = one(number, offset, bytes);
                done.or_else(|error| cx.tolerate(error.layer("ext4")))
            };
            let offsets = || group.iter().map(|(_, offset)| *offset);
            let kept =
                with_buffer(size.saturating_mul(group.len()), |bytes| {
                    self.kept.copy(offsets(), size, bytes)?;
                    let mut records = group.iter().zip(bytes.chunks_exact(size));
                    Some(records.try_for_each(|((number, offset), bytes)| {
                        tolerant(*number, *offset, bytes)
                    }))
                });
            if let Some(done) = kept {
                done?;
                continue;
            }
            let length = to_usize(last.saturating_sub(start)).and_then(|n| n.checked_add(size));
            let together =
                with_buffer(length.unwrap_or(0), |bytes| {
                    self.reader.read_exact_at(start, bytes).ok()?;
                    let record = |offset: u64| {
                        let from = to_usize(offset.saturating_sub(start)).unwrap_or(usize::MAX);
                        let record = bytes.get(from..from.saturating_add(size));
                        (offset, record.unwrap_or_default())
                    };
                    self.kept.put(offsets().map(record));
                    let mut group = group.iter();
                    Some(group.try_for_each(|(number, offset)| {
                        tolerant(*number, *offset, record(*offset).1)
                    }))
                });
            if let Some(done) = together {
                done?;
                continue;
            }
            // Something in there can't be read: one by one, so that the others are had.
            for (number, offset) in &group {
                match read(&*self.reader, "inode", *offset, size) {
                    Ok(bytes) => tolerant(*number, *offset, &bytes)?,
                    Err(error) => cx.tolerate(error.layer("ext4"))?,
                }
            }
        }
        Ok(())
    }

    /// Whether an inode holds a file. A deleted one has no links; the bitmap is not asked, since
    /// a directory that names a file with links makes it a file whatever the bitmap says. Reserved
    /// inodes have no name and may have no link.
    pub(crate) fn in_use(&self, number: u64, inode: &RawInode<'_>) -> Result<bool> {
        if number < u64::from(self.geometry.sb.s_first_ino) && number != ROOT_INO {
            let mapped = inode.i_block()?.as_bytes().iter().any(|b| *b != 0);
            return Ok(inode.i_mode()? != 0 || mapped);
        }
        let linked = inode.i_links_count()? > 0;
        Ok(inode.i_mode()? != 0 && (linked || self.orphans.contains(&number)))
    }
}

/// So many bytes between two records cost less than another request,
const NEAR: u64 = 16 << 10;
/// and so many of records are read together.
const TOGETHER: u64 = 64 << 10;

/// Whether the record at `next` is read along with those from `first` to `last`.
fn is_near(first: u64, last: u64, next: u64) -> bool {
    let distance = |from: u64| next.checked_sub(from);
    distance(last).is_some_and(|bytes| bytes <= NEAR)
        && distance(first).is_some_and(|bytes| bytes < TOGETHER)
}

/// What a pass that has no unit tells its findings to.
pub(crate) fn telling<'a>(cx: &'a Scan<'_>) -> impl Fn(Diagnostic) + 'a {
    |finding| cx.diagnose(finding)
}

impl Filesystem for Ext4 {
    fn info(&self) -> &FsInfo {
        &self.info
    }

    fn reader(&self) -> &Arc<dyn ReadAt> {
        &self.reader
    }

    fn replayed(&self) -> &Replayed {
        &self.replayed
    }

    fn root(&self) -> FileKey {
        FileKey::new(ROOT_INO)
    }

    fn claims(&self, wanted: &RangeSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        self.scan_claims(wanted, cx, out)
    }

    fn links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        if self.search_links(wanted, cx, out)? {
            return Ok(LinkCoverage::Wanted);
        }
        self.scan_links(wanted, cx, out)?;
        Ok(LinkCoverage::AllDirectories)
    }

    fn attributes(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        self.read_attributes(files, cx, out)
    }

    fn dirty_entries(
        &self,
        directories: &FileSet,
        dirty: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
        clean: &mut dyn Sink<(FileKey, ByteRange)>,
    ) -> Result<()> {
        self.read_dirty_entries(directories, dirty, cx, out, clean)
    }

    fn entries(
        &self,
        directories: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        self.read_entries(directories, cx, out)
    }

    fn extents(&self, files: &FileSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        self.read_extents(files, cx, out)
    }

    fn records(&self, piece: ByteRange, class: Class, detail: &str) -> Vec<Records> {
        let sb = &self.geometry.sb;
        let sizes = [sb.descriptor_size.into(), sb.s_inode_size.into()];
        fields::records(piece, class, detail, sb.block_size.into(), sizes)
    }
}
