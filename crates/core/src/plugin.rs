//! What a format crate implements.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{
    Attributes, ByteRange, Claim, Class, Diagnostic, Diagnostics, ExtentSet, FileKey, FileSet,
    Limits, Link, Member, RangeSet, RawName, ReadAt, ReadError, Records, Result, Scan, Sink, View,
    content, read_around,
};

/// Bytes that a format shows at a fixed place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Magic {
    /// Byte offset, from the start of the device, or back from its end.
    pub offset: u64,
    /// Whether `offset` counts back from the end.
    pub from_end: bool,
    /// The bytes.
    pub bytes: &'static [u8],
}

impl Magic {
    /// `bytes` at `offset` from the start.
    #[must_use]
    pub const fn at(offset: u64, bytes: &'static [u8]) -> Self {
        Self {
            offset,
            from_end: false,
            bytes,
        }
    }

    /// `bytes` starting `offset` bytes before the end.
    #[must_use]
    pub const fn before_end(offset: u64, bytes: &'static [u8]) -> Self {
        Self {
            offset,
            from_end: true,
            bytes,
        }
    }
}

/// What a plugin is.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// Unique, lower case: `ext4`, `gpt`.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// The plugin is asked when any of these is there; always, when there are none.
    pub magics: &'static [Magic],
    /// Devices smaller than this are never its.
    pub minimum_size: u64,
    /// Whether it holds other volumes, and so outranks filesystems.
    pub container: bool,
    /// Where the format is specified.
    pub specification: &'static str,
}

/// The two ends of a device, read once; all that detection may look at.
#[derive(Clone)]
pub struct Window {
    size: u64,
    head: Arc<[u8]>,
    tail: Arc<[u8]>,
    lost: Arc<[(ByteRange, ReadError)]>,
    /// For the few formats with a sign elsewhere.
    device: Option<Arc<dyn ReadAt>>,
}

impl Window {
    /// How much of each end is read.
    pub const LENGTH: usize = 128 * 1024;
    /// The most bytes that [`elsewhere`](Self::elsewhere) reads.
    pub const ELSEWHERE: usize = 64 * 1024;

    /// Reads the window of `device`, as far as that can be done.
    #[must_use]
    pub fn read(device: &dyn ReadAt) -> Self {
        let size = device.len();
        let length = usize::try_from(size)
            .unwrap_or(usize::MAX)
            .min(Self::LENGTH);
        let (mut head, mut tail) = (vec![0; length], vec![0; length]);
        let mut lost = read_around(device, 0, &mut head);
        let behind = read_around(device, size - length as u64, &mut tail);
        // The two ends of a small device are the same bytes.
        let known = lost.last().map_or(0, |(range, _)| range.end());
        lost.extend(
            behind
                .into_iter()
                .filter(|(range, _)| range.start() >= known),
        );
        Self {
            size,
            head: head.into(),
            tail: tail.into(),
            lost: lost.into(),
            device: None,
        }
    }

    /// As [`read`](Self::read), and lets a few bytes be read elsewhere on the device.
    #[must_use]
    pub fn of(device: &Arc<dyn ReadAt>) -> Self {
        Self {
            device: Some(Arc::clone(device)),
            ..Self::read(&**device)
        }
    }

    /// The window as if `ranges` could not be read.
    #[must_use]
    pub fn without(&self, ranges: &[ByteRange]) -> Self {
        if ranges.is_empty() {
            return self.clone();
        }
        let hidden = ranges.iter().map(|range| {
            let offset = range.start();
            let reason = "not looked at".to_owned();
            (*range, ReadError::Damaged { offset, reason })
        });
        let lost = self.lost.iter().map(|(range, error)| {
            let (offset, reason) = (error.offset(), error.to_string());
            (*range, ReadError::Damaged { offset, reason })
        });
        Self {
            lost: lost.chain(hidden).collect(),
            ..self.clone()
        }
    }

    /// `length` bytes at `offset`, in the window or elsewhere on the device; `None` where they
    /// can't be read, or are more than [`ELSEWHERE`](Self::ELSEWHERE).
    #[must_use]
    pub fn elsewhere(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        if let Some(bytes) = self.bytes(offset, length) {
            return Some(bytes.to_vec());
        }
        let device = self.device.as_ref()?;
        let end = offset.checked_add(length as u64)?;
        let range = ByteRange::new(offset, end);
        let lost = self.lost.iter().any(|(lost, _)| lost.overlaps(&range));
        if length > Self::ELSEWHERE || end > self.size || lost {
            return None;
        }
        let mut bytes = vec![0; length];
        device.read_exact_at(offset, &mut bytes).ok()?;
        Some(bytes)
    }

