//! On-disk structures of ext2, ext3 and ext4, by their names in the specification.
//!
//! <https://www.kernel.org/doc/html/latest/filesystems/ext4/index.html>

use hexz_ondisk::Fields;
use hexz_resolve::{Error, Result};

/// Where the primary superblock lies.
pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
/// Bytes of a superblock.
pub(crate) const SUPERBLOCK_SIZE: usize = 1024;
/// `s_magic`.
pub(crate) const MAGIC: u16 = 0xEF53;
/// The root directory.
pub(crate) const ROOT_INO: u64 = 2;

/// `s_feature_compat`.
pub(crate) mod compat {
    pub(crate) const HAS_JOURNAL: u32 = 0x4;
    pub(crate) const RESIZE_INODE: u32 = 0x10;
    pub(crate) const DIR_INDEX: u32 = 0x20;
    pub(crate) const SPARSE_SUPER2: u32 = 0x200;
    pub(crate) const ORPHAN_FILE: u32 = 0x1000;
}

/// `s_feature_incompat`.
pub(crate) mod incompat {
    pub(crate) const FILETYPE: u32 = 0x2;
    pub(crate) const RECOVER: u32 = 0x4;
    pub(crate) const JOURNAL_DEV: u32 = 0x8;
    pub(crate) const META_BG: u32 = 0x10;
    pub(crate) const EXTENTS: u32 = 0x40;
    pub(crate) const BITS64: u32 = 0x80;
    pub(crate) const MMP: u32 = 0x100;
    pub(crate) const FLEX_BG: u32 = 0x200;
    pub(crate) const EA_INODE: u32 = 0x400;
    pub(crate) const CSUM_SEED: u32 = 0x2000;
    pub(crate) const LARGEDIR: u32 = 0x4000;
    pub(crate) const INLINE_DATA: u32 = 0x8000;
    pub(crate) const ENCRYPT: u32 = 0x1_0000;
    pub(crate) const CASEFOLD: u32 = 0x2_0000;

    /// All that is implemented.
    pub(crate) const KNOWN: u32 = FILETYPE
        | RECOVER
        | META_BG
        | EXTENTS
        | BITS64
        | MMP
        | FLEX_BG
        | EA_INODE
        | CSUM_SEED
        | LARGEDIR
        | INLINE_DATA
        | ENCRYPT
        | CASEFOLD;

    /// The names of bits, as the kernel's documentation writes them.
    pub(crate) const NAMES: [(u32, &str); 3] = [
        (0x1, "compression"),
        (JOURNAL_DEV, "journal_dev"),
        (0x1000, "dirdata"),
    ];
}

/// `s_feature_ro_compat`.
pub(crate) mod ro_compat {
    pub(crate) const SPARSE_SUPER: u32 = 0x1;
    pub(crate) const GDT_CSUM: u32 = 0x10;
    pub(crate) const BIGALLOC: u32 = 0x200;
    pub(crate) const METADATA_CSUM: u32 = 0x400;
}

/// The fields of a superblock that are used here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Superblock {
    pub(crate) s_inodes_count: u32,
    pub(crate) s_blocks_count: u64,
    pub(crate) s_first_data_block: u32,
    /// Bytes of a block: 1024 << `s_log_block_size`.
    pub(crate) block_size: u32,
    /// Blocks of a cluster; 1 without `bigalloc`.
    pub(crate) cluster_blocks: u32,
    pub(crate) s_blocks_per_group: u32,
    pub(crate) s_clusters_per_group: u32,
    pub(crate) s_inodes_per_group: u32,
    pub(crate) s_state: u16,
    pub(crate) s_creator_os: u32,
    pub(crate) s_rev_level: u32,
    pub(crate) s_first_ino: u32,
    pub(crate) s_inode_size: u16,
    pub(crate) s_feature_compat: u32,
    pub(crate) s_feature_incompat: u32,
    pub(crate) s_feature_ro_compat: u32,
    pub(crate) s_uuid: [u8; 16],
    pub(crate) s_volume_name: [u8; 16],
    pub(crate) s_reserved_gdt_blocks: u16,
    pub(crate) s_journal_inum: u32,
    pub(crate) s_journal_dev: u32,
    pub(crate) s_last_orphan: u32,
    pub(crate) s_hash_seed: [u8; 16],
    pub(crate) s_def_hash_version: u8,
    pub(crate) s_flags: u32,
    pub(crate) s_jnl_backup_type: u8,
    /// Bytes of a group descriptor: 32 without `64bit`.
    pub(crate) descriptor_size: u16,
    pub(crate) s_first_meta_bg: u32,
    pub(crate) s_mkfs_time: u32,
    pub(crate) s_jnl_blocks: [u8; 68],
    pub(crate) s_mmp_block: u64,
    /// Groups whose bitmaps and inode tables stand together (`flex_bg`), as a power of two.
    pub(crate) s_log_groups_per_flex: u8,
    pub(crate) s_usr_quota_inum: u32,
    pub(crate) s_grp_quota_inum: u32,
    pub(crate) s_prj_quota_inum: u32,
    pub(crate) s_backup_bgs: [u32; 2],
    pub(crate) s_checksum_seed: u32,
    pub(crate) s_orphan_file_inum: u32,
}

