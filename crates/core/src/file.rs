//! Files as the engine knows them: identity, attributes, names.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How a plugin finds a file in one view of a filesystem: what a directory entry points at. It
/// means nothing in another view; what makes two files of two views the same file is their
/// [`Lineage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// Subvolume, for filesystems that have several trees of inodes; else 0.
    pub subvolume: u64,
    /// Inode or file record number; for filesystems without such, the place of what describes the
    /// file, such as the byte of its directory entry.
    pub number: u64,
}

impl FileKey {
    /// File `number` of a filesystem without subvolumes.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self {
            subvolume: 0,
            number,
        }
    }

    /// The file as the report names it: `number:generation`, or the number alone where the
    /// filesystem has no generations; with `subvolume/` before it where there are several.
    #[must_use]
    pub const fn shown(self, generation: Option<u64>) -> ShownFile {
        ShownFile {
            key: self,
            generation,
        }
    }
}

/// A file as the report names it; see [`FileKey::shown`].
#[derive(Clone, Copy, Debug)]
pub struct ShownFile {
    key: FileKey,
    generation: Option<u64>,
}

impl fmt::Display for ShownFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.subvolume != 0 {
            write!(f, "{}/", self.key.subvolume)?;
        }
        write!(f, "{}", self.key.number)?;
        match self.generation {
            Some(generation) => write!(f, ":{generation}"),
            None => Ok(()),
        }
    }
}

/// What makes two files of two views of one filesystem the same file: bytes that are equal for
/// one file in any two views, and for no two files. Which bytes they are is the plugin's choice.
///
/// A file without a lineage is known by its path only: what has the same path and kind in the
/// other view is the same file, and it is never renamed.
#[derive(Clone)]
pub struct Lineage(Bytes);

/// Most lineages are short: of a million files each would have memory of its own.
#[derive(Clone)]
enum Bytes {
    Short(u8, [u8; SHORT]),
    Long(Arc<[u8]>),
}

const SHORT: usize = 22;

impl Lineage {
    /// No lineage.
    #[must_use]
    pub const fn none() -> Self {
        Self(Bytes::Short(0, [0; SHORT]))
    }

    /// The lineage that is `bytes`; none when there are none.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT];
        Self(
            match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
                (Some(place), Ok(length)) => {
                    place.copy_from_slice(bytes);
                    Bytes::Short(length, short)
                }
                _ => Bytes::Long(bytes.into()),
            },
        )
    }

    /// The bytes; none where it is none.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
        }
    }

    /// That of an inode or file record, whose generation changes each time its number is used
    /// anew.
    #[must_use]
    pub fn generation(number: u64, generation: u64) -> Self {
        let mut bytes = [0; 16];
        let (first, second) = bytes.split_at_mut(8);
        first.copy_from_slice(&number.to_le_bytes());
        second.copy_from_slice(&generation.to_le_bytes());
        Self::new(&bytes)
    }

    /// That of an inode of a filesystem that Linux mounts. The kernel shows the generation of
    /// regular files and directories only (`FS_IOC_GETVERSION` needs an open file), so for other
    /// kinds the number alone decides, as it does for whoever compares two mounted trees: see
    /// `docs/decisions/0004-identity-of-what-has-no-generation.md`.
    #[must_use]
    pub fn inode(kind: FileKind, number: u64, generation: u64) -> Self {
        match kind {
            FileKind::File | FileKind::Directory | FileKind::Subvolume => {
                Self::generation(number, generation)
            }
            _ => Self::new(&number.to_le_bytes()),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl Default for Lineage {
    fn default() -> Self {
        Self::none()
    }
}

impl PartialEq for Lineage {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Lineage {}

impl PartialOrd for Lineage {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Lineage {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Lineage {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

/// A sorted set of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSet {
    keys: Vec<FileKey>,
    /// Some bits for each key, one of them set by its number: most of what is not in the set is
    /// known by them, and a naming pass asks for every name of the filesystem.
    bits: Vec<u64>,
}

impl FileSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            keys: Vec::new(),
            bits: Vec::new(),
        }
    }

    /// Whether `key` is in it.
    #[must_use]
    pub fn contains(&self, key: FileKey) -> bool {
        let (word, bit) = place(key, self.bits.len());
        let maybe = self.bits.get(word).is_some_and(|word| word >> bit & 1 == 1);
        maybe && self.keys.binary_search(&key).is_ok()
    }

    /// The files, rising.
    pub fn iter(&self) -> std::iter::Copied<std::slice::Iter<'_, FileKey>> {
        self.keys.iter().copied()
    }

    /// Number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no file is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The files with a number in `from..to` (of subvolume 0), rising.
    pub fn within(&self, from: u64, to: u64) -> impl Iterator<Item = FileKey> + '_ {
        let (from, to) = (FileKey::new(from), FileKey::new(to));
        let at = self.keys.partition_point(|key| *key < from);
        let keys = self.keys.get(at..).unwrap_or_default().iter().copied();
        keys.take_while(move |key| *key < to)
    }

    /// Whether any file with a number in `from..to` (of subvolume 0) is in it.
    #[must_use]
    pub fn any_in(&self, from: u64, to: u64) -> bool {
        self.within(from, to).next().is_some()
    }
}