    /// What of the window could not be read, rising, with what failed at the start of each.
    #[must_use]
    pub fn lost(&self) -> &[(ByteRange, ReadError)] {
        &self.lost
    }

    /// Length of the device.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// `length` bytes at `offset`, when they lie in the window and could be read.
    #[must_use]
    pub fn bytes(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let asked = ByteRange::at(offset, length as u64)?;
        if self.lost.iter().any(|(range, _)| range.overlaps(&asked)) {
            return None;
        }
        fn part(bytes: &[u8], at: u64, length: usize) -> Option<&[u8]> {
            let at = usize::try_from(at).ok()?;
            bytes.get(at..at.checked_add(length)?)
        }
        part(&self.head, offset, length).or_else(|| {
            let tail_at = self.size - ReadAt::len(&*self.tail);
            part(&self.tail, offset.checked_sub(tail_at)?, length)
        })
    }

    /// Whether `magic` is there.
    #[must_use]
    pub fn has(&self, magic: &Magic) -> bool {
        let offset = if magic.from_end {
            self.size.checked_sub(magic.offset)
        } else {
            Some(magic.offset)
        };
        offset
            .and_then(|o| self.elsewhere(o, magic.bytes.len()))
            .is_some_and(|b| b == magic.bytes)
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// What a plugin says of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Not this format.
    No,
    /// This format.
    Match {
        /// 0 to 100: how much of what could be checked was checked. A magic of two bytes alone
        /// is 10, a magic of eight bytes 50, a superblock whose fields agree 80, one with a good
        /// checksum 95.
        confidence: u8,
        /// For what may lie on several devices: which of them this is.
        group: Option<Group>,
    },
    /// This format, and too damaged to open.
    Damaged {
        /// What is wrong.
        reason: String,
    },
}

impl Probe {
    /// A format that lies on one device.
    #[must_use]
    pub const fn matches(confidence: u8) -> Self {
        Self::Match {
            confidence,
            group: None,
        }
    }
}

/// A device's place in a set of devices that hold one volume together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which set: the same bytes on each device of it, such as the UUID of the filesystem.
    pub id: Vec<u8>,
    /// Which one of it: its number, as the format counts its devices; `u64::MAX` for one that has
    /// no place of its own, such as a spare.
    pub member: u64,
    /// How many there should be, where each says so.
    pub members: Option<u32>,
    /// Rises with what is written: of two devices that say they are the same one, the greater is
    /// the newer. 0 where the format does not count.
    pub generation: u64,
}

/// Whether journals are replayed in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JournalMode {
    /// Read the disk as a mount would leave it.
    #[default]
    Replay,
    /// Read the disk as it lies.
    Ignore,
}

/// What a plugin needs to open a device.
#[derive(Debug)]
pub struct OpenContext<'a> {
    /// Bounds to keep.
    pub limits: &'a Limits,
    /// Whether journals are replayed.
    pub journal: JournalMode,
    /// The view being opened.
    pub view: View,
    /// Where findings go.
    pub diagnostics: &'a Diagnostics,
}

impl OpenContext<'_> {
    /// Adds a finding of this view.
    pub fn diagnose(&self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic.view(self.view));
    }
}

/// A filesystem format.
pub trait FilesystemPlugin: Send + Sync + 'static {
    /// What it is.
    fn descriptor(&self) -> &'static Descriptor;

    /// Whether a device with this window is of this format. Pure and bounded; must not panic.
    fn probe(&self, window: &Window) -> Probe;

    /// Devices of other sets that the filesystem on `members` has as well, each by the
    /// [`Group::id`] of its set and its number: what it grew out of, say. Those that were found are
    /// opened with it, and are no filesystem of their own then; a set of one device waits for that.
    fn further(&self, _members: &[Member]) -> Vec<(Vec<u8>, u64)> {
        Vec::new()
    }

    /// Opens a volume: reads what is needed to scan it (superblock, group descriptors) and
    /// replays its journal in memory if `cx` says so. The volume may be shorter than the
    /// filesystem says.
    ///
    /// `members` are the devices of its [`Group`] that were found, in the order of their numbers;
    /// one for a format that has no groups. Offsets of the volume count through them: those of a
    /// member begin at its [`Member::start`].
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

    /// The second step of pass 1, for claims of [`Owner::Extent`](crate::Owner::Extent): for each
    /// of `extents` the claims of every file that has a part of it. They may reach beyond it. A
    /// format whose `claims` name the files themselves has none.
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
        content::of_extents(self, file, stream, cx)
    }
}
