//! An open filesystem.

use std::sync::{Arc, OnceLock};

use hexz_ondisk::Kept;
use hexz_resolve::{
    Attributes, ByteRange, Claim, Class, FileKey, FileSet, Filesystem, FsInfo, Link, LinkCoverage,
    RangeSet, ReadAt, Records, Replayed, Result, Scan, Sink, UnitReader,
};

use crate::chunk::Chunk;
use crate::disk::Disk;
use crate::fields;
use crate::geometry::Geometry;

/// One view of one volume.
pub(crate) struct Xfs {
    pub(crate) geometry: Arc<Geometry>,
    pub(crate) info: FsInfo,
    pub(crate) reader: Arc<dyn ReadAt>,
    pub(crate) replayed: Replayed,
    /// What a mount would free, from the log: extents that no btree tells of.
    pub(crate) to_be_freed: RangeSet,
    /// The numbers of all directories, rising, once all inodes have been read.
    pub(crate) directories: OnceLock<Vec<u64>>,
    /// `sb_icount`: inodes in all chunks, used or not.
    pub(crate) inodes: u64,
    /// The inode chunks of each group, rising, once they were read; `None` inside where something is
    /// wrong with them.
    pub(crate) inode_chunks: OnceLock<Option<Vec<Arc<[Chunk]>>>>,
    /// Records of inodes that are asked about more than once.
    pub(crate) kept: Kept,
}

impl Xfs {
    /// The filesystem as a unit of a scan reads it.
    pub(crate) fn disk<'a>(&'a self, reader: &'a UnitReader<'_>) -> Disk<'a> {
        Disk {
            geometry: &self.geometry,
            reader,
            findings: reader,
            replayed: &self.replayed.ranges,
            kept: None,
        }
    }

    /// The same, for what is asked about some inodes: records that were read before are not read
    /// again. So what is found is not shared with the other view.
    pub(crate) fn disk_with_kept<'a>(&'a self, reader: &'a UnitReader<'_>) -> Disk<'a> {
        reader.do_not_share();
        Disk {
            kept: Some(&self.kept),
            ..self.disk(reader)
        }
    }
}

impl Filesystem for Xfs {
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
        FileKey::new(self.geometry.rootino)
    }

    fn claims(&self, wanted: &RangeSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        self.all_claims(wanted, cx, out)
    }

    fn links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        if self.geometry.parent {
            self.links_by_parents(wanted, cx, out)?;
            Ok(LinkCoverage::Wanted)
        } else if self.links_by_search(wanted, cx, out)? {
            Ok(LinkCoverage::Wanted)
        } else {
            self.links_by_directories(wanted, cx, out)?;
            Ok(LinkCoverage::AllDirectories)
        }
    }

    fn attributes(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        self.attributes_of(files, cx, out)
    }

    fn dirty_entries(
        &self,
        directories: &FileSet,
        dirty: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
        clean: &mut dyn Sink<(FileKey, ByteRange)>,
    ) -> Result<()> {
        self.dirty_entries_of(directories, dirty, cx, out, clean)
    }

    fn entries(
        &self,
        directories: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        self.entries_of(directories, cx, out)
    }

    fn extents(&self, files: &FileSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        self.extents_of(files, cx, out)
    }

    fn records(&self, piece: ByteRange, class: Class, detail: &str) -> Vec<Records> {
        let geometry = &self.geometry;
        let inode = 1u64.checked_shl(geometry.inode_log).unwrap_or_default();
        let sizes = [geometry.sect_size(), inode];
        fields::records(piece, class, detail, sizes, geometry.nrext64)
    }
}