impl FromIterator<FileKey> for FileSet {
    fn from_iter<I: IntoIterator<Item = FileKey>>(iter: I) -> Self {
        let mut keys: Vec<FileKey> = iter.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        // 16 to 32 bits a key.
        let words = (keys.len() / 4).next_power_of_two();
        let mut bits = vec![0; words];
        for key in &keys {
            let (word, bit) = place(*key, words);
            bits[word] |= 1 << bit;
        }
        Self { keys, bits }
    }
}

/// Where the bit of `key` is in `words` of 64 bits, a power of two.
const fn place(key: FileKey, words: usize) -> (usize, u64) {
    // Neighbours set neighbouring bits, so that a dense set is exact.
    let hash = key.number ^ key.subvolume.rotate_left(32);
    let word = (hash / 64) as usize & words.wrapping_sub(1);
    (word, hash % 64)
}

/// What kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// The root directory of a subvolume or snapshot.
    Subvolume,
    /// A symbolic link (or a reparse point that acts as one).
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
}

impl FileKind {
    /// The word the report uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Subvolume => "subvolume",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::BlockDevice => "block-device",
            Self::CharDevice => "char-device",
        }
    }

    /// All kinds.
    const ALL: [Self; 8] = [
        Self::File,
        Self::Directory,
        Self::Subvolume,
        Self::Symlink,
        Self::Fifo,
        Self::Socket,
        Self::BlockDevice,
        Self::CharDevice,
    ];

    /// Its place among all kinds, for what is written down and read again in one run.
    pub(crate) fn number(self) -> u8 {
        let place = Self::ALL.iter().position(|kind| *kind == self);
        u8::try_from(place.unwrap_or_default()).unwrap_or_default()
    }

    /// The kind at a place among all kinds.
    pub(crate) fn from_number(number: u8) -> Self {
        let kind = Self::ALL.get(usize::from(number));
        kind.copied().unwrap_or(Self::File)
    }

    /// Whether it has entries: a directory, or the root of a subvolume.
    #[must_use]
    pub const fn has_entries(self) -> bool {
        matches!(self, Self::Directory | Self::Subvolume)
    }

    /// The kind in the upper four bits of a Unix mode; `None` for a value that is none.
    #[must_use]
    pub const fn from_mode(mode: u16) -> Option<Self> {
        Some(match mode & 0xF000 {
            0x1000 => Self::Fifo,
            0x2000 => Self::CharDevice,
            0x4000 => Self::Directory,
            0x6000 => Self::BlockDevice,
            0x8000 => Self::File,
            0xA000 => Self::Symlink,
            0xC000 => Self::Socket,
            _ => return None,
        })
    }
}

/// A moment, from the Unix epoch, in UTC; in the local time of whoever wrote it where
/// [`FsInfo::local_times`](crate::FsInfo::local_times) says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds, below 1,000,000,000 on a sound image.
    pub nanoseconds: u32,
}

/// A name as it lies on disk: bytes without `/` or NUL on a sound image. UTF-16 names come as
/// WTF-8, so that a lone surrogate is kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawName(Arc<[u8]>);

impl RawName {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<T: AsRef<[u8]> + ?Sized> From<&T> for RawName {
    fn from(bytes: &T) -> Self {
        Self(bytes.as_ref().into())
    }
}

impl fmt::Debug for RawName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// An extended attribute (or what a filesystem keeps like one), by its full name, such as
/// `user.mime_type`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Full name.
    pub name: RawName,
    /// Value, or something that is equal if and only if the value is.
    pub value: Arc<[u8]>,
}

