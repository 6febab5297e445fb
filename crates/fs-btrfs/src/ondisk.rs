//! What lies on the disk, with the names of the kernel's `btrfs_tree.h`: superblock, keys, headers
//! of tree blocks, items.

use hexz_ondisk::Fields;
use hexz_resolve::{Error, Result};

/// Where the copies of the superblock lie on each device.
pub(crate) const SUPER_OFFSETS: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];
/// Bytes of a superblock.
pub(crate) const SUPER_SIZE: usize = 4096;
/// `BTRFS_MAGIC`.
pub(crate) const MAGIC: &[u8; 8] = b"_BHRfS_M";
/// Bytes at the start of each device that no chunk takes up.
pub(crate) const DEVICE_RESERVED: u64 = 1 << 20;

/// `BTRFS_SUPER_FLAG_SEEDING`.
const SEEDING: u64 = 1 << 32;

/// Ids of trees and of other objects.
pub(crate) mod objectid {
    pub(crate) const ROOT_TREE: u64 = 1;
    pub(crate) const EXTENT_TREE: u64 = 2;
    pub(crate) const CHUNK_TREE: u64 = 3;
    pub(crate) const DEV_TREE: u64 = 4;
    pub(crate) const FS_TREE: u64 = 5;
    pub(crate) const CSUM_TREE: u64 = 7;
    pub(crate) const QUOTA_TREE: u64 = 8;
    pub(crate) const UUID_TREE: u64 = 9;
    pub(crate) const FREE_SPACE_TREE: u64 = 10;
    pub(crate) const BLOCK_GROUP_TREE: u64 = 11;
    pub(crate) const RAID_STRIPE_TREE: u64 = 12;
    /// `BTRFS_TREE_LOG_OBJECTID`.
    pub(crate) const TREE_LOG: u64 = 0u64.wrapping_sub(6);
    /// `BTRFS_TREE_RELOC_OBJECTID`.
    pub(crate) const TREE_RELOC: u64 = 0u64.wrapping_sub(8);
    /// `BTRFS_DATA_RELOC_TREE_OBJECTID`.
    pub(crate) const DATA_RELOC_TREE: u64 = 0u64.wrapping_sub(9);
    pub(crate) const EXTENT_CSUM: u64 = 0u64.wrapping_sub(10);
    /// The first id of a file, and that of the root directory of each subvolume.
    pub(crate) const FIRST_FREE: u64 = 256;
    pub(crate) const LAST_FREE: u64 = 0u64.wrapping_sub(256);
    /// `BTRFS_FIRST_CHUNK_TREE_OBJECTID`.
    pub(crate) const FIRST_CHUNK: u64 = 256;
    pub(crate) const DEV_ITEMS: u64 = 1;
}

/// Types of items.
pub(crate) mod item {
    pub(crate) const INODE_ITEM: u8 = 1;
    pub(crate) const INODE_REF: u8 = 12;
    pub(crate) const INODE_EXTREF: u8 = 13;
    pub(crate) const XATTR_ITEM: u8 = 24;
    pub(crate) const VERITY_DESC_ITEM: u8 = 36;
    pub(crate) const VERITY_MERKLE_ITEM: u8 = 37;
    pub(crate) const DIR_LOG_INDEX: u8 = 72;
    pub(crate) const DIR_ITEM: u8 = 84;
    pub(crate) const DIR_INDEX: u8 = 96;
    pub(crate) const EXTENT_DATA: u8 = 108;
    pub(crate) const EXTENT_CSUM: u8 = 128;
    pub(crate) const ROOT_ITEM: u8 = 132;
    pub(crate) const ROOT_BACKREF: u8 = 144;
    pub(crate) const EXTENT_ITEM: u8 = 168;
    pub(crate) const METADATA_ITEM: u8 = 169;
    pub(crate) const EXTENT_OWNER_REF: u8 = 172;
    pub(crate) const TREE_BLOCK_REF: u8 = 176;
    pub(crate) const EXTENT_DATA_REF: u8 = 178;
    pub(crate) const SHARED_BLOCK_REF: u8 = 182;
    pub(crate) const SHARED_DATA_REF: u8 = 184;
    pub(crate) const DEV_ITEM: u8 = 216;
    pub(crate) const CHUNK_ITEM: u8 = 228;
}

