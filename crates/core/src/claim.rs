//! Who owns a range, and in what role.

use crate::{ByteRange, Error, FileKey, FileKind, RawName, Result};

/// What a claimed range is to its owner. Ordered: where several claims of the same kind of owner
/// cover a byte, the first role in this order decides its [`Class`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// File content.
    Data,
    /// Allocated to a file and never written: reads as zeros whatever the bytes are.
    Unwritten,
    /// Directory content.
    Directory,
    /// Target of a symlink.
    Symlink,
    /// Extended attributes outside the inode.
    Xattr,
    /// Blocks that map a file: extent nodes, indirect blocks, bmap btrees, attribute lists.
    ExtentMap,
    /// The record of one file in an inode table.
    InodeRecord,
    /// An inode table, or a part of it that no file uses.
    InodeTable,
    /// A journal or log.
    Journal,
    /// What tells free from used: bitmaps, free-space btrees.
    Allocation,
    /// A superblock or its backup.
    Superblock,
    /// Group descriptors, allocation group headers.
    GroupDescriptors,
    /// Quota records.
    Quota,
    /// Boot code and boot sectors.
    Boot,
    /// A partition table.
    PartitionTable,
    /// Metadata of a volume manager.
    VolumeMetadata,
    /// Sums of the data on other devices, by which it can be computed.
    Parity,
    /// Swap space.
    Swap,
    /// Between or behind what holds anything.
    Gap,
    /// Not in use.
    Free,
}

impl Role {
    /// The word the report uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Unwritten => "unwritten",
            Self::InodeRecord => "inode-record",
            other => other.class().as_str(),
        }
    }

    /// The class the bytes are accounted in.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Data | Self::Unwritten => Class::FileData,
            Self::Directory => Class::Directory,
            Self::Symlink => Class::Symlink,
            Self::Xattr => Class::Xattr,
            Self::ExtentMap => Class::ExtentMap,
            Self::InodeRecord | Self::InodeTable => Class::InodeTable,
            Self::Journal => Class::Journal,
            Self::Allocation => Class::Allocation,
            Self::Superblock => Class::Superblock,
            Self::GroupDescriptors => Class::GroupDescriptors,
            Self::Quota => Class::Quota,
            Self::Boot => Class::Boot,
            Self::PartitionTable => Class::PartitionTable,
            Self::VolumeMetadata => Class::VolumeMetadata,
            Self::Parity => Class::Parity,
            Self::Swap => Class::Swap,
            Self::Gap => Class::Gap,
            Self::Free => Class::Free,
        }
    }
}

/// The classes of the accounting; every byte of every changed block is in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // The words are those of the report and explain themselves there.
pub enum Class {
    FileData,
    Directory,
    Symlink,
    Xattr,
    ExtentMap,
    InodeTable,
    Journal,
    Allocation,
    Superblock,
    GroupDescriptors,
    Quota,
    Boot,
    PartitionTable,
    VolumeMetadata,
    Parity,
    Swap,
    Gap,
    Free,
    Unresolved,
}

impl Class {
    /// All classes, in report order.
    pub const ALL: [Self; 19] = [
        Self::FileData,
        Self::Directory,
        Self::Symlink,
        Self::Xattr,
        Self::ExtentMap,
        Self::InodeTable,
        Self::Journal,
        Self::Allocation,
        Self::Superblock,
        Self::GroupDescriptors,
        Self::Quota,
        Self::Boot,
        Self::PartitionTable,
        Self::VolumeMetadata,
        Self::Parity,
        Self::Swap,
        Self::Gap,
        Self::Free,
        Self::Unresolved,
    ];

    /// The word the report uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FileData => "file-data",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Xattr => "xattr",
            Self::ExtentMap => "extent-map",
            Self::InodeTable => "inode-table",
            Self::Journal => "journal",
            Self::Allocation => "allocation",
            Self::Superblock => "superblock",
            Self::GroupDescriptors => "group-descriptors",
            Self::Quota => "quota",
            Self::Boot => "boot",
            Self::PartitionTable => "partition-table",
            Self::VolumeMetadata => "volume-metadata",
            Self::Parity => "parity",
            Self::Swap => "swap",
            Self::Gap => "gap",
            Self::Free => "free",
            Self::Unresolved => "unresolved",
        }
    }
}

/// An extent that several files may share, as a plugin finds it in one view of its filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtentKey(pub u64);

/// A sorted set of extents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtentSet(Vec<ExtentKey>);

impl ExtentSet {
    /// Whether `key` is in it.
    #[must_use]
    pub fn contains(&self, key: ExtentKey) -> bool {
        self.0.binary_search(&key).is_ok()
    }

    /// The extents, rising.
    pub fn iter(&self) -> std::iter::Copied<std::slice::Iter<'_, ExtentKey>> {
        self.0.iter().copied()
    }

    /// Number of extents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no extent is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<ExtentKey> for ExtentSet {
    fn from_iter<I: IntoIterator<Item = ExtentKey>>(iter: I) -> Self {
        let mut keys: Vec<ExtentKey> = iter.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        Self(keys)
    }
}

