//! What a format crate implements.

use std::any::Any;
use std::sync::Arc;

use crate::{
    Attributes, ByteRange, Claim, Class, Descriptor, Error, ExtentSet, FileKey, FileSet, Link,
    Member, OpenContext, Owner, Probe, RangeSet, RawName, ReadAt, Records, Result, Scan, Sink,
    Window, content,
};

/// A filesystem format.
pub trait FilesystemPlugin: Send + Sync + 'static {
    /// What it is.
    fn descriptor(&self) -> &'static Descriptor;

    /// Whether a device with this window is of this format. Pure and bounded; must not panic.
    fn probe(&self, window: &Window) -> Probe;

    /// Devices of other sets that the filesystem on `members` has as well, each by the
    /// [`Group::id`](crate::Group::id) of its set and its number: what it grew out of, say. Those
    /// that were found are opened with it, and are no filesystem of their own then; a set of one
    /// device waits for that.
    fn further(&self, _members: &[Member]) -> Vec<(Vec<u8>, u64)> {
        Vec::new()
    }

    /// Opens a volume: reads what is needed to scan it (superblock, group descriptors) and
    /// replays its journal in memory if `cx` says so. The volume may be shorter than the
    /// filesystem says.
    ///
    /// `members` are the devices of its [`Group`](crate::Group) that were found, in the order of
    /// their numbers; one for a format that has no groups. Offsets of the volume count through
    /// them: those of a member begin at its [`Member::start`].
    ///
    /// # Errors
    /// `Unsupported`, naming the feature; `Corrupt` or `Io` where not even a part can be scanned.
    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<Box<dyn Filesystem>>;
}

/// Whether a filesystem was left in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FsState {
    /// Yes, or its journal was replayed in full.
    #[default]
    Clean,
    /// No: its journal is not replayed, or can't be.
    NeedsRecovery,
}

impl FsState {
    /// The word the report uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::NeedsRecovery => "needs-recovery",
        }
    }
}

/// What an open filesystem says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsInfo {
    /// The name the report gives it: `ext2`, `ext4`, `ntfs`. May be finer than the plugin's id.
    pub filesystem: &'static str,
    /// Volume label, as its raw bytes (WTF-8 for UTF-16); empty for none.
    pub label: Vec<u8>,
    /// UUID or serial number, as people write it.
    pub uuid: Option<String>,
    /// What tells this filesystem from one made anew in its place: its files are the same files
    /// in two views only where this is equal. The time it was made, a serial number.
    pub identity: Vec<u8>,
    /// Block or cluster size in bytes.
    pub block_size: u32,
    /// Bytes of the volume, from its start, that it says it takes up.
    pub size: u64,
    /// Whether it was left in order.
    pub state: FsState,
    /// Journal transactions replayed in memory.
    pub transactions_replayed: u64,
    /// Whether its times are local times of unknown zone: the report writes them without a zone.
    pub local_times: bool,
}

/// What a journal changes of what lies on the disk, once it is replayed in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Where [`Filesystem::reader`] shows other bytes than lie there: a journal of blocks.
    pub ranges: RangeSet,
    /// Files of which something changed, wherever that lies: a log of operations on files. They
    /// count as touched.
    pub files: FileSet,
}

impl Replayed {
    /// What a journal of blocks rewrote.
    #[must_use]
    pub const fn ranges(ranges: RangeSet) -> Self {
        Self {
            ranges,
            files: FileSet::new(),
        }
    }
}

/// What [`Filesystem::links`] gave beyond what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkCoverage {
    /// Links to the wanted files only: the engine asks again for their parents.
    Wanted,
    /// Links to the wanted files and to every directory.
    AllDirectories,
}

/// An open filesystem: one view of one volume. All offsets are from the start of the volume; one
/// that has several members is as long as all of them.
///
/// Every pass may be given a wanted set that has nothing to do with this filesystem, and gives
/// nothing then. Results come in the same order whatever the number of threads.
pub trait Filesystem: Send + Sync {
    /// Label, size, state.
    fn info(&self) -> &FsInfo;

    /// The volume as this filesystem reads it: with its journal replayed.
    fn reader(&self) -> &Arc<dyn ReadAt>;

    /// What replaying the journal changed.
    fn replayed(&self) -> &Replayed;

    /// The root directory.
    fn root(&self) -> FileKey;

