//! Magics, flags and field offsets of XFS, by the names of the specification.
//!
//! Specification: <https://docs.kernel.org/filesystems/xfs/xfs-online-fsck-design.html> for how the
//! structures refer to each other, and "XFS Algorithms & Data Structures"
//! (<https://git.kernel.org/pub/scm/fs/xfs/xfs-documentation.git>) for their fields. All numbers
//! are big-endian, but for checksums and for what the log holds.

/// `XFS_SB_MAGIC`, at byte 0 of every allocation group.
pub(crate) const SB_MAGIC: [u8; 4] = *b"XFSB";
/// `XFS_AGF_MAGIC`.
pub(crate) const AGF_MAGIC: u32 = 0x5841_4746;
/// `XFS_AGI_MAGIC`.
pub(crate) const AGI_MAGIC: u32 = 0x5841_4749;
/// `XFS_AGFL_MAGIC`, V5 only.
pub(crate) const AGFL_MAGIC: u32 = 0x5841_464C;
/// `XFS_DINODE_MAGIC`, "IN".
pub(crate) const DINODE_MAGIC: u16 = 0x494E;
/// `XFS_SYMLINK_MAGIC`, V5 only.
pub(crate) const SYMLINK_MAGIC: u32 = 0x5853_4C4D;
/// `XFS_ATTR3_RMT_MAGIC`, V5 only.
pub(crate) const RMT_MAGIC: u32 = 0x5841_524D;

/// `XFS_DIR2_BLOCK_MAGIC` and `XFS_DIR3_BLOCK_MAGIC`: a directory of one block.
pub(crate) const DIR_BLOCK: [u32; 2] = [0x5844_3242, 0x5844_4233];
/// `XFS_DIR2_DATA_MAGIC` and `XFS_DIR3_DATA_MAGIC`.
pub(crate) const DIR_DATA: [u32; 2] = [0x5844_3244, 0x5844_4433];
/// `XFS_DA_NODE_MAGIC` and `XFS_DA3_NODE_MAGIC`, of directories and attribute forks.
pub(crate) const DA_NODE: [u16; 2] = [0xFEBE, 0x3EBE];
/// `XFS_ATTR_LEAF_MAGIC` and `XFS_ATTR3_LEAF_MAGIC`.
pub(crate) const ATTR_LEAF: [u16; 2] = [0xFBEE, 0x3BEE];

/// `XFS_DIR2_LEAF_OFFSET`: byte of a directory where its leaf blocks begin.
pub(crate) const DIR_LEAF_OFFSET: u64 = 1 << 35;
/// `XFS_DIR2_FREE_OFFSET`: byte of a directory where its free-index blocks begin.
pub(crate) const DIR_FREE_OFFSET: u64 = 2 << 35;

/// `sb_versionnum`: the number itself.
pub(crate) const VERSION_NUMBITS: u16 = 0x000F;
/// `sb_versionnum`: sector size and sunit of the log are given.
pub(crate) const VERSION_LOGV2: u16 = 0x0400;
/// `sb_versionnum`: directories are of version 2.
pub(crate) const VERSION_DIRV2: u16 = 0x2000;
/// `sb_versionnum`: `sb_features2` holds.
pub(crate) const VERSION_MOREBITS: u16 = 0x8000;
/// `sb_features2`: project ids of 32 bits.
pub(crate) const VERSION2_PROJID32: u32 = 0x80;
/// `sb_features2`: directory entries tell the kind of file.
pub(crate) const VERSION2_FTYPE: u32 = 0x200;