/// Bits of `incompat_flags`.
pub(crate) mod incompat {
    pub(crate) const RAID56: u64 = 1 << 7;
    pub(crate) const NO_HOLES: u64 = 1 << 9;
    pub(crate) const METADATA_UUID: u64 = 1 << 10;
    /// All that are read: up to `RAID1C34`, and `SIMPLE_QUOTA`.
    pub(crate) const KNOWN: u64 = 0xFFF | 1 << 16;
    /// What is refused, by name.
    pub(crate) const REFUSED: [(u64, &str); 5] = [
        (1 << 12, "zoned"),
        (1 << 13, "extent-tree-v2"),
        (1 << 14, "raid-stripe-tree"),
        (1 << 17, "remap-tree"),
        (1 << 18, "unknown bit 18"),
    ];
}

/// Bits of the type of a block group or chunk.
pub(crate) mod profile {
    pub(crate) const RAID0: u64 = 1 << 3;
    pub(crate) const RAID10: u64 = 1 << 6;
    pub(crate) const RAID5: u64 = 1 << 7;
    pub(crate) const RAID6: u64 = 1 << 8;
}

/// A key: items of a tree are sorted by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) objectid: u64,
    pub(crate) kind: u8,
    pub(crate) offset: u64,
}

impl Key {
    pub(crate) const LENGTH: usize = 17;

    pub(crate) const fn new(objectid: u64, kind: u8, offset: u64) -> Self {
        Self {
            objectid,
            kind,
            offset,
        }
    }

    /// The key after it with the same object and type, or the first one of the next type.
    pub(crate) fn next(self) -> Option<Self> {
        let Self {
            objectid,
            kind,
            offset,
        } = self;
        match offset.checked_add(1) {
            Some(offset) => Some(Self::new(objectid, kind, offset)),
            None => Some(Self::new(objectid, kind.checked_add(1)?, 0)),
        }
    }

    /// Its bytes.
    pub(crate) fn encode(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let parts = self.objectid.to_le_bytes().into_iter();
        let parts = parts.chain([self.kind]).chain(self.offset.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = from;
        }
        bytes
    }

    pub(crate) fn parse(fields: &Fields<'_>, at: usize) -> Result<Self> {
        let bytes = fields.sub("key", at, Self::LENGTH)?;
        Ok(Self {
            objectid: bytes.le64(0)?,
            kind: bytes.u8(8)?,
            offset: bytes.le64(9)?,
        })
    }
}

/// `struct btrfs_super_block`, checked as far as later code relies on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) csum_type: u16,
    pub(crate) fsid: [u8; 16],
    /// What headers of tree blocks carry: differs from `fsid` once that was changed.
    pub(crate) metadata_uuid: [u8; 16],
    pub(crate) generation: u64,
    pub(crate) root: Root,
    pub(crate) chunk_root: Root,
    /// Block 0 when there is no log.
    pub(crate) log_root: Root,
    pub(crate) total_bytes: u64,
    pub(crate) num_devices: u64,
    pub(crate) sectorsize: u32,
    pub(crate) nodesize: u32,
    pub(crate) incompat_flags: u64,
    pub(crate) devid: u64,
    pub(crate) device_bytes: u64,
    pub(crate) device_uuid: [u8; 16],
    /// Whether it is never written any more, so that others can grow out of it.
    pub(crate) is_seed: bool,
    pub(crate) label: Vec<u8>,
    pub(crate) sys_chunk_array: Vec<u8>,
}

/// Where a tree begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Root {
    /// Logical address of its root block.
    pub(crate) bytenr: u64,
    pub(crate) level: u8,
    /// Generation that the block must have; `None` where none is noted.
    pub(crate) generation: Option<u64>,
}

impl Superblock {
    /// The fields of a superblock whose checksum was looked at, when they agree with each other.
    /// `place` is its offset on its device.
    pub(crate) fn parse(fields: &Fields<'_>, place: u64) -> Result<Self> {
        if fields.bytes(64, MAGIC.len())? != MAGIC {
            return Err(fields.corrupt(64).message("no btrfs magic"));
        }
        if fields.le64(48)? != place {
            let error = fields.corrupt(48).expected(format_args!("bytenr {place}"));
            return Err(error.found(fields.le64(48)?));
        }
        let (sectorsize, nodesize) = (fields.le32(144)?, fields.le32(148)?);
        for (at, size) in [(144, sectorsize), (148, nodesize)] {
            if !size.is_power_of_two() || !(4096..=65536).contains(&size) {
                let error = fields.corrupt(at).expected("a size from 4096 to 65536");
                return Err(error.found(size));
            }
        }
        let array = usize::try_from(fields.le32(160)?).ok();
        let Some(array) = array.filter(|length| *length <= 2048) else {
            let error = fields.corrupt(160).expected("at most 2048 bytes");
            return Err(error.found(fields.le32(160)?));
        };
        let incompat_flags = fields.le64(188)?;
        let fsid = fields.array(32)?;
        let label = fields.bytes(299, 256)?;
        let root = |at, level, generation| -> Result<Root> {
            Ok(Root {
                bytenr: fields.le64(at)?,
                level: fields.u8(level)?,
                generation,
            })
        };
        Ok(Self {
            csum_type: fields.le16(196)?,
            fsid,
            metadata_uuid: match incompat_flags & incompat::METADATA_UUID {
                0 => fsid,
                _ => fields.array(571)?,
            },
            generation: fields.le64(72)?,
            root: root(80, 198, Some(fields.le64(72)?))?,
            chunk_root: root(88, 199, Some(fields.le64(164)?))?,
            log_root: root(96, 200, fields.le64(72)?.checked_add(1))?,
            total_bytes: fields.le64(112)?,
            num_devices: fields.le64(136)?,
            sectorsize,
            nodesize,
            incompat_flags,
            devid: fields.le64(201)?,
            device_bytes: fields.le64(209)?,
            device_uuid: fields.array(267)?,
            is_seed: fields.le64(56)? & SEEDING != 0,
            label: label.split(|b| *b == 0).next().unwrap_or_default().to_vec(),
            sys_chunk_array: fields.bytes(811, array)?.to_vec(),
        })
    }

