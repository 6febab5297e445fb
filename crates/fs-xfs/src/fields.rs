//! Fields of on-disk records, by offset, so that what differs in them can be named.

use hexz_resolve::{ByteRange, Class, Field, FieldTable, Records};

/// `struct xfs_dsb`.
pub(crate) static SUPERBLOCK: FieldTable = FieldTable {
    record: "superblock",
    signs: &[(0, b"XFSB")],
    extent: None,
    fields: SUPERBLOCK_FIELDS,
    source: "fs/xfs/libxfs/xfs_format.h of Linux",
};

const SUPERBLOCK_FIELDS: &[Field] = &[
    Field::be("sb_magicnum", 0x0, 4),
    Field::be("sb_blocksize", 0x4, 4),
    Field::be("sb_dblocks", 0x8, 8),
    Field::be("sb_rblocks", 0x10, 8),
    Field::be("sb_rextents", 0x18, 8),
    Field::bytes("sb_uuid", 0x20, 16),
    Field::be("sb_logstart", 0x30, 8),
    Field::be("sb_rootino", 0x38, 8),
    Field::be("sb_rbmino", 0x40, 8),
    Field::be("sb_rsumino", 0x48, 8),
    Field::be("sb_rextsize", 0x50, 4),
    Field::be("sb_agblocks", 0x54, 4),
    Field::be("sb_agcount", 0x58, 4),
    Field::be("sb_rbmblocks", 0x5c, 4),
    Field::be("sb_logblocks", 0x60, 4),
    Field::be("sb_versionnum", 0x64, 2),
    Field::be("sb_sectsize", 0x66, 2),
    Field::be("sb_inodesize", 0x68, 2),
    Field::be("sb_inopblock", 0x6a, 2),
    Field::bytes("sb_fname", 0x6c, 12),
    Field::be("sb_blocklog", 0x78, 1),
    Field::be("sb_sectlog", 0x79, 1),
    Field::be("sb_inodelog", 0x7a, 1),
    Field::be("sb_inopblog", 0x7b, 1),
    Field::be("sb_agblklog", 0x7c, 1),
    Field::be("sb_rextslog", 0x7d, 1),
    Field::be("sb_inprogress", 0x7e, 1),
    Field::be("sb_imax_pct", 0x7f, 1),
    Field::be("sb_icount", 0x80, 8),
    Field::be("sb_ifree", 0x88, 8),
    Field::be("sb_fdblocks", 0x90, 8),
    Field::be("sb_frextents", 0x98, 8),
    Field::be("sb_uquotino", 0xa0, 8),
    Field::be("sb_gquotino", 0xa8, 8),
    Field::be("sb_qflags", 0xb0, 2),
    Field::be("sb_flags", 0xb2, 1),
    Field::be("sb_shared_vn", 0xb3, 1),
    Field::be("sb_inoalignmt", 0xb4, 4),
    Field::be("sb_unit", 0xb8, 4),
    Field::be("sb_width", 0xbc, 4),
    Field::be("sb_dirblklog", 0xc0, 1),
    Field::be("sb_logsectlog", 0xc1, 1),
    Field::be("sb_logsectsize", 0xc2, 2),
    Field::be("sb_logsunit", 0xc4, 4),
    Field::be("sb_features2", 0xc8, 4),
    Field::be("sb_bad_features2", 0xcc, 4),
    Field::be("sb_features_compat", 0xd0, 4),
    Field::be("sb_features_ro_compat", 0xd4, 4),
    Field::be("sb_features_incompat", 0xd8, 4),
    Field::be("sb_features_log_incompat", 0xdc, 4),
    Field::le("sb_crc", 0xe0, 4),
    Field::be("sb_spino_align", 0xe4, 4),
    Field::be("sb_pquotino", 0xe8, 8),
    Field::be("sb_lsn", 0xf0, 8),
    Field::bytes("sb_meta_uuid", 0xf8, 16),
];