/// `sb_features_ro_compat` that are known, by bit.
pub(crate) const RO_COMPAT: [&str; 4] = ["finobt", "rmapbt", "reflink", "inobtcnt"];
/// `XFS_SB_FEAT_RO_COMPAT_FINOBT`.
pub(crate) const RO_FINOBT: u32 = 1;
/// `XFS_SB_FEAT_RO_COMPAT_RMAPBT`.
pub(crate) const RO_RMAPBT: u32 = 2;
/// `XFS_SB_FEAT_RO_COMPAT_REFLINK`.
pub(crate) const RO_REFLINK: u32 = 4;
/// `sb_features_incompat` that are known, by bit.
pub(crate) const INCOMPAT: [&str; 9] = [
    "ftype",
    "sparse-inodes",
    "meta-uuid",
    "bigtime",
    "needs-repair",
    "nrext64",
    "exchange-range",
    "parent",
    "metadir",
];
/// Names of `sb_features_incompat` that are not read.
pub(crate) const INCOMPAT_REFUSED: [(u32, &str); 2] = [(1 << 9, "zoned"), (1 << 10, "zone-gaps")];
/// `XFS_SB_FEAT_INCOMPAT_FTYPE`.
pub(crate) const INCOMPAT_FTYPE: u32 = 1;
/// `XFS_SB_FEAT_INCOMPAT_NREXT64`.
pub(crate) const INCOMPAT_NREXT64: u32 = 1 << 5;
/// `XFS_SB_FEAT_INCOMPAT_SPINODES`.
pub(crate) const INCOMPAT_SPINODES: u32 = 1 << 1;
/// `XFS_SB_FEAT_INCOMPAT_META_UUID`.
pub(crate) const INCOMPAT_META_UUID: u32 = 1 << 2;
/// `XFS_SB_FEAT_INCOMPAT_NEEDSREPAIR`.
pub(crate) const INCOMPAT_NEEDSREPAIR: u32 = 1 << 4;
/// `XFS_SB_FEAT_INCOMPAT_PARENT`.
pub(crate) const INCOMPAT_PARENT: u32 = 1 << 7;
/// `XFS_SB_FEAT_INCOMPAT_METADIR`.
pub(crate) const INCOMPAT_METADIR: u32 = 1 << 8;

/// `XFS_SB_FEAT_INCOMPAT_LOG_XATTRS`: the log may hold intents to set attributes.
pub(crate) const LOG_INCOMPAT_XATTRS: u32 = 1;

/// `XFS_DINODE_FMT_*`.
pub(crate) mod format {
    pub(crate) const DEV: u8 = 0;
    pub(crate) const LOCAL: u8 = 1;
    pub(crate) const EXTENTS: u8 = 2;
    pub(crate) const BTREE: u8 = 3;
}

/// `XFS_DIFLAG_REALTIME`: data lie on the realtime device.
pub(crate) const DIFLAG_REALTIME: u16 = 1;
/// `XFS_DIFLAG2_BIGTIME`.
pub(crate) const DIFLAG2_BIGTIME: u64 = 1 << 3;
/// `XFS_DIFLAG2_NREXT64`.
pub(crate) const DIFLAG2_NREXT64: u64 = 1 << 4;
/// `XFS_DIFLAG2_METADATA`: no file of any user.
pub(crate) const DIFLAG2_METADATA: u64 = 1 << 5;

/// `XFS_RMAP_OWN_*`: who else than an inode owns blocks.
pub(crate) mod rmap {
    /// Owners from here on are no inodes.
    pub(crate) const NON_INODE: u64 = 1 << 63;
    pub(crate) const OFF_ATTR_FORK: u64 = 1 << 63;
    pub(crate) const OFF_BMBT: u64 = 1 << 62;
    pub(crate) const OFF_UNWRITTEN: u64 = 1 << 61;
    pub(crate) const OFF_MASK: u64 = (1 << 54) - 1;
}

/// `XFS_REFC_COWFLAG`: a record of the refcount btree that is staging space of copy-on-write.
pub(crate) const REFC_COWFLAG: u32 = 1 << 31;

/// `XFS_INODES_PER_CHUNK`.
pub(crate) const INODES_PER_CHUNK: u32 = 64;
