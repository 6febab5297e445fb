//! An open filesystem: what all passes share.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use hexz_ondisk::{Fields, read};
use hexz_resolve::{
    Attributes, ByteRange, Claim, Class, Diagnostic, FileKey, FileSet, Filesystem, FsInfo, Link,
    LinkCoverage, RangeSet, ReadAt, Records, Replayed, Result, Scan, Sink,
};

use crate::directory::Directory;
use crate::fields;
use crate::geometry::Geometry;
use crate::ondisk::{ROOT_INO, RawInode};
use crate::open::Known;

/// One view of an ext2, ext3 or ext4 filesystem.
pub(crate) struct Ext4 {
    pub(crate) info: FsInfo,
    pub(crate) geometry: Arc<Geometry>,
    pub(crate) reader: Arc<dyn ReadAt>,
    pub(crate) replayed: Replayed,
    /// What is claimed before any sweep.
    pub(crate) known: Known,
    /// Files that are open and unlinked: a mount deletes them.
    pub(crate) orphans: BTreeSet<u64>,
    /// All directories, once a sweep has met them.
    pub(crate) directories: OnceLock<Vec<Directory>>,
}

impl Ext4 {
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
        for key in files.iter().filter(|k| k.subvolume == 0) {
            cx.check()?;
            let result = self
                .inode_bytes(&*self.reader, key.number)
                .and_then(|found| {
                    let Some((offset, bytes)) = found else {
                        return Ok(());
                    };
                    let inode = RawInode::new(Fields::new("inode", offset, &bytes));
                    if self.in_use(key.number, &inode)? {
                        work(key.number, inode)
                    } else {
                        Ok(())
                    }
                });
            result.or_else(|error| cx.tolerate(error.layer("ext4")))?;
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