    /// Says by name what is not read.
    pub(crate) fn check_features(&self) -> Result<()> {
        let unknown = self.incompat_flags & !incompat::KNOWN;
        if unknown == 0 {
            return Ok(());
        }
        let named = incompat::REFUSED
            .iter()
            .filter(|(bit, _)| unknown & bit != 0)
            .map(|(_, name)| (*name).to_owned());
        let known_names = incompat::REFUSED.iter().fold(0, |all, (bit, _)| all | bit);
        let rest = unknown & !known_names;
        let rest = (rest != 0).then(|| format!("{rest:#x}"));
        let names: Vec<String> = named.chain(rest).collect();
        let text = format!("incompat_flags {}", names.join(", "));
        Err(Error::unsupported("feature", text))
    }
}

/// `struct btrfs_inode_item`, whose fields lie at fixed offsets.
#[derive(Clone, Copy)]
pub(crate) struct InodeItem<'a>(pub(crate) Fields<'a>);

impl InodeItem<'_> {
    /// Where fields lie that are changed when a log is replayed.
    pub(crate) const GENERATION: usize = 0;
    pub(crate) const SIZE: usize = 16;
    pub(crate) const NLINK: usize = 40;

    /// The transaction that made the inode.
    pub(crate) fn generation(&self) -> Result<u64> {
        self.0.le64(0)
    }

    pub(crate) fn size(&self) -> Result<u64> {
        self.0.le64(16)
    }

    pub(crate) fn nlink(&self) -> Result<u32> {
        self.0.le32(40)
    }

    pub(crate) fn uid(&self) -> Result<u32> {
        self.0.le32(44)
    }

    pub(crate) fn gid(&self) -> Result<u32> {
        self.0.le32(48)
    }

    pub(crate) fn mode(&self) -> Result<u32> {
        self.0.le32(52)
    }

    /// The kernel's `dev_t`: twelve bits of major number above twenty of minor number.
    pub(crate) fn rdev(&self) -> Result<u64> {
        self.0.le64(56)
    }

    pub(crate) fn flags(&self) -> Result<u64> {
        self.0.le64(64)
    }
}

/// How a file extent is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtentKind {
    /// In the item itself, behind its first 21 bytes.
    Inline,
    Regular,
    /// Allocated and never written.
    Prealloc,
}

/// `struct btrfs_file_extent_item`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileExtent {
    pub(crate) kind: ExtentKind,
    /// Bytes of the whole extent once it is decoded.
    pub(crate) ram_bytes: u64,
    /// 0 none, 1 zlib, 2 lzo, 3 zstd.
    pub(crate) compression: u8,
    /// Whether a transformation is noted that no kernel makes: encryption, or another encoding.
    pub(crate) foreign: bool,
    /// Logical address of the extent; 0 for a hole.
    pub(crate) disk_bytenr: u64,
    pub(crate) disk_num_bytes: u64,
    /// Where in the decoded extent the file's part of it begins.
    pub(crate) offset: u64,
    /// Bytes of the file.
    pub(crate) num_bytes: u64,
}

impl FileExtent {
    /// Bytes before inline data.
    pub(crate) const HEADER: usize = 21;
    /// Bytes of an item without inline data.
    pub(crate) const LENGTH: usize = 53;

