//! The report as data. Writers (crate `hexz-report`) turn it into text; the words and the meaning
//! of each field are those of the report schema, version 1.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::metered::Meter;
use crate::{
    Attributes, Class, Diagnostic, FileKey, FileKind, FsState, Precision, Progress, RawName, Role,
    ShownFile, View,
};

/// A path as bytes, from the root of its volume: starts with `/`. Names that are not Unicode are
/// kept as they are.
pub type PathBytes = Vec<u8>;

/// What a diff found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// What was compared.
    pub header: Header,
    /// Volumes of the merged view (of the base view, for those that are only there), in disk
    /// order.
    pub volumes: Vec<VolumeRecord>,
    /// Changed paths, sorted by volume (in the order of `volumes`), then path.
    pub changes: Vec<Change>,
    /// Changed bytes that are in no change's ranges, sorted by start.
    pub regions: Vec<Region>,
    /// Changed bytes that no one claims, sorted by start.
    pub unresolved: Vec<Unresolved>,
    /// What the changed bytes were before, sorted by start. What lies past the end of the disk
    /// before is in none.
    pub before: Vec<Before>,
    /// What was odd.
    pub diagnostics: Vec<Diagnostic>,
    /// The sums.
    pub summary: Summary,
}

/// What was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The change set, as the user named it.
    pub overlay: Option<String>,
    /// The base image, as the user named it.
    pub base: Option<String>,
    /// Length in bytes of the merged disk (of the base, where there is no merged one).
    pub disk_size: u64,
    /// Unit of `blocks`, in bytes.
    pub block_size: u32,
    /// Number of changed blocks.
    pub blocks: u64,
    /// How far the change set can be trusted; `None` where there is none (`owner`, `map`).
    pub precision: Option<Precision>,
    /// The disks, where there are several: `disk_size`, `base` and `overlay` are those of the
    /// first.
    pub disks: Vec<DiskRecord>,
}

/// One of several disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskRecord {
    /// From 1 on.
    pub disk: u32,
    /// Length in bytes of the disk after.
    pub size: u64,
    /// The disk before, as the user named it.
    pub base: Option<String>,
    /// What changed on it, as the user named that.
    pub overlay: Option<String>,
}

/// How far a volume could be resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VolumeStatus {
    /// Its filesystem was opened.
    Resolved,
    /// No plugin knows it, or it uses a feature that is not implemented.
    #[default]
    Unsupported,
    /// It could not be opened.
    Damaged,
    /// Several plugins claim it equally.
    Ambiguous,
}

impl VolumeStatus {
    /// The word the report uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Unsupported => "unsupported",
            Self::Damaged => "damaged",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VolumeRecord {
    /// `disk`, `p2`, `vg/lv`.
    pub volume: String,
    /// First byte on the disk.
    pub start: u64,
    /// The disk that it starts on, from 1 on, where there are several.
    pub disk: Option<u32>,
    /// All disks that it has bytes on, where it is on more than one.
    pub disks: Vec<u32>,
    /// Bytes.
    pub length: u64,
    /// `gpt`, `mbr`, `lvm2`; `None` for an unpartitioned disk.
    pub scheme: Option<&'static str>,
    /// GUID, or `0x83`.
    pub partition_type: Option<String>,
    /// Name in the partition table.
    pub name: Option<String>,
    /// Bytes of a sector in which the partition table counts.
    pub sector_size: Option<u64>,
    /// `ext4`, `ntfs`.
    pub filesystem: Option<&'static str>,
    /// Label of the filesystem, raw.
    pub label: Option<Vec<u8>>,
    /// UUID or serial number of the filesystem.
    pub uuid: Option<String>,
    /// Block or cluster size in bytes.
    pub fs_block_size: Option<u32>,
    /// Whether the filesystem was left in order.
    pub state: Option<FsState>,
    /// Journal transactions replayed in memory.
    pub transactions_replayed: u64,
    /// Whether the times of its files are local times of unknown zone.
    pub local_times: bool,
    /// How far it could be resolved.
    pub status: VolumeStatus,
    /// Why it is not resolved.
    pub reason: Option<String>,
    /// What it was called in base, where it had another name there.
    pub base_volume: Option<String>,
    /// Its first byte in base, where it lay elsewhere.
    pub base_start: Option<u64>,
    /// The disk that it started on in base, where it was another one.
    pub base_disk: Option<u32>,
    /// Changed blocks (see [`Header::block_size`]) that lie in it in full or in part.
    pub changed_blocks: u64,
    /// The accounting of this volume alone.
    pub classes: BTreeMap<Class, ClassBytes>,
}

impl VolumeRecord {
    /// Where it starts, as people read it: the disk too, where there are several.
    #[must_use]
    pub fn place(&self) -> String {
        match self.disk {
            Some(disk) => format!("byte {} of disk {disk}", self.start),
            None => format!("byte {}", self.start),
        }
    }
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// In merged only, and its file had no path that went away.
    Added,
    /// In base only, likewise.
    Deleted,
    /// Same file; a link went and a link came.
    Renamed,
    /// In both; the content differs.
    Modified,
    /// In both; the content is equal and attributes differ.
    Metadata,
    /// In both with another file type.
    Type,
}

impl ChangeKind {
    /// All kinds, in report order.
    pub const ALL: [Self; 6] = [
        Self::Added,
        Self::Deleted,
        Self::Renamed,
        Self::Modified,
        Self::Metadata,
        Self::Type,
    ];