impl Superblock {
    /// Reads and checks a superblock.
    pub(crate) fn parse(f: Fields<'_>) -> Result<Self> {
        let magic = f.le16(0x38)?;
        if magic != MAGIC {
            let found = format_args!("{magic:#06x}");
            return Err(f.corrupt(0x38).expected("magic 0xef53").found(found));
        }
        let s_feature_incompat = f.le32(0x60)?;
        let s_feature_ro_compat = f.le32(0x64)?;
        let log = f.le32(0x18)?;
        if log > 6 {
            return Err(f
                .corrupt(0x18)
                .expected("s_log_block_size up to 6")
                .found(log));
        }
        let block_size = 1024u32 << log;
        let bigalloc = s_feature_ro_compat & ro_compat::BIGALLOC != 0;
        let log_cluster = f.le32(0x1C)?;
        let cluster_blocks = match log_cluster.checked_sub(log) {
            _ if !bigalloc => 1,
            Some(ratio @ 0..=16) => 1u32 << ratio,
            _ => {
                return Err(f
                    .corrupt(0x1C)
                    .expected("s_log_cluster_size")
                    .found(log_cluster));
            }
        };
        let bits64 = s_feature_incompat & incompat::BITS64 != 0;
        let blocks_hi = if bits64 { f.le32(0x150)? } else { 0 };
        let s_rev_level = f.le32(0x4C)?;
        let descriptor_size = if bits64 { f.le16(0xFE)? } else { 32 };
        let superblock = Self {
            s_inodes_count: f.le32(0)?,
            s_blocks_count: u64::from(blocks_hi) << 32 | u64::from(f.le32(4)?),
            s_first_data_block: f.le32(0x14)?,
            block_size,
            cluster_blocks,
            s_blocks_per_group: f.le32(0x20)?,
            s_clusters_per_group: f.le32(0x24)?,
            s_inodes_per_group: f.le32(0x28)?,
            s_state: f.le16(0x3A)?,
            s_creator_os: f.le32(0x48)?,
            s_rev_level,
            s_first_ino: if s_rev_level == 0 { 11 } else { f.le32(0x54)? },
            s_inode_size: if s_rev_level == 0 { 128 } else { f.le16(0x58)? },
            s_feature_compat: f.le32(0x5C)?,
            s_feature_incompat,
            s_feature_ro_compat,
            s_uuid: f.array(0x68)?,
            s_volume_name: f.array(0x78)?,
            s_reserved_gdt_blocks: f.le16(0xCE)?,
            s_journal_inum: f.le32(0xE0)?,
            s_journal_dev: f.le32(0xE4)?,
            s_last_orphan: f.le32(0xE8)?,
            s_hash_seed: f.array(0xEC)?,
            s_def_hash_version: f.u8(0xFC)?,
            s_flags: f.le32(0x160)?,
            s_jnl_backup_type: f.u8(0xFD)?,
            descriptor_size,
            s_first_meta_bg: f.le32(0x104)?,
            s_mkfs_time: f.le32(0x108)?,
            s_jnl_blocks: f.array(0x10C)?,
            s_mmp_block: f.le64(0x168)?,
            s_log_groups_per_flex: f.u8(0x174)?,
            s_usr_quota_inum: f.le32(0x240)?,
            s_grp_quota_inum: f.le32(0x244)?,
            s_prj_quota_inum: f.le32(0x26C)?,
            s_backup_bgs: [f.le32(0x24C)?, f.le32(0x250)?],
            s_checksum_seed: f.le32(0x270)?,
            s_orphan_file_inum: f.le32(0x280)?,
        };
        superblock.check(f)?;
        Ok(superblock)
    }