    /// Pass 1: all claims that share a byte with `wanted`. Claims may reach beyond it. What no
    /// claim covers is unresolved, so free space is claimed as free.
    ///
    /// # Errors
    /// Only what ends the scan; a part that can't be read is a diagnostic (see [`Scan::units`]).
    fn claims(&self, wanted: &RangeSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()>;

    /// The second step of pass 1, for claims of [`Owner::Extent`]: for each of `extents` the claims
    /// of every file that has a part of it. They may reach beyond it. A format whose `claims` name
    /// the files themselves has none.
    ///
    /// # Errors
    /// As [`claims`](Self::claims).
    fn sharers(
        &self,
        _extents: &ExtentSet,
        _cx: &Scan<'_>,
        _out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        Ok(())
    }

    /// Pass 2: every link whose child is in `wanted`. More links may be given. What has no names
    /// has covered all directories.
    ///
    /// # Errors
    /// As [`claims`](Self::claims).
    fn links(
        &self,
        _wanted: &FileSet,
        _cx: &Scan<'_>,
        _out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        Ok(LinkCoverage::AllDirectories)
    }

    /// The attributes of those of `files` that exist in this view: that are in use, and would be
    /// after a mount (an unlinked open file is not).
    ///
    /// # Errors
    /// As [`claims`](Self::claims).
    fn attributes(
        &self,
        _files: &FileSet,
        _cx: &Scan<'_>,
        _out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        Ok(())
    }

    /// All links in each of `directories`; what is no directory has none.
    ///
    /// # Errors
    /// As [`claims`](Self::claims).
    fn entries(
        &self,
        _directories: &FileSet,
        _cx: &Scan<'_>,
        _out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        Ok(())
    }

    /// The links in each of `directories`, but for those in blocks that hold nothing of `dirty`:
    /// such blocks go to `clean`, each range of them with its directory. The links in a block must
    /// follow from its bytes and its directory alone. By default all links are told.
    ///
    /// # Errors
    /// As [`claims`](Self::claims).
    fn dirty_entries(
        &self,
        directories: &FileSet,
        _dirty: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
        _clean: &mut dyn Sink<(FileKey, ByteRange)>,
    ) -> Result<()> {
        self.entries(directories, cx, out)
    }

    /// The whole content of each of `files`, as claims with roles [`Data`](crate::Role::Data) and
    /// [`Unwritten`](crate::Role::Unwritten) and their file offsets, wherever it lies (also within
    /// an inode). What no claim covers is a hole. Claims of one file and stream come in rising
    /// file offset, and may reach past its size. Where a volume keeps several copies, there is a
    /// claim for each, the one to be read first.
    ///
    /// # Errors
    /// As [`claims`](Self::claims).
    fn extents(&self, _files: &FileSet, _cx: &Scan<'_>, _out: &mut dyn Sink<Claim>) -> Result<()> {
        Ok(())
    }

    /// Those of `files` of which all is the same in `other`, the other view of this filesystem: what
    /// they are, what they are called and what they hold. `dirty` are the bytes of the volume in
    /// which the two differ. None need be told, and they are compared then; a format that writes
    /// the records of many files anew for the change of one tells those that no one changed.
    ///
    /// # Errors
    /// As [`claims`](Self::claims).
    fn unchanged(
        &self,
        _other: &dyn Filesystem,
        _files: &FileSet,
        _dirty: &RangeSet,
        _cx: &Scan<'_>,
        _out: &mut dyn Sink<FileKey>,
    ) -> Result<()> {
        Ok(())
    }

    /// The filesystem as its plugin knows it, for [`unchanged`](Self::unchanged) of another view.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }

    /// The records with named fields in `piece`, which it claimed with this class and detail: so
    /// that what differs in them can be named. Only what is said here is looked at; nothing by
    /// default.
    fn records(&self, _piece: ByteRange, _class: Class, _detail: &str) -> Vec<Records> {
        Vec::new()
    }

    /// The bytes of a file as whoever opens it reads them: of `stream`, or of its unnamed content.
    /// Decoded where they are compressed; holes and what was never written are zeros; as long as
    /// the file says. By default they are put together from [`extents`](Self::extents) and the
    /// size in [`attributes`](Self::attributes).
    ///
    /// # Errors
    /// `Unsupported` for what can't be decoded (content that is encrypted, a compression that is
    /// not known) and for a stream the format does not have; `Corrupt` for a file that does not
    /// exist in this view. Damage in the content is an error of the reader that comes back.
    fn content(
        &self,
        file: FileKey,
        stream: Option<&RawName>,
        cx: &Scan<'_>,
    ) -> Result<Arc<dyn ReadAt>> {
        if let Some(stream) = stream {
            let text = format!("no stream {stream:?}: this filesystem has none");
            return Err(Error::unsupported("content", text));
        }
        let files: FileSet = [file].into_iter().collect();
        let mut attributes: Vec<Attributes> = Vec::new();
        self.attributes(&files, cx, &mut attributes)?;
        let Some(attributes) = attributes.into_iter().find(|a| a.key == file) else {
            let text = format!("there is no file {}", file.shown(None));
            return Err(Error::corrupt("content").message(text));
        };
        let mut claims: Vec<Claim> = Vec::new();
        self.extents(&files, cx, &mut claims)?;
        claims.retain(|c| c.owner == Owner::File(file) && c.stream.is_none());
        content::of_claims(&claims, attributes.size, self.reader())
    }
}