    /// The word the report uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Deleted => "deleted",
            Self::Renamed => "renamed",
            Self::Modified => "modified",
            Self::Metadata => "metadata",
            Self::Type => "type",
        }
    }

    /// The letter people and `--name-status` see.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Deleted => 'D',
            Self::Renamed => 'R',
            Self::Modified => 'M',
            Self::Metadata => 'm',
            Self::Type => 'T',
        }
    }
}

/// A changed path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Index into [`Report::volumes`].
    pub volume: usize,
    /// What happened.
    pub change: ChangeKind,
    /// The path in merged; for a deleted file the one in base.
    pub path: PathBytes,
    /// The path in base of a renamed file.
    pub from: Option<PathBytes>,
    /// All paths of the file in the view that `path` is of, sorted; `path` among them. Shared by the
    /// records of a file with very many of them.
    pub links: Arc<[PathBytes]>,
    /// Kind of file, in the view that `path` is of.
    pub kind: FileKind,
    /// Another file stands at the path.
    pub replaced: bool,
    /// Whether data or size (for a directory its names, for a symlink its target) differ.
    pub content_changed: bool,
    /// Names of the attributes that differ, in the fixed order mode uid gid mtime ctime atime
    /// btime nlink rdev flags xattr, then the filesystem's own.
    pub attributes: Vec<&'static str>,
    /// The file in base; `None` where it is not there, or was not examined.
    pub base: Option<Attributes>,
    /// The file in merged, likewise.
    pub merged: Option<Attributes>,
    /// Bytes of the file's content that are new or differ from what stood at their place in the
    /// file, wherever either lies; of a file that went, those that went. Holes are none, and what
    /// one record counted (a file with several names) another does not. `None` for what is no
    /// regular file, and where it is not known.
    pub content_bytes: Option<u64>,
    /// Differing bytes within `ranges`.
    pub changed_bytes: u64,
    /// The file's data that lies in changed blocks and differs, block by block, coalesced.
    pub ranges: Vec<ChangedRange>,
}

/// A piece of a file's data that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangedRange {
    /// The view in which the file has its data there.
    pub view: View,
    /// The named stream.
    pub stream: Option<RawName>,
    /// Offset in the file (in the stream); `None` where the bytes are encoded.
    pub file_offset: Option<u64>,
    /// Bytes.
    pub length: u64,
    /// Offset on the disk.
    pub disk_offset: u64,
    /// The disk that it is on, from 1 on, where there are several.
    pub disk: Option<u32>,
}

impl ChangedRange {
    /// `length` bytes of a file's data at `disk_offset`, at a place of the file that is not known.
    #[must_use]
    pub const fn new(view: View, disk_offset: u64, length: u64) -> Self {
        Self {
            view,
            stream: None,
            file_offset: None,
            length,
            disk_offset,
            disk: None,
        }
    }
}