    fn check(&self, f: Fields<'_>) -> Result<()> {
        let bits = self.block_size.saturating_mul(8);
        let wrong = |at: usize, expected: &str, found: u64| {
            Err(f.corrupt(at).expected(expected).found(found))
        };
        if self.s_blocks_count == 0 {
            return wrong(4, "s_blocks_count above 0", 0);
        }
        if u64::from(self.s_first_data_block) >= self.s_blocks_count {
            return wrong(
                0x14,
                "s_first_data_block in the filesystem",
                self.s_first_data_block.into(),
            );
        }
        let clusters = self
            .s_blocks_per_group
            .checked_div(self.cluster_blocks)
            .unwrap_or(0);
        let whole = self.s_blocks_per_group.is_multiple_of(self.cluster_blocks);
        if clusters == 0 || clusters > bits || !whole {
            return wrong(
                0x20,
                "s_blocks_per_group that a bitmap holds",
                self.s_blocks_per_group.into(),
            );
        }
        if self.s_inodes_per_group == 0 || self.s_inodes_per_group > bits {
            return wrong(
                0x28,
                "s_inodes_per_group that a bitmap holds",
                self.s_inodes_per_group.into(),
            );
        }
        let size = u32::from(self.s_inode_size);
        if size < 128 || size > self.block_size || !size.is_power_of_two() {
            return wrong(
                0x58,
                "s_inode_size, a power of 2 from 128 to a block",
                size.into(),
            );
        }
        let size = self.descriptor_size;
        if size < 32 || u32::from(size) > self.block_size || !size.is_power_of_two() {
            return wrong(
                0xFE,
                "s_desc_size, a power of 2 from 32 to a block",
                size.into(),
            );
        }
        Ok(())
    }

    /// Whether a `s_feature_compat` bit is set.
    pub(crate) fn compat(&self, bit: u32) -> bool {
        self.s_feature_compat & bit != 0
    }

    /// Whether a `s_feature_incompat` bit is set.
    pub(crate) fn incompat(&self, bit: u32) -> bool {
        self.s_feature_incompat & bit != 0
    }

    /// Whether a `s_feature_ro_compat` bit is set.
    pub(crate) fn ro_compat(&self, bit: u32) -> bool {
        self.s_feature_ro_compat & bit != 0
    }

    /// An error that names the incompatible features that are not implemented.
    pub(crate) fn check_features(&self) -> Result<()> {
        let unknown = self.s_feature_incompat & !incompat::KNOWN;
        if unknown == 0 {
            return Ok(());
        }
        let mut names: Vec<String> = Vec::new();
        for bit in (0..32).map(|n| 1u32 << n).filter(|bit| unknown & bit != 0) {
            let known = incompat::NAMES.iter().find(|(b, _)| *b == bit);
            names.push(known.map_or_else(|| format!("{bit:#x}"), |(_, name)| (*name).to_owned()));
        }
        let message = format!("incompatible features: {}", names.join(", "));
        Err(Error::unsupported("ext4 superblock", message).at(SUPERBLOCK_OFFSET))
    }

    /// The name of the kind of filesystem, by its features.
    pub(crate) fn kind(&self) -> &'static str {
        let ext4_incompat = !(incompat::FILETYPE | incompat::RECOVER | incompat::META_BG);
        // sparse_super, large_file and btree_dir are as old as ext2.
        let ext4_ro = !0x7u32;
        if self.s_feature_incompat & ext4_incompat != 0 || self.s_feature_ro_compat & ext4_ro != 0 {
            "ext4"
        } else if self.compat(compat::HAS_JOURNAL) {
            "ext3"
        } else {
            "ext2"
        }
    }

    /// Number of block groups.
    pub(crate) fn groups(&self) -> u64 {
        let blocks = self
            .s_blocks_count
            .saturating_sub(u64::from(self.s_first_data_block));
        blocks.div_ceil(u64::from(self.s_blocks_per_group.max(1)))
    }

    /// The seed of metadata checksums.
    pub(crate) fn checksum_seed(&self) -> u32 {
        if self.incompat(incompat::CSUM_SEED) {
            self.s_checksum_seed
        } else {
            crate::checksum::crc(!0, &self.s_uuid)
        }
    }
}

/// `bg_flags`.
pub(crate) mod bg_flags {
    pub(crate) const INODE_UNINIT: u16 = 0x1;
    pub(crate) const BLOCK_UNINIT: u16 = 0x2;
}

/// A group descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct GroupDescriptor {
    pub(crate) bg_block_bitmap: u64,
    pub(crate) bg_inode_bitmap: u64,
    pub(crate) bg_inode_table: u64,
    pub(crate) bg_flags: u16,
    pub(crate) bg_itable_unused: u32,
}

