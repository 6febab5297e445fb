//! Fields of on-disk records, by offset, so that what differs in them can be named.

use hexz_resolve::{ByteRange, Class, Field, FieldTable, Records};

/// `NTFS_BOOT_SECTOR`.
pub(crate) static BOOT: FieldTable = FieldTable {
    record: "boot sector",
    signs: &[(3, b"NTFS    ")],
    extent: None,
    fields: BOOT_FIELDS,
    source: "include/ntfs-3g/layout.h of ntfs-3g",
};

const BOOT_FIELDS: &[Field] = &[
    Field::bytes("jump", 0x0, 3),
    Field::bytes("oem_id", 0x3, 8),
    Field::le("bytes_per_sector", 0xb, 2),
    Field::le("sectors_per_cluster", 0xd, 1),
    Field::le("reserved_sectors", 0xe, 2),
    Field::le("fats", 0x10, 1),
    Field::le("root_entries", 0x11, 2),
    Field::le("sectors", 0x13, 2),
    Field::le("media_type", 0x15, 1),
    Field::le("sectors_per_fat", 0x16, 2),
    Field::le("sectors_per_track", 0x18, 2),
    Field::le("heads", 0x1a, 2),
    Field::le("hidden_sectors", 0x1c, 4),
    Field::le("large_sectors", 0x20, 4),
    Field::le("physical_drive", 0x24, 1),
    Field::le("current_head", 0x25, 1),
    Field::le("extended_boot_signature", 0x26, 1),
    Field::le("reserved2", 0x27, 1),
    Field::le("number_of_sectors", 0x28, 8),
    Field::le("mft_lcn", 0x30, 8),
    Field::le("mftmirr_lcn", 0x38, 8),
    Field::le("clusters_per_mft_record", 0x40, 1),
    Field::bytes("reserved0", 0x41, 3),
    Field::le("clusters_per_index_record", 0x44, 1),
    Field::bytes("reserved1", 0x45, 3),
    Field::le("volume_serial_number", 0x48, 8),
    Field::le("checksum", 0x50, 4),
    Field::bytes("bootstrap", 0x54, 426),
    Field::le("end_of_sector_marker", 0x1fe, 2),
];

/// `MFT_RECORD`, its header.
pub(crate) static RECORD: FieldTable = FieldTable {
    record: "file record",
    signs: &[(0, b"FILE")],
    extent: None,
    fields: RECORD_FIELDS,
    source: "include/ntfs-3g/layout.h of ntfs-3g",
};

const RECORD_FIELDS: &[Field] = &[
    Field::le("magic", 0x0, 4),
    Field::le("usa_ofs", 0x4, 2),
    Field::le("usa_count", 0x6, 2),
    Field::le("lsn", 0x8, 8),
    Field::le("sequence_number", 0x10, 2),
    Field::le("link_count", 0x12, 2),
    Field::le("attrs_offset", 0x14, 2),
    Field::le("flags", 0x16, 2),
    Field::le("bytes_in_use", 0x18, 4),
    Field::le("bytes_allocated", 0x1c, 4),
    Field::le("base_mft_record", 0x20, 8),
    Field::le("next_attr_instance", 0x28, 2),
    Field::le("reserved", 0x2a, 2),
    Field::le("mft_record_number", 0x2c, 4),
];

/// `STANDARD_INFORMATION`, where it is the first attribute of a record and lies in it as usual.
pub(crate) static STANDARD_INFORMATION: FieldTable = FieldTable {
    record: "file record",
    signs: &[
        (0, b"FILE"),
        (0x14, &[0x38, 0]),
        (0x38, &[0x10, 0, 0, 0]),
        (0x40, &[0]),
        (0x4C, &[0x18, 0]),
    ],
    extent: None,
    fields: STANDARD_INFORMATION_FIELDS,
    source: "include/ntfs-3g/layout.h of ntfs-3g",
};

const STANDARD_INFORMATION_FIELDS: &[Field] = &[
    Field::le("creation_time", 0x50, 8),
    Field::le("last_data_change_time", 0x58, 8),
    Field::le("last_mft_change_time", 0x60, 8),
    Field::le("last_access_time", 0x68, 8),
    Field::le("file_attributes", 0x70, 4),
];

/// The records in `piece`: `table` is where the file table begins in it, or before, and the size of
/// a record.
pub(crate) fn records(
    piece: ByteRange,
    class: Class,
    table: Option<(u64, u64)>,
    copy: Option<u64>,
) -> Vec<Records> {
    match (class, table) {
        (Class::InodeTable, Some((origin, size))) => vec![
            Records::each(&RECORD, origin, size),
            Records::each(&STANDARD_INFORMATION, origin, size),
        ],
        (Class::Boot, _) => {
            let origin = copy.filter(|copy| *copy <= piece.start()).unwrap_or(0);
            vec![Records::one(&BOOT, origin)]
        }
        _ => Vec::new(),
    }
}