/// `struct xfs_agf`.
pub(crate) static AGF: FieldTable = FieldTable {
    record: "agf",
    signs: &[(0, b"XAGF")],
    extent: None,
    fields: AGF_FIELDS,
    source: "fs/xfs/libxfs/xfs_format.h of Linux",
};

const AGF_FIELDS: &[Field] = &[
    Field::be("agf_magicnum", 0x0, 4),
    Field::be("agf_versionnum", 0x4, 4),
    Field::be("agf_seqno", 0x8, 4),
    Field::be("agf_length", 0xc, 4),
    Field::be("agf_bno_root", 0x10, 4),
    Field::be("agf_cnt_root", 0x14, 4),
    Field::be("agf_rmap_root", 0x18, 4),
    Field::be("agf_bno_level", 0x1c, 4),
    Field::be("agf_cnt_level", 0x20, 4),
    Field::be("agf_rmap_level", 0x24, 4),
    Field::be("agf_flfirst", 0x28, 4),
    Field::be("agf_fllast", 0x2c, 4),
    Field::be("agf_flcount", 0x30, 4),
    Field::be("agf_freeblks", 0x34, 4),
    Field::be("agf_longest", 0x38, 4),
    Field::be("agf_btreeblks", 0x3c, 4),
    Field::bytes("agf_uuid", 0x40, 16),
    Field::be("agf_rmap_blocks", 0x50, 4),
    Field::be("agf_refcount_blocks", 0x54, 4),
    Field::be("agf_refcount_root", 0x58, 4),
    Field::be("agf_refcount_level", 0x5c, 4),
    Field::be("agf_spare64", 0x60, 8).times(14),
    Field::be("agf_lsn", 0xd0, 8),
    Field::le("agf_crc", 0xd8, 4),
    Field::be("agf_spare2", 0xdc, 4),
];

/// `struct xfs_agi`.
pub(crate) static AGI: FieldTable = FieldTable {
    record: "agi",
    signs: &[(0, b"XAGI")],
    extent: None,
    fields: AGI_FIELDS,
    source: "fs/xfs/libxfs/xfs_format.h of Linux",
};

const AGI_FIELDS: &[Field] = &[
    Field::be("agi_magicnum", 0x0, 4),
    Field::be("agi_versionnum", 0x4, 4),
    Field::be("agi_seqno", 0x8, 4),
    Field::be("agi_length", 0xc, 4),
    Field::be("agi_count", 0x10, 4),
    Field::be("agi_root", 0x14, 4),
    Field::be("agi_level", 0x18, 4),
    Field::be("agi_freecount", 0x1c, 4),
    Field::be("agi_newino", 0x20, 4),
    Field::be("agi_dirino", 0x24, 4),
    Field::be("agi_unlinked", 0x28, 4).times(64),
    Field::bytes("agi_uuid", 0x128, 16),
    Field::le("agi_crc", 0x138, 4),
    Field::be("agi_pad32", 0x13c, 4),
    Field::be("agi_lsn", 0x140, 8),
    Field::be("agi_free_root", 0x148, 4),
    Field::be("agi_free_level", 0x14c, 4),
    Field::be("agi_iblocks", 0x150, 4),
    Field::be("agi_fblocks", 0x154, 4),
];

/// `struct xfs_agfl` of version 5, in a sector of 512 bytes; before there are only block numbers.
pub(crate) static AGFL: FieldTable = FieldTable {
    record: "agfl",
    signs: &[(0, b"XAFL")],
    extent: None,
    fields: AGFL_FIELDS,
    source: "fs/xfs/libxfs/xfs_format.h of Linux",
};

const AGFL_FIELDS: &[Field] = &[
    Field::be("agfl_magicnum", 0x0, 4),
    Field::be("agfl_seqno", 0x4, 4),
    Field::bytes("agfl_uuid", 0x8, 16),
    Field::be("agfl_lsn", 0x18, 8),
    Field::le("agfl_crc", 0x20, 4),
    Field::be("agfl_bno", 0x24, 4).times(119),
];