/// A piece of changed blocks that is in no change's ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Region {
    /// Index into [`Report::volumes`]; `None` outside every volume.
    pub volume: Option<usize>,
    /// Its class.
    pub class: Class,
    /// The finer word; empty for none.
    pub detail: &'static str,
    /// Offset on the disk.
    pub start: u64,
    /// The disk that it is on, from 1 on, where there are several.
    pub disk: Option<u32>,
    /// Bytes.
    pub length: u64,
    /// Differing bytes.
    pub changed: u64,
    /// The fields that differ, where it is known which records lie there.
    pub fields: Option<Vec<FieldChange>>,
    /// Differing bytes that are in none of them.
    pub unnamed: u64,
    /// Whether more fields differ than are told.
    pub more_fields: bool,
}

/// A field of an on-disk record that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldChange {
    /// What the record is: `superblock`, `inode`.
    pub record: &'static str,
    /// Where the record begins on the disk.
    pub start: u64,
    /// The field, as the specification writes it; of an array `name[n]`.
    pub name: Cow<'static, str>,
    /// Before and after; `None` for what is too long to be shown.
    pub values: Option<[FieldValue; 2]>,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldValue {
    /// An unsigned number.
    Number(u64),
    /// Bytes as they stand.
    Bytes(Vec<u8>),
}

/// A piece of changed blocks that no one claims.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unresolved {
    /// Index into [`Report::volumes`]; `None` outside every volume.
    pub volume: Option<usize>,
    /// Offset on the disk.
    pub start: u64,
    /// The disk that it is on, from 1 on, where there are several.
    pub disk: Option<u32>,
    /// Bytes.
    pub length: u64,
    /// Why.
    pub reason: String,
}

/// What a piece of the changed blocks was before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Before {
    /// The class of its owner in base.
    pub class: Class,
    /// Offset on the disk.
    pub start: u64,
    /// The disk that it is on, from 1 on, where there are several.
    pub disk: Option<u32>,
    /// Bytes.
    pub length: u64,
}

/// Two figures of one class, and the part of the first that people see apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassBytes {
    /// Bytes of changed blocks.
    pub bytes: u64,
    /// Those that differ.
    pub changed: u64,
    /// Those of `bytes` in blocks that were rewritten with what they held.
    pub identical: u64,
}

/// The sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Changed blocks.
    pub blocks: u64,
    /// Changed bytes: the sum of `bytes` over the classes.
    pub bytes: u64,
    /// Differing bytes: the sum of `changed` over the classes.
    pub changed: u64,
    /// Bytes in blocks that were rewritten with what they held.
    pub identical: u64,
    /// By class; a class without bytes is left out.
    pub classes: BTreeMap<Class, ClassBytes>,
    /// Number of changes by kind, before any filter of a writer.
    pub changes: BTreeMap<ChangeKind, u64>,
    /// Whether nothing was left out: no limit reached, nothing unreadable.
    pub complete: bool,
    /// Bytes that were read of the disks, counted each time: what was asked of the readers that
    /// the caller gave.
    pub bytes_read: u64,
    /// In so many requests.
    pub requests: u64,
    /// Time since the caller began, where it has a clock
    /// ([`Progress::elapsed`]).
    pub elapsed: Option<Duration>,
}

/// How much of what was asked about has an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coverage {
    /// Bytes that were asked about: those of changed blocks.
    pub bytes: u64,
    /// Those of them that have an owner, or are known to have none.
    pub resolved: u64,
    /// Differing bytes of which it is not known whose they are.
    pub unresolved_changed: u64,
}

impl Summary {
    /// Fills in what the answer cost.
    pub(crate) fn cost(&mut self, meter: &Meter, progress: &dyn Progress) {
        self.bytes_read = meter.bytes();
        self.requests = meter.requests();
        self.elapsed = progress.elapsed();
    }

    /// How much of what was asked about has an answer.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let unresolved = self.classes.get(&Class::Unresolved);
        let unresolved = unresolved.copied().unwrap_or_default();
        Coverage {
            bytes: self.bytes,
            resolved: self.bytes - unresolved.bytes.min(self.bytes),
            unresolved_changed: unresolved.changed,
        }
    }
}