    pub(crate) fn parse(fields: &Fields<'_>) -> Result<Self> {
        let kind = match fields.u8(20)? {
            0 => ExtentKind::Inline,
            1 => ExtentKind::Regular,
            2 => ExtentKind::Prealloc,
            other => return Err(fields.corrupt(20).found(format_args!("type {other}"))),
        };
        let ram_bytes = fields.le64(8)?;
        let mut extent = Self {
            kind,
            ram_bytes,
            compression: fields.u8(16)?,
            foreign: fields.u8(17)? != 0 || fields.le16(18)? != 0,
            disk_bytenr: 0,
            disk_num_bytes: 0,
            offset: 0,
            num_bytes: ram_bytes,
        };
        if kind != ExtentKind::Inline {
            extent.disk_bytenr = fields.le64(21)?;
            extent.disk_num_bytes = fields.le64(29)?;
            extent.offset = fields.le64(37)?;
            extent.num_bytes = fields.le64(45)?;
            let inner = extent.offset.checked_add(extent.num_bytes);
            let whole = match extent.compression {
                0 => extent.disk_num_bytes,
                _ => extent.ram_bytes,
            };
            if extent.disk_bytenr != 0 && inner.is_none_or(|end| end > whole) {
                let error = fields.corrupt(37).expected(format_args!("within {whole}"));
                return Err(error.found(format_args!("{}+{}", extent.offset, extent.num_bytes)));
            }
        }
        Ok(extent)
    }

    /// Whether the bytes lie there as the file has them.
    pub(crate) const fn is_plain(&self) -> bool {
        self.compression == 0 && !self.foreign
    }
}

/// `struct btrfs_dir_item`: a directory entry or an extended attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirItem<'a> {
    /// Where in its item it begins.
    pub(crate) at: usize,
    /// What an entry names: an inode of this tree, or the root of another.
    pub(crate) location: Key,
    /// `BTRFS_FT_*`.
    pub(crate) kind: u8,
    pub(crate) name: &'a [u8],
    pub(crate) data: &'a [u8],
}

impl<'a> DirItem<'a> {
    const HEADER: usize = 30;

    /// All that an item holds; several where hashes collide.
    pub(crate) fn all(fields: &Fields<'a>) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        let mut at = 0usize;
        while at < fields.len() {
            let header = fields.sub("directory entry", at, Self::HEADER)?;
            let data_len = usize::from(header.le16(25)?);
            let name_len = usize::from(header.le16(27)?);
            let name_at = at.saturating_add(Self::HEADER);
            let data_at = name_at.saturating_add(name_len);
            found.push(Self {
                at,
                location: Key::parse(&header, 0)?,
                kind: header.u8(29)?,
                name: fields.bytes(name_at, name_len)?,
                data: fields.bytes(data_at, data_len)?,
            });
            at = data_at.saturating_add(data_len);
        }
        Ok(found)
    }

    /// Bytes that it takes up in its item.
    pub(crate) const fn length(&self) -> usize {
        Self::HEADER
            .saturating_add(self.name.len())
            .saturating_add(self.data.len())
    }

    /// The bytes of an entry, as they lie in an item.
    pub(crate) fn encode(location: Key, transaction: u64, kind: u8, name: &[u8]) -> Vec<u8> {
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let mut bytes = location.encode().to_vec();
        bytes.extend(transaction.to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(length.to_le_bytes());
        bytes.push(kind);
        bytes.extend(name);
        bytes
    }
}

/// A name of an inode: its directory, and what it is called there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InodeName<'a> {
    /// Where in its item it begins, and how many bytes it takes up there.
    pub(crate) at: usize,
    pub(crate) length: usize,
    pub(crate) parent: u64,
    /// The number of its entry in the directory: the offset of the key of its `DIR_INDEX`.
    pub(crate) index: u64,
    pub(crate) name: &'a [u8],
}

impl<'a> InodeName<'a> {
    /// The names in an `INODE_REF` (whose key has the parent) or `INODE_EXTREF`.
    pub(crate) fn all(key: Key, fields: &Fields<'a>) -> Result<Vec<Self>> {
        let extended = key.kind == item::INODE_EXTREF;
        let header = if extended { 18usize } else { 10 };
        let mut found = Vec::new();
        let mut at = 0usize;
        while at < fields.len() {
            let (parent, index_at) = if extended {
                (fields.le64(at)?, at.saturating_add(8))
            } else {
                (key.offset, at)
            };
            let length = usize::from(fields.le16(index_at.saturating_add(8))?);
            let name_at = at.saturating_add(header);
            let name = fields.bytes(name_at, length)?;
            let end = name_at.saturating_add(length);
            found.push(Self {
                at,
                length: end.saturating_sub(at),
                parent,
                index: fields.le64(index_at)?,
                name,
            });
            at = end;
        }
        Ok(found)
    }
}
