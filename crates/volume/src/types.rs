//! Partition types that people meet often.
//!
//! Sources: UEFI specification, table "Defined GPT Partition Entry - Partition Type GUIDs";
//! <https://uapi-group.org/specifications/specs/discoverable_partitions_specification/>;
//! <https://learn.microsoft.com/windows/win32/api/winioctl/ns-winioctl-partition_information_gpt>;
//! <https://www.win.tue.nl/~aeb/partitions/partition_types-1.html>.

/// GPT: holds boot code of a BIOS boot loader, and no filesystem.
pub(crate) const BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";
/// GPT: holds a boot image of Power machines, and no filesystem.
pub(crate) const PREP_BOOT: &str = "9e1a2d38-c612-4316-aa26-8b49521e5a8b";
/// MBR: stands for a GPT.
pub(crate) const MBR_PROTECTIVE: u8 = 0xEE;

/// Sizes of a sector in which a partition table may count.
pub(crate) const SECTORS: [u64; 4] = [512, 1024, 2048, 4096];

const NAMES: &[(&str, &str)] = &[
    ("0x01", "FAT12"),
    ("0x04", "FAT16 below 32 MiB"),
    ("0x06", "FAT16"),
    ("0x07", "NTFS or exFAT"),
    ("0x0b", "FAT32"),
    ("0x0c", "FAT32 (LBA)"),
    ("0x0e", "FAT16 (LBA)"),
    ("0x11", "hidden FAT12"),
    ("0x14", "hidden FAT16 below 32 MiB"),
    ("0x16", "hidden FAT16"),
    ("0x17", "hidden NTFS"),
    ("0x1b", "hidden FAT32"),
    ("0x1c", "hidden FAT32 (LBA)"),
    ("0x1e", "hidden FAT16 (LBA)"),
    ("0x27", "Windows recovery"),
    ("0x41", "PReP boot"),
    ("0x42", "Windows dynamic disk"),
    ("0x82", "Linux swap"),
    ("0x83", "Linux"),
    ("0x8e", "Linux LVM"),
    ("0xa5", "FreeBSD"),
    ("0xa6", "OpenBSD"),
    ("0xa9", "NetBSD"),
    ("0xaf", "Apple HFS+"),
    ("0xee", "GPT protective"),
    ("0xef", "EFI system"),
    ("0xfd", "Linux RAID"),
    (BIOS_BOOT, "BIOS boot"),
    (PREP_BOOT, "PReP boot"),
    ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"),
    (
        "bc13c2ff-59e6-4262-a352-b275fd6f7172",
        "Linux extended boot",
    ),
    ("0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux"),
    ("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"),
    ("933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux home"),
    ("3b8f8425-20e0-4f3b-907f-1a25a76f98e8", "Linux srv"),
    ("4d21b016-b534-45c2-a9fb-5c16e091fd2d", "Linux var"),
    ("44479540-f297-41b2-9af7-d131d5f0458a", "Linux root (x86)"),
    (
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
        "Linux root (x86-64)",
    ),
    (
        "b921b045-1df0-41c3-af44-4c6f280d3fae",
        "Linux root (ARM 64)",
    ),
    ("e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"),
    ("a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID"),
    ("ca7d7ccb-63ed-4c53-861c-1742536059cc", "LUKS"),
    ("e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"),
    (
        "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
        "Microsoft basic data",
    ),
    ("de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery"),
    ("48465300-0000-11aa-aa11-00306543ecac", "Apple HFS+"),
    ("7c3457ef-0000-11aa-aa11-00306543ecac", "Apple APFS"),
    ("516e7cb4-6ecf-11d6-8ff8-00022d09712b", "FreeBSD data"),
    ("83bd6b9d-7f41-11dc-be0b-001560b84f0f", "FreeBSD boot"),
    ("516e7cb6-6ecf-11d6-8ff8-00022d09712b", "FreeBSD UFS"),
    ("516e7cba-6ecf-11d6-8ff8-00022d09712b", "FreeBSD ZFS"),
];

/// What people call a partition type, as [`FoundVolume::partition_type`] gives it; `None` for one
/// that is not well known.
///
/// [`FoundVolume::partition_type`]: hexz_resolve::FoundVolume::partition_type
#[must_use]
pub fn partition_type_name(partition_type: &str) -> Option<&'static str> {
    NAMES
        .iter()
        .find(|(id, _)| *id == partition_type)
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_is_named_twice_and_all_are_lower_case() {
        let mut ids: Vec<_> = NAMES.iter().map(|(id, _)| *id).collect();
        assert!(ids.iter().all(|id| **id == id.to_lowercase()));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), NAMES.len());
        assert_eq!(partition_type_name("0x83"), Some("Linux"));
        assert_eq!(partition_type_name("0x00"), None);
    }
}