impl Change {
    /// A change of `path`, of which nothing more is known yet.
    #[must_use]
    pub fn new(volume: usize, change: ChangeKind, path: PathBytes, kind: FileKind) -> Self {
        Self {
            volume,
            change,
            links: [path.clone()].into(),
            path,
            from: None,
            kind,
            replaced: false,
            content_changed: false,
            attributes: Vec::new(),
            base: None,
            merged: None,
            content_bytes: None,
            changed_bytes: 0,
            ranges: Vec::new(),
        }
    }

    /// The names of its file, where those are so many that they are given once for all records.
    #[must_use]
    pub fn names(&self) -> Option<FileNames> {
        let (view, file) = match (&self.merged, &self.base) {
            (Some(now), _) => (View::Merged, now),
            (None, then) => (View::Base, then.as_ref()?),
        };
        (self.links.len() > MANY_NAMES).then(|| FileNames {
            volume: self.volume,
            view: Some(view),
            file: file.key,
            generation: file.generation,
            paths: Arc::clone(&self.links),
        })
    }
}

/// All names of a file that has very many: given once, before the first record that is about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileNames {
    /// Index into the volumes.
    pub volume: usize,
    /// The view they are of; `None` where there is one only.
    pub view: Option<View>,
    /// The file.
    pub file: FileKey,
    /// Its generation, where it has one.
    pub generation: Option<u64>,
    /// Its paths, sorted.
    pub paths: Arc<[PathBytes]>,
}

/// A file with more names than this has them given once, as [`FileNames`].
pub const MANY_NAMES: usize = 64;

/// Given what a diff finds, as it is found, so that the changes need not fit in memory.
pub trait DiffVisitor: Sync {
    /// What is made of some changes, such as their text.
    type Made: Send;

    /// What was compared, before the first change. The accounting of the volumes is known.
    ///
    /// # Errors
    /// To end the run.
    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> crate::Result<()>;

    /// Whether [`DiffEnd::before`] is of use.
    fn wants_before(&self) -> bool {
        false
    }

    /// Takes the names of a file with more than [`MANY_NAMES`], before the first change of it. The
    /// changes carry them too.
    ///
    /// # Errors
    /// To end the run.
    fn names(&self, names: &FileNames) -> crate::Result<()> {
        let _ = names;
        Ok(())
    }

    /// Makes something of changes that follow each other. Called on many threads at the same time,
    /// where the changes were found.
    fn make(&self, changes: Vec<Change>) -> Self::Made;

    /// Takes what was made of the next changes, on one thread, while those behind are made. They
    /// come by volume, then path.
    ///
    /// # Errors
    /// To end the run.
    fn take(&self, made: Self::Made) -> crate::Result<()>;
}

/// What is known once all changes of a diff were given; see [`Report`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DiffEnd {
    /// Changed bytes that are in no change's ranges, sorted by start.
    pub regions: Vec<Region>,
    /// Changed bytes that no one claims, sorted by start.
    pub unresolved: Vec<Unresolved>,
    /// As in [`Report::before`]; empty unless the visitor [wants](DiffVisitor::wants_before) it.
    pub before: Vec<Before>,
    /// What was odd.
    pub diagnostics: Vec<Diagnostic>,
    /// The sums.
    pub summary: Summary,
}

impl DiffEnd {
    /// The end of a report that was kept.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self {
            regions: report.regions.clone(),
            unresolved: report.unresolved.clone(),
            before: report.before.clone(),
            diagnostics: report.diagnostics.clone(),
            summary: report.summary.clone(),
        }
    }
}

/// Told what `owner` and `map` find, piece by piece, so that an answer about a whole disk need not
/// fit in memory.
pub trait OwnerVisitor: Sync {
    /// What is made of some pieces, such as their text.
    type Made: Send;

    /// What is examined, before the first piece. The accounting of the volumes is not known yet.
    ///
    /// # Errors
    /// To end the run.
    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> crate::Result<()>;

    /// Takes the names of a file with more than [`MANY_NAMES`], before the first piece of it. The
    /// pieces carry them too.
    ///
    /// # Errors
    /// To end the run.
    fn names(&self, names: &FileNames) -> crate::Result<()> {
        let _ = names;
        Ok(())
    }

    /// Makes something of pieces that follow each other. Called on many threads at the same time,
    /// where the pieces were found.
    fn make(&self, records: &[OwnerRecord]) -> Self::Made;