/// `struct xfs_dinode` of version 2.
pub(crate) static INODE_V2: FieldTable = FieldTable {
    record: "inode",
    signs: &[(0, b"IN"), (4, &[2])],
    extent: None,
    fields: INODE_V2_FIELDS,
    source: "fs/xfs/libxfs/xfs_format.h of Linux",
};

const INODE_V2_FIELDS: &[Field] = &[
    Field::be("di_magic", 0x0, 2),
    Field::be("di_mode", 0x2, 2),
    Field::be("di_version", 0x4, 1),
    Field::be("di_format", 0x5, 1),
    Field::be("di_onlink", 0x6, 2),
    Field::be("di_uid", 0x8, 4),
    Field::be("di_gid", 0xc, 4),
    Field::be("di_nlink", 0x10, 4),
    Field::be("di_projid_lo", 0x14, 2),
    Field::be("di_projid_hi", 0x16, 2),
    Field::bytes("di_pad", 0x18, 6),
    Field::be("di_flushiter", 0x1e, 2),
    Field::be("di_atime", 0x20, 8),
    Field::be("di_mtime", 0x28, 8),
    Field::be("di_ctime", 0x30, 8),
    Field::be("di_size", 0x38, 8),
    Field::be("di_nblocks", 0x40, 8),
    Field::be("di_extsize", 0x48, 4),
    Field::be("di_nextents", 0x4c, 4),
    Field::be("di_anextents", 0x50, 2),
    Field::be("di_forkoff", 0x52, 1),
    Field::be("di_aformat", 0x53, 1),
    Field::be("di_dmevmask", 0x54, 4),
    Field::be("di_dmstate", 0x58, 2),
    Field::be("di_flags", 0x5a, 2),
    Field::be("di_gen", 0x5c, 4),
    Field::be("di_next_unlinked", 0x60, 4),
];

/// `struct xfs_dinode` of version 3.
pub(crate) static INODE_V3: FieldTable = FieldTable {
    record: "inode",
    signs: &[(0, b"IN"), (4, &[3])],
    extent: None,
    fields: INODE_V3_FIELDS,
    source: "fs/xfs/libxfs/xfs_format.h of Linux",
};

const INODE_V3_FIELDS: &[Field] = &[
    Field::be("di_magic", 0x0, 2),
    Field::be("di_mode", 0x2, 2),
    Field::be("di_version", 0x4, 1),
    Field::be("di_format", 0x5, 1),
    Field::be("di_onlink", 0x6, 2),
    Field::be("di_uid", 0x8, 4),
    Field::be("di_gid", 0xc, 4),
    Field::be("di_nlink", 0x10, 4),
    Field::be("di_projid_lo", 0x14, 2),
    Field::be("di_projid_hi", 0x16, 2),
    Field::bytes("di_v3_pad", 0x18, 8),
    Field::be("di_atime", 0x20, 8),
    Field::be("di_mtime", 0x28, 8),
    Field::be("di_ctime", 0x30, 8),
    Field::be("di_size", 0x38, 8),
    Field::be("di_nblocks", 0x40, 8),
    Field::be("di_extsize", 0x48, 4),
    Field::be("di_nextents", 0x4c, 4),
    Field::be("di_anextents", 0x50, 2),
    Field::be("di_forkoff", 0x52, 1),
    Field::be("di_aformat", 0x53, 1),
    Field::be("di_dmevmask", 0x54, 4),
    Field::be("di_dmstate", 0x58, 2),
    Field::be("di_flags", 0x5a, 2),
    Field::be("di_gen", 0x5c, 4),
    Field::be("di_next_unlinked", 0x60, 4),
    Field::le("di_crc", 0x64, 4),
    Field::be("di_changecount", 0x68, 8),
    Field::be("di_lsn", 0x70, 8),
    Field::be("di_flags2", 0x78, 8),
    Field::be("di_cowextsize", 0x80, 4),
    Field::bytes("di_pad2", 0x84, 12),
    Field::be("di_crtime", 0x90, 8),
    Field::be("di_ino", 0x98, 8),
    Field::bytes("di_uuid", 0xa0, 16),
];

