//! Fields of on-disk records, by offset, so that what differs in them can be named.

use hexz_resolve::{Class, Field, FieldTable, Records};

/// The main boot sector.
pub(crate) static BOOT: FieldTable = FieldTable {
    record: "boot sector",
    signs: &[(3, b"EXFAT   ")],
    extent: None,
    fields: BOOT_FIELDS,
    source: "Microsoft, exFAT file system specification, 3.1",
};

const BOOT_FIELDS: &[Field] = &[
    Field::bytes("JumpBoot", 0x0, 3),
    Field::bytes("FileSystemName", 0x3, 8),
    Field::bytes("MustBeZero", 0xb, 53),
    Field::le("PartitionOffset", 0x40, 8),
    Field::le("VolumeLength", 0x48, 8),
    Field::le("FatOffset", 0x50, 4),
    Field::le("FatLength", 0x54, 4),
    Field::le("ClusterHeapOffset", 0x58, 4),
    Field::le("ClusterCount", 0x5c, 4),
    Field::le("FirstClusterOfRootDirectory", 0x60, 4),
    Field::le("VolumeSerialNumber", 0x64, 4),
    Field::le("FileSystemRevision", 0x68, 2),
    Field::le("VolumeFlags", 0x6a, 2),
    Field::le("BytesPerSectorShift", 0x6c, 1),
    Field::le("SectorsPerClusterShift", 0x6d, 1),
    Field::le("NumberOfFats", 0x6e, 1),
    Field::le("DriveSelect", 0x6f, 1),
    Field::le("PercentInUse", 0x70, 1),
    Field::bytes("Reserved", 0x71, 7),
    Field::bytes("BootCode", 0x78, 390),
    Field::le("BootSignature", 0x1fe, 2),
];

/// The records of a piece in the boot regions, each of which has `region` bytes.
pub(crate) fn records(class: Class, detail: &str, region: u64) -> Vec<Records> {
    match (class, detail) {
        (Class::Boot, "") => vec![Records::one(&BOOT, 0)],
        (Class::Boot, "boot-backup") => vec![Records::one(&BOOT, region)],
        _ => Vec::new(),
    }
}