    /// Takes what was made of the next pieces, on one thread, while those behind are made. They come
    /// by start, never overlap, and together are all that was asked for.
    ///
    /// # Errors
    /// To end the run.
    fn take(&self, made: Self::Made) -> crate::Result<()>;
}

/// What is known once all pieces were told.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OwnerEnd {
    /// What was odd.
    pub diagnostics: Vec<Diagnostic>,
    /// The sums; `bytes` is what was asked for, `changed` is 0.
    pub summary: Summary,
}

/// What `owner` and `map` found, in one piece.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OwnerReport {
    /// What was examined.
    pub header: Header,
    /// The volumes.
    pub volumes: Vec<VolumeRecord>,
    /// Pieces with one answer, by start, never overlapping; together all that was asked for.
    pub owners: Vec<OwnerRecord>,
    /// What was odd.
    pub diagnostics: Vec<Diagnostic>,
    /// The sums; `bytes` is what was asked for, `changed` is 0.
    pub summary: Summary,
}

/// A piece of the disk with one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnerRecord {
    /// Index into [`OwnerReport::volumes`]; `None` outside every volume.
    pub volume: Option<usize>,
    /// Offset on the disk.
    pub start: u64,
    /// The disk that it is on, from 1 on, where there are several.
    pub disk: Option<u32>,
    /// Bytes.
    pub length: u64,
    /// Its class.
    pub class: Class,
    /// The finer word; empty for none.
    pub detail: &'static str,
    /// Whether it is in use; `None` where that is not known.
    pub allocated: Option<bool>,
    /// The files that own it; empty for structures and free space.
    pub owners: Vec<FileOwner>,
    /// For unresolved bytes, why.
    pub reason: Option<String>,
}

impl OwnerRecord {
    /// A piece without owners, of which nothing more is known.
    #[must_use]
    pub const fn new(start: u64, length: u64, class: Class) -> Self {
        Self {
            volume: None,
            start,
            disk: None,
            length,
            class,
            detail: "",
            allocated: None,
            owners: Vec::new(),
            reason: None,
        }
    }
}

/// A file that owns a piece of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileOwner {
    /// Which file.
    pub file: FileKey,
    /// Its generation, where it is known.
    pub generation: Option<u64>,
    /// Kind, where it is known.
    pub kind: Option<FileKind>,
    /// All its paths, sorted; empty for a file that no directory names. All its pieces share them.
    pub paths: Arc<[PathBytes]>,
    /// The named stream.
    pub stream: Option<RawName>,
    /// What the bytes are to it.
    pub role: Role,
    /// Offset in the file (in the stream) of the first byte.
    pub file_offset: Option<u64>,
}

impl FileOwner {
    /// A file of which no name is known.
    #[must_use]
    pub fn new(file: FileKey, role: Role) -> Self {
        Self {
            file,
            generation: None,
            kind: None,
            paths: Arc::new([]),
            stream: None,
            role,
            file_offset: None,
        }
    }

    /// The file as the report names it.
    #[must_use]
    pub const fn shown(&self) -> ShownFile {
        self.file.shown(self.generation)
    }
}

/// The layout of a disk.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayoutReport {
    /// What was examined.
    pub header: Header,
    /// The volumes, in disk order.
    pub volumes: Vec<VolumeRecord>,
    /// Partition tables and gaps, by start.
    pub regions: Vec<Region>,
    /// What was thought of at each place, where that was wanted.
    pub candidates: Vec<CandidateRecord>,
    /// What was odd.
    pub diagnostics: Vec<Diagnostic>,
}

/// A format that was thought of for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CandidateRecord {
    /// The volume; `disk` for the whole disk.
    pub volume: String,
    /// The id of the plugin, or the name of the format.
    pub format: &'static str,
    /// For people.
    pub name: &'static str,
    /// How sure its signs are in themselves, 0 to 100.
    pub confidence: u8,
    /// Where its sign lies on the disk, where that is known.
    pub offset: Option<u64>,
    /// The disk that it is on, from 1 on, where there are several.
    pub disk: Option<u32>,
    /// Whether it won.
    pub chosen: bool,
    /// Why it won or lost.
    pub reason: String,
}