/// The same with large counts of extents (`NREXT64`).
pub(crate) static INODE_NREXT64: FieldTable = FieldTable {
    record: "inode",
    signs: &[(0, b"IN"), (4, &[3])],
    extent: None,
    fields: INODE_NREXT64_FIELDS,
    source: "fs/xfs/libxfs/xfs_format.h of Linux",
};

const INODE_NREXT64_FIELDS: &[Field] = &[
    Field::be("di_magic", 0x0, 2),
    Field::be("di_mode", 0x2, 2),
    Field::be("di_version", 0x4, 1),
    Field::be("di_format", 0x5, 1),
    Field::be("di_onlink", 0x6, 2),
    Field::be("di_uid", 0x8, 4),
    Field::be("di_gid", 0xc, 4),
    Field::be("di_nlink", 0x10, 4),
    Field::be("di_projid_lo", 0x14, 2),
    Field::be("di_projid_hi", 0x16, 2),
    Field::be("di_big_nextents", 0x18, 8),
    Field::be("di_atime", 0x20, 8),
    Field::be("di_mtime", 0x28, 8),
    Field::be("di_ctime", 0x30, 8),
    Field::be("di_size", 0x38, 8),
    Field::be("di_nblocks", 0x40, 8),
    Field::be("di_extsize", 0x48, 4),
    Field::be("di_big_anextents", 0x4c, 4),
    Field::be("di_nrext64_pad", 0x50, 2),
    Field::be("di_forkoff", 0x52, 1),
    Field::be("di_aformat", 0x53, 1),
    Field::be("di_dmevmask", 0x54, 4),
    Field::be("di_dmstate", 0x58, 2),
    Field::be("di_flags", 0x5a, 2),
    Field::be("di_gen", 0x5c, 4),
    Field::be("di_next_unlinked", 0x60, 4),
    Field::le("di_crc", 0x64, 4),
    Field::be("di_changecount", 0x68, 8),
    Field::be("di_lsn", 0x70, 8),
    Field::be("di_flags2", 0x78, 8),
    Field::be("di_cowextsize", 0x80, 4),
    Field::bytes("di_pad2", 0x84, 12),
    Field::be("di_crtime", 0x90, 8),
    Field::be("di_ino", 0x98, 8),
    Field::bytes("di_uuid", 0xa0, 16),
];

/// The records in `piece`, of a filesystem with sectors and inodes of these sizes; `nrext64` says
/// whether the feature of that name is on.
pub(crate) fn records(
    piece: ByteRange,
    class: Class,
    detail: &str,
    [sector, inode]: [u64; 2],
    nrext64: bool,
) -> Vec<Records> {
    let in_sector = piece.start().checked_rem(sector).unwrap_or_default();
    let origin = piece.start().saturating_sub(in_sector);
    let table = match (class, detail) {
        (Class::Superblock, "superblock" | "backup-superblock") => &SUPERBLOCK,
        (Class::GroupDescriptors, "agf") => &AGF,
        (Class::GroupDescriptors, "agi") => &AGI,
        (Class::GroupDescriptors, "agfl") => &AGFL,
        (Class::InodeTable, "" | "inode-chunk") => {
            // Chunks of inodes lie at multiples of an inode, within the filesystem too.
            let third = if nrext64 { &INODE_NREXT64 } else { &INODE_V3 };
            return vec![
                Records::each(third, 0, inode),
                Records::each(&INODE_V2, 0, inode),
            ];
        }
        _ => return Vec::new(),
    };
    vec![Records::one(table, origin)]
}
