//! Fields of on-disk records, by offset, so that what differs in them can be named.

use hexz_resolve::{Field, FieldTable, Records, Structure};

/// The header of a GUID partition table.
pub(crate) static GPT_HEADER: FieldTable = FieldTable {
    record: "GPT header",
    signs: &[(0, b"EFI PART")],
    extent: None,
    fields: GPT_HEADER_FIELDS,
    source: "UEFI Specification 2.10, 5 (GUID Partition Table)",
};

const GPT_HEADER_FIELDS: &[Field] = &[
    Field::bytes("Signature", 0x0, 8),
    Field::le("Revision", 0x8, 4),
    Field::le("HeaderSize", 0xc, 4),
    Field::le("HeaderCRC32", 0x10, 4),
    Field::le("Reserved", 0x14, 4),
    Field::le("MyLBA", 0x18, 8),
    Field::le("AlternateLBA", 0x20, 8),
    Field::le("FirstUsableLBA", 0x28, 8),
    Field::le("LastUsableLBA", 0x30, 8),
    Field::bytes("DiskGUID", 0x38, 16),
    Field::le("PartitionEntryLBA", 0x48, 8),
    Field::le("NumberOfPartitionEntries", 0x50, 4),
    Field::le("SizeOfPartitionEntry", 0x54, 4),
    Field::le("PartitionEntryArrayCRC32", 0x58, 4),
];

/// A master boot record.
pub(crate) static MBR: FieldTable = FieldTable {
    record: "MBR",
    signs: &[(510, &[0x55, 0xAA])],
    extent: None,
    fields: MBR_FIELDS,
    source: "UEFI Specification 2.10, 5 (GUID Partition Table)",
};

const MBR_FIELDS: &[Field] = &[
    Field::bytes("BootStrapCode", 0x0, 440),
    Field::le("UniqueMBRDiskSignature", 0x1b8, 4),
    Field::bytes("Unknown", 0x1bc, 2),
    Field::le("PartitionRecord[0].BootIndicator", 0x1be, 1),
    Field::bytes("PartitionRecord[0].StartingCHS", 0x1bf, 3),
    Field::le("PartitionRecord[0].OSType", 0x1c2, 1),
    Field::bytes("PartitionRecord[0].EndingCHS", 0x1c3, 3),
    Field::le("PartitionRecord[0].StartingLBA", 0x1c6, 4),
    Field::le("PartitionRecord[0].SizeInLBA", 0x1ca, 4),
    Field::le("PartitionRecord[1].BootIndicator", 0x1ce, 1),
    Field::bytes("PartitionRecord[1].StartingCHS", 0x1cf, 3),
    Field::le("PartitionRecord[1].OSType", 0x1d2, 1),
    Field::bytes("PartitionRecord[1].EndingCHS", 0x1d3, 3),
    Field::le("PartitionRecord[1].StartingLBA", 0x1d6, 4),
    Field::le("PartitionRecord[1].SizeInLBA", 0x1da, 4),
    Field::le("PartitionRecord[2].BootIndicator", 0x1de, 1),
    Field::bytes("PartitionRecord[2].StartingCHS", 0x1df, 3),
    Field::le("PartitionRecord[2].OSType", 0x1e2, 1),
    Field::bytes("PartitionRecord[2].EndingCHS", 0x1e3, 3),
    Field::le("PartitionRecord[2].StartingLBA", 0x1e6, 4),
    Field::le("PartitionRecord[2].SizeInLBA", 0x1ea, 4),
    Field::le("PartitionRecord[3].BootIndicator", 0x1ee, 1),
    Field::bytes("PartitionRecord[3].StartingCHS", 0x1ef, 3),
    Field::le("PartitionRecord[3].OSType", 0x1f2, 1),
    Field::bytes("PartitionRecord[3].EndingCHS", 0x1f3, 3),
    Field::le("PartitionRecord[3].StartingLBA", 0x1f6, 4),
    Field::le("PartitionRecord[3].SizeInLBA", 0x1fa, 4),
    Field::le("Signature", 0x1fe, 2),
];

/// The records of a structure of a partition table.
pub(crate) fn records(structure: &Structure) -> Vec<Records> {
    let table = match structure.detail {
        "gpt-header" | "backup-gpt-header" => &GPT_HEADER,
        "mbr" | "protective-mbr" | "hybrid-mbr" => &MBR,
        _ => return Vec::new(),
    };
    vec![Records::one(table, structure.range.start())]
}
