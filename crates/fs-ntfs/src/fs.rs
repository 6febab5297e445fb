//! An open filesystem.

use std::sync::Arc;

use hexz_ondisk::{Kept, KeptReader};
use hexz_resolve::{
    Attributes, ByteRange, Claim, Class, FileKey, FileSet, Filesystem, FsInfo, Link, LinkCoverage,
    RangeSet, RawName, ReadAt, Records, Replayed, Result, Scan, Sink, UnitReader,
};

use crate::bytes::Content;
use crate::fields;
use crate::file::File;
use crate::mft::Mft;
use crate::ondisk::{number, size};
use crate::system::Systems;

/// One view of one volume.
pub(crate) struct Ntfs {
    pub(crate) mft: Arc<Mft>,
    pub(crate) info: FsInfo,
    pub(crate) reader: Arc<dyn ReadAt>,
    /// Nothing: the log is not replayed.
    pub(crate) replayed: Replayed,
    pub(crate) systems: Systems,
    /// `$Bitmap`, when it can be read.
    pub(crate) bitmap: Option<Content>,
    /// The copy of the boot sector behind the filesystem.
    pub(crate) boot_copy: Option<ByteRange>,
    /// Records of files that are asked about more than once.
    pub(crate) kept: Kept,
}

/// Files that are looked at one by one: a unit of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Group {
    mft: Arc<Mft>,
    numbers: Vec<u64>,
}

impl Ntfs {
    /// Reads each of `files` that exists, and hands on what `work` makes of them, in their order.
    pub(crate) fn each_file<T: Send + Sync + 'static>(
        &self,
        pass: &'static str,
        files: &FileSet,
        cx: &Scan<'_>,
        work: impl Fn(&File, &UnitReader<'_>, &mut Vec<T>) -> Result<()> + Sync,
        mut put: impl FnMut(&T) -> Result<()>,
    ) -> Result<()> {
        let groups = self.mft.groups(files).into_iter();
        let groups: Vec<Group> = groups
            .map(|numbers| Group {
                mft: Arc::clone(&self.mft),
                numbers,
            })
            .collect();
        cx.units(
            pass,
            &self.reader,
            &groups,
            |group, reader| {
                let mut found = Vec::new();
                let tolerate = |error| reader.tolerate(error);
                let records = KeptReader::new(reader, &self.kept, size(self.mft.geometry.record));
                for number in &group.numbers {
                    let file = group.mft.file(&records, *number, &tolerate);
                    let done = file.and_then(|file| match file {
                        Some(file) => work(&file, reader, &mut found),
                        None => Ok(()),
                    });
                    if let Err(error) = done {
                        reader.tolerate(error.layer("ntfs"))?;
                    }
                }
                Ok(found)
            },
            |_, found| found.iter().try_for_each(&mut put),
        )
    }
}

impl Filesystem for Ntfs {
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
        FileKey::new(number::ROOT)
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
        if self.are_few(wanted) {
            self.some_links(wanted, cx, out)?;
            return Ok(LinkCoverage::Wanted);
        }
        self.all_links(wanted, cx, out)?;
        Ok(LinkCoverage::AllDirectories)
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

    fn content(
        &self,
        file: FileKey,
        stream: Option<&RawName>,
        cx: &Scan<'_>,
    ) -> Result<Arc<dyn ReadAt>> {
        self.content_of(file, stream, cx)
    }

    fn records(&self, piece: ByteRange, class: Class, _: &str) -> Vec<Records> {
        let size = self.mft.geometry.record;
        let table = self.mft.pieces.iter().find_map(|(offset, range)| {
            // A run of the table may begin within a record.
            let within = offset.checked_rem(size)?;
            let first = range.start().checked_sub(within)?;
            range.contains(piece.start()).then_some((first, size))
        });
        fields::records(piece, class, table, self.boot_copy.map(|copy| copy.start()))
    }
}