impl GroupDescriptor {
    pub(crate) fn parse(f: Fields<'_>) -> Result<Self> {
        let wide = f.len() >= 64;
        let high = |at: usize| if wide { f.le32(at) } else { Ok(0) };
        let join = |low: usize, at: usize| -> Result<u64> {
            Ok(u64::from(high(at)?) << 32 | u64::from(f.le32(low)?))
        };
        let unused_hi = if wide { f.le16(0x32)? } else { 0 };
        Ok(Self {
            bg_block_bitmap: join(0, 0x20)?,
            bg_inode_bitmap: join(4, 0x24)?,
            bg_inode_table: join(8, 0x28)?,
            bg_flags: f.le16(0x12)?,
            bg_itable_unused: u32::from(unused_hi) << 16 | u32::from(f.le16(0x1C)?),
        })
    }

    /// The same without what says that parts of the group were never used: a backup is as old as
    /// the filesystem, and a damaged descriptor is not believed.
    pub(crate) fn without_flags(self) -> Self {
        Self {
            bg_flags: 0,
            bg_itable_unused: 0,
            ..self
        }
    }
}

/// `EXT2_ERROR_FS` in `s_state`: errors were met, and not repaired.
pub(crate) const ERROR_FS: u16 = 2;

/// `i_flags`.
pub(crate) mod i_flags {
    pub(crate) const ENCRYPT: u32 = 0x800;
    pub(crate) const INDEX: u32 = 0x1000;
    pub(crate) const HUGE_FILE: u32 = 0x4_0000;
    pub(crate) const EXTENTS: u32 = 0x8_0000;
    pub(crate) const EA_INODE: u32 = 0x20_0000;
    pub(crate) const INLINE_DATA: u32 = 0x1000_0000;
    pub(crate) const CASEFOLD: u32 = 0x4000_0000;
    /// What `FS_IOC_GETFLAGS` shows and a user cares about; what only says how the file is stored
    /// is left out.
    pub(crate) const VISIBLE: u32 = 0x604B_DFFF & !INDEX & !EXTENTS & !HUGE_FILE & !0x700;
}

/// The part of an inode that every version has, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawInode<'a> {
    f: Fields<'a>,
}

impl<'a> RawInode<'a> {
    /// An inode of `s_inode_size` bytes.
    pub(crate) const fn new(f: Fields<'a>) -> Self {
        Self { f }
    }

    pub(crate) const fn fields(&self) -> Fields<'a> {
        self.f
    }

    pub(crate) fn i_mode(&self) -> Result<u16> {
        self.f.le16(0)
    }

    pub(crate) fn i_links_count(&self) -> Result<u16> {
        self.f.le16(0x1A)
    }

    pub(crate) fn i_dtime(&self) -> Result<u32> {
        self.f.le32(0x14)
    }

    pub(crate) fn i_flags(&self) -> Result<u32> {
        self.f.le32(0x20)
    }

    pub(crate) fn i_generation(&self) -> Result<u32> {
        self.f.le32(0x64)
    }

    /// `i_block`: the map of the file, or a short symlink, or inline data.
    pub(crate) fn i_block(&self) -> Result<Fields<'a>> {
        self.f.sub("inode i_block", 0x28, 60)
    }

    pub(crate) fn i_size(&self) -> Result<u64> {
        Ok(u64::from(self.f.le32(0x6C)?) << 32 | u64::from(self.f.le32(4)?))
    }

    /// `i_file_acl`: the block of extended attributes; 0 for none.
    pub(crate) fn i_file_acl(&self) -> Result<u64> {
        Ok(u64::from(self.f.le16(0x76)?) << 32 | u64::from(self.f.le32(0x68)?))
    }

    /// `i_blocks`, in units of 512 bytes (of a block, with the huge-file flag).
    pub(crate) fn i_blocks(&self) -> Result<u64> {
        Ok(u64::from(self.f.le16(0x74)?) << 32 | u64::from(self.f.le32(0x1C)?))
    }

    /// `i_extra_isize`; 0 for an inode of 128 bytes or one that lies.
    pub(crate) fn i_extra_isize(&self) -> usize {
        if self.f.len() <= 128 {
            return 0;
        }
        let extra = self.f.le16(0x80).map_or(0, usize::from);
        if extra.saturating_add(128) > self.f.len() {
            0
        } else {
            extra
        }
    }

    /// A field of the extra part, where `i_extra_isize` says it is there.
    pub(crate) fn extra32(&self, at: usize) -> Option<u32> {
        let end = at.checked_add(4)?;
        (end <= self.i_extra_isize().saturating_add(128))
            .then(|| self.f.le32(at).ok())
            .flatten()
    }

    /// The bytes behind the extra fields: extended attributes within the inode.
    pub(crate) fn xattr_space(&self) -> Option<Fields<'a>> {
        let extra = self.i_extra_isize();
        let at = extra.checked_add(128).filter(|_| extra > 0)?;
        self.f
            .sub("inode xattrs", at, self.f.len().checked_sub(at)?)
            .ok()
    }
}
