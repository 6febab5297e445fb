//! Fields of on-disk records, by offset, so that what differs in them can be named.

use hexz_resolve::{ByteRange, Class, Field, FieldTable, Records};

/// The boot sector of FAT12 and FAT16.
pub(crate) static BOOT: FieldTable = FieldTable {
    record: "boot sector",
    signs: &[],
    extent: None,
    fields: BOOT_FIELDS,
    source: "Microsoft, FAT: General Overview of On-Disk Format, 1.03",
};

const BOOT_FIELDS: &[Field] = &[
    Field::bytes("BS_jmpBoot", 0x0, 3),
    Field::bytes("BS_OEMName", 0x3, 8),
    Field::le("BPB_BytsPerSec", 0xb, 2),
    Field::le("BPB_SecPerClus", 0xd, 1),
    Field::le("BPB_RsvdSecCnt", 0xe, 2),
    Field::le("BPB_NumFATs", 0x10, 1),
    Field::le("BPB_RootEntCnt", 0x11, 2),
    Field::le("BPB_TotSec16", 0x13, 2),
    Field::le("BPB_Media", 0x15, 1),
    Field::le("BPB_FATSz16", 0x16, 2),
    Field::le("BPB_SecPerTrk", 0x18, 2),
    Field::le("BPB_NumHeads", 0x1a, 2),
    Field::le("BPB_HiddSec", 0x1c, 4),
    Field::le("BPB_TotSec32", 0x20, 4),
    Field::le("BS_DrvNum", 0x24, 1),
    Field::le("BS_Reserved1", 0x25, 1),
    Field::le("BS_BootSig", 0x26, 1),
    Field::le("BS_VolID", 0x27, 4),
    Field::bytes("BS_VolLab", 0x2b, 11),
    Field::bytes("BS_FilSysType", 0x36, 8),
    Field::bytes("BS_BootCode", 0x3e, 448),
    Field::bytes("BS_Signature", 0x1fe, 2),
];

/// The boot sector of FAT32.
pub(crate) static BOOT32: FieldTable = FieldTable {
    record: "boot sector",
    signs: &[],
    extent: None,
    fields: BOOT32_FIELDS,
    source: "Microsoft, FAT: General Overview of On-Disk Format, 1.03",
};

const BOOT32_FIELDS: &[Field] = &[
    Field::bytes("BS_jmpBoot", 0x0, 3),
    Field::bytes("BS_OEMName", 0x3, 8),
    Field::le("BPB_BytsPerSec", 0xb, 2),
    Field::le("BPB_SecPerClus", 0xd, 1),
    Field::le("BPB_RsvdSecCnt", 0xe, 2),
    Field::le("BPB_NumFATs", 0x10, 1),
    Field::le("BPB_RootEntCnt", 0x11, 2),
    Field::le("BPB_TotSec16", 0x13, 2),
    Field::le("BPB_Media", 0x15, 1),
    Field::le("BPB_FATSz16", 0x16, 2),
    Field::le("BPB_SecPerTrk", 0x18, 2),
    Field::le("BPB_NumHeads", 0x1a, 2),
    Field::le("BPB_HiddSec", 0x1c, 4),
    Field::le("BPB_TotSec32", 0x20, 4),
    Field::le("BPB_FATSz32", 0x24, 4),
    Field::le("BPB_ExtFlags", 0x28, 2),
    Field::le("BPB_FSVer", 0x2a, 2),
    Field::le("BPB_RootClus", 0x2c, 4),
    Field::le("BPB_FSInfo", 0x30, 2),
    Field::le("BPB_BkBootSec", 0x32, 2),
    Field::bytes("BPB_Reserved", 0x34, 12),
    Field::le("BS_DrvNum", 0x40, 1),
    Field::le("BS_Reserved1", 0x41, 1),
    Field::le("BS_BootSig", 0x42, 1),
    Field::le("BS_VolID", 0x43, 4),
    Field::bytes("BS_VolLab", 0x47, 11),
    Field::bytes("BS_FilSysType", 0x52, 8),
    Field::bytes("BS_BootCode32", 0x5a, 420),
    Field::bytes("BS_Signature", 0x1fe, 2),
];

/// The sector of free space of FAT32.
pub(crate) static FSINFO: FieldTable = FieldTable {
    record: "FSInfo",
    signs: &[(0, b"RRaA")],
    extent: None,
    fields: FSINFO_FIELDS,
    source: "Microsoft, FAT: General Overview of On-Disk Format, 1.03",
};

const FSINFO_FIELDS: &[Field] = &[
    Field::le("FSI_LeadSig", 0x0, 4),
    Field::bytes("FSI_Reserved1", 0x4, 480),
    Field::le("FSI_StrucSig", 0x1e4, 4),
    Field::le("FSI_Free_Count", 0x1e8, 4),
    Field::le("FSI_Nxt_Free", 0x1ec, 4),
    Field::bytes("FSI_Reserved2", 0x1f0, 12),
    Field::le("FSI_TrailSig", 0x1fc, 4),
];

/// The records in `piece`, in sectors of `sector` bytes.
pub(crate) fn records(
    piece: ByteRange,
    class: Class,
    detail: &str,
    sector: u64,
    fat32: bool,
) -> Vec<Records> {
    let in_sector = piece.start().checked_rem(sector).unwrap_or_default();
    let origin = piece.start().saturating_sub(in_sector);
    let boot = if fat32 { &BOOT32 } else { &BOOT };
    match (class, detail) {
        (Class::Boot, "" | "boot-backup") => vec![Records::one(boot, origin)],
        (Class::Superblock, "fsinfo" | "fsinfo-backup") => vec![Records::one(&FSINFO, origin)],
        _ => Vec::new(),
    }
}