/// Who owns a range. Ordered by weight: a file outweighs a structure, which outweighs free space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A file.
    File(FileKey),
    /// The files that share an extent: the engine has [`Filesystem::sharers`] name them, and takes
    /// their claims in the place of this one.
    ///
    /// [`Filesystem::sharers`]: crate::Filesystem::sharers
    Extent(ExtentKey),
    /// The filesystem itself.
    Structure,
    /// No one.
    Free,
}

/// A range of a volume, its owner and its role.
///
/// Claims may overlap: shared blocks have several owners, and the record of one file lies within
/// an inode table. For each byte the heaviest owner decides the class (see [`Owner`] and
/// [`Role`]), and all files that claim it are its owners.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Bytes of the volume.
    pub range: ByteRange,
    /// Who owns them.
    pub owner: Owner,
    /// What they are to the owner.
    pub role: Role,
    /// For [`Role::Data`], [`Role::Unwritten`] and [`Role::Directory`]: offset in the file (or in
    /// the named stream) of the first byte of `range`. `None` for space that is the file's and
    /// stands at no place in it, such as the rest of a cluster.
    pub file_offset: Option<u64>,
    /// The named stream the bytes belong to; `None` for the unnamed content.
    pub stream: Option<RawName>,
    /// The finer, filesystem-specific word of the report (`block-bitmap`, `agf`, `$LogFile`);
    /// empty for none.
    pub detail: &'static str,
    /// Whether the bytes are the content only after decoding (compressed or encrypted), so that
    /// offsets within them mean nothing.
    pub encoded: bool,
    /// For encoded bytes of which a file has only a part: which bytes of what they decode to stand
    /// at `file_offset`.
    pub decoded: Option<Box<ByteRange>>,
    /// What kind of file owns them, where the plugin knew it anyway: no one has to ask for the
    /// file's attributes then.
    pub kind: Option<FileKind>,
    /// The generation of that file. Where `kind` is known, this is all the report says of it.
    pub generation: Option<u64>,
}

impl Claim {
    /// A claim of a file.
    #[must_use]
    pub const fn file(range: ByteRange, file: FileKey, role: Role) -> Self {
        Self::new(range, Owner::File(file), role)
    }

    /// A claim of all files that share an extent.
    #[must_use]
    pub const fn extent(range: ByteRange, extent: ExtentKey, role: Role) -> Self {
        Self::new(range, Owner::Extent(extent), role)
    }

    /// A claim of the filesystem itself, with its detail word.
    #[must_use]
    pub const fn structure(range: ByteRange, role: Role, detail: &'static str) -> Self {
        let mut claim = Self::new(range, Owner::Structure, role);
        claim.detail = detail;
        claim
    }

    /// Free space.
    #[must_use]
    pub const fn free(range: ByteRange) -> Self {
        Self::new(range, Owner::Free, Role::Free)
    }

    const fn new(range: ByteRange, owner: Owner, role: Role) -> Self {
        Self {
            range,
            owner,
            role,
            file_offset: None,
            stream: None,
            detail: "",
            encoded: false,
            decoded: None,
            kind: None,
            generation: None,
        }
    }

    /// Sets the offset in the file.
    #[must_use]
    pub const fn offset(mut self, file_offset: u64) -> Self {
        self.file_offset = Some(file_offset);
        self
    }

    /// Sets the detail word.
    #[must_use]
    pub const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = detail;
        self
    }

    /// Sets the kind of the file.
    #[must_use]
    pub const fn kind(mut self, kind: Option<FileKind>) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the generation of the file.
    #[must_use]
    pub const fn generation(mut self, generation: Option<u64>) -> Self {
        self.generation = generation;
        self
    }

    /// The part of the claim within `range`, its file offset moved along.
    #[must_use]
    pub fn clipped(&self, range: ByteRange) -> Option<Self> {
        let part = self.range.intersection(&range)?;
        let skipped = part.start() - self.range.start();
        let file_offset = self.file_offset.map(|o| o.saturating_add(skipped));
        Some(Self {
            range: part,
            file_offset,
            ..self.clone()
        })
    }
}

/// Where a plugin puts what it finds. Refuses with [`ErrorKind::Limit`](crate::ErrorKind::Limit)
/// when it has had enough; a plugin passes that error on.
pub trait Sink<T> {
    /// Takes one item.
    ///
    /// # Errors
    /// When no more may come.
    fn put(&mut self, item: T) -> Result<()>;
}

impl<T> Sink<T> for Vec<T> {
    fn put(&mut self, item: T) -> Result<()> {
        self.push(item);
        Ok(())
    }
}

/// A vector that refuses to grow past a limit.
#[derive(Debug)]
pub struct Bounded<T> {
    /// What came.
    pub items: Vec<T>,
    what: &'static str,
    limit: usize,
}

impl<T> Bounded<T> {
    /// At most `limit` of `what`.
    #[must_use]
    pub const fn new(what: &'static str, limit: usize) -> Self {
        Self {
            items: Vec::new(),
            what,
            limit,
        }
    }

    /// With room for `expected`, or for all that may come.
    #[must_use]
    pub fn expecting(mut self, expected: usize) -> Self {
        self.items.reserve(expected.min(self.limit));
        self
    }
}

impl<T> Sink<T> for Bounded<T> {
    fn put(&mut self, item: T) -> Result<()> {
        if self.items.len() >= self.limit {
            return Err(Error::limit(self.what, format!("more than {}", self.limit)));
        }
        self.items.push(item);
        Ok(())
    }
}