/// What a filesystem knows of a file beside its content and its names. `None` where the
/// filesystem has no such thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// How it is found in this view.
    pub key: FileKey,
    /// Inode generation (`i_generation`, `di_gen`) or sequence number.
    pub generation: Option<u64>,
    /// What makes it the same file as one of the other view.
    pub lineage: Lineage,
    /// Kind.
    pub kind: FileKind,
    /// Size of the (unnamed) content in bytes. For directories whatever the filesystem says; it
    /// is not compared.
    pub size: u64,
    /// Permission bits, `0o7777` at most.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Number of links.
    pub nlink: Option<u64>,
    /// Device number of a device file, as `major << 32 | minor`.
    pub rdev: Option<u64>,
    /// Flags a user can see or set (immutable, hidden …); not those that only describe storage.
    pub flags: Option<u64>,
    /// Whether its content is encrypted (the names in a directory, the target of a symlink). Such
    /// names and targets are those that a system without the key shows.
    pub encrypted: bool,
    /// Last change of content.
    pub mtime: Option<Timestamp>,
    /// Last change of attributes.
    pub ctime: Option<Timestamp>,
    /// Last access.
    pub atime: Option<Timestamp>,
    /// Creation.
    pub btime: Option<Timestamp>,
    /// Target of a symlink.
    pub target: Option<RawName>,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
    /// Attributes only this filesystem has, by the name the report gives them, such as
    /// `("security-id", "264")` or `("project", "7")`; sorted by name.
    pub special: Vec<(&'static str, String)>,
    /// For the root of a snapshot, what it was made of: the path of that subvolume, or its UUID
    /// where it is no more. A snapshot has all files of what it was made of, so where one came or
    /// went its record stands for all that is in it.
    pub snapshot_of: Option<RawName>,
    /// The usual name of a file that no directory names, such as `<journal>`.
    pub reserved: Option<&'static str>,
}

impl Attributes {
    /// A file of `kind` of which nothing else is known, not even a lineage.
    #[must_use]
    pub const fn new(key: FileKey, kind: FileKind) -> Self {
        Self {
            key,
            generation: None,
            lineage: Lineage::none(),
            kind,
            size: 0,
            mode: None,
            uid: None,
            gid: None,
            nlink: None,
            rdev: None,
            flags: None,
            encrypted: false,
            mtime: None,
            ctime: None,
            atime: None,
            btime: None,
            target: None,
            xattrs: Vec::new(),
            special: Vec::new(),
            snapshot_of: None,
            reserved: None,
        }
    }

    /// An inode with a generation, and the lineage that follows from both.
    #[must_use]
    pub fn inode(key: FileKey, generation: u64, kind: FileKind) -> Self {
        let mut attributes = Self::new(key, kind);
        attributes.generation = Some(generation);
        attributes.lineage = Lineage::inode(kind, key.number, generation);
        attributes
    }

    /// The file as the report names it.
    #[must_use]
    pub const fn shown(&self) -> ShownFile {
        self.key.shown(self.generation)
    }
}

/// A directory entry: `parent` names `child` by `name`. `.` and `..` are not links.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The directory.
    pub parent: FileKey,
    /// The name in it.
    pub name: RawName,
    /// What it names.
    pub child: FileKey,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_of_files_holds_what_it_was_made_of(
            near in proptest::collection::vec(0..300u64, 0..40),
            far in proptest::collection::vec((0..3u64, any::<u64>()), 0..3),
        ) {
            let near = near.into_iter().map(FileKey::new);
            let far = far.into_iter().map(|(subvolume, number)| FileKey { subvolume, number });
            let keys: BTreeSet<FileKey> = near.chain(far).collect();
            let set: FileSet = keys.iter().copied().collect();
            prop_assert!(set.iter().eq(keys.iter().copied()));
            let others = (0..400).flat_map(|number| {
                [FileKey::new(number), FileKey { subvolume: 1, number }]
            });
            for key in keys.iter().copied().chain(others) {
                prop_assert_eq!(set.contains(key), keys.contains(&key));
            }
        }
    }
}
