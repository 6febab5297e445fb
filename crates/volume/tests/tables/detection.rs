//! What must be taken for a partition table, and what must not.

use hexz_testkit::SparseDisk;

use crate::build::{Gpt, MIB, confidence, mbr, open};

const SIZE: u64 = 64 * MIB;

fn with(sector: &[u8]) -> SparseDisk {
    let mut disk = SparseDisk::new(SIZE);
    disk.write(0, sector);
    disk
}

/// A FAT boot sector as mkfs.fat makes it, with a table of these entries in its place.
fn fat(entries: &[(u8, u32, u32)]) -> [u8; 512] {
    let mut sector = mbr(entries);
    sector[..11].copy_from_slice(b"\xEB\x3C\x90mkfs.fat");
    // 512 bytes a sector, 4 sectors a cluster, 4 reserved, 2 FATs, 512 root entries, fixed disk.
    sector[11..22].copy_from_slice(&[0, 2, 4, 4, 0, 2, 0, 2, 0, 0, 0xF8]);
    sector
}

#[test]
fn boot_sectors_of_filesystems_are_no_table() {
    let mut ntfs = mbr(&[]);
    ntfs[..11].copy_from_slice(b"\xEB\x52\x90NTFS    ");
    let mut exfat = mbr(&[]);
    exfat[..11].copy_from_slice(b"\xEB\x76\x90EXFAT   ");
    for sector in [ntfs, exfat, fat(&[])] {
        assert_eq!(confidence("mbr", &with(&sector)), None);
        // Code where the table would be.
        let mut code = sector;
        for (n, byte) in code[62..510].iter_mut().enumerate() {
            *byte = (n * 37 + 11) as u8;
        }
        assert_eq!(confidence("mbr", &with(&code)), None);
    }
}

#[test]
fn a_fat_with_a_table_in_its_boot_sector_stays_below_a_filesystem() {
    // `mkfs.fat --mbr` has an entry that starts with the disk itself.
    assert_eq!(confidence("mbr", &with(&fat(&[(0x0C, 0, 131_072)]))), None);
    let table = fat(&[(0x0C, 2048, 1000)]);
    assert!(confidence("mbr", &with(&table)).is_some_and(|c| c < 50));
}

#[test]
fn a_boot_loader_in_front_of_a_filesystem_stays_below_it() {
    let mut disk = with(&{
        let mut sector = mbr(&[]);
        sector[..440].fill(0x90);
        sector
    });
    disk.write(1080, &[0x53, 0xEF]);
    assert_eq!(confidence("mbr", &disk), None);
    // Code that happens to look like an entry.
    let mut sector = mbr(&[(0x83, 63, 4_000_000)]);
    sector[..440].fill(0x90);
    disk.write(0, &sector);
    assert_eq!(confidence("mbr", &disk), Some(40));
    sector[446] = 0x12;
    disk.write(0, &sector);
    assert_eq!(confidence("mbr", &disk), None);
}

#[test]
fn a_table_with_an_odd_status_must_be_in_order_otherwise() {
    let mut sector = mbr(&[(0x83, 2048, 4096), (0x07, 8192, 100)]);
    sector[462] = 0x81;
    assert_eq!(confidence("mbr", &with(&sector)), Some(45));
    let opened = open("mbr", &with(&sector));
    assert_eq!(opened.usable().len(), 2);
    assert_eq!(opened.codes, ["mbr-status"]);
    sector[473] = 0xFF;
    assert_eq!(confidence("mbr", &with(&sector)), None);
}

#[test]
fn a_table_without_entries_is_hardly_one() {
    assert_eq!(confidence("mbr", &with(&mbr(&[]))), Some(10));
    let mut loader = mbr(&[]);
    loader[0] = 0xEB;
    assert_eq!(confidence("mbr", &with(&loader)), None);
    assert!(open("mbr", &with(&mbr(&[]))).set.volumes.is_empty());
}

#[test]
fn entries_that_all_lie_beyond_the_disk_are_a_table_where_nothing_else_is() {
    let table = mbr(&[(0x83, 131_072, 8), (0x83, 3_000_000_000, 8)]);
    assert_eq!(confidence("mbr", &with(&table)), Some(25));
    let overlapping = mbr(&[(0x83, 131_072, 8), (0x83, 131_074, 8)]);
    assert_eq!(confidence("mbr", &with(&overlapping)), None);
}

#[test]
fn a_hybrid_table_is_a_gpt_as_long_as_that_can_be_read() {
    let mut disk = Gpt::default().disk(SIZE);
    disk.write(0, &mbr(&[(0xEE, 1, 2047), (0x83, 2048, 2048)]));
    assert_eq!(confidence("mbr", &disk), None);
    assert_eq!(confidence("gpt", &disk), Some(95));
    let opened = open("gpt", &disk);
    assert_eq!(opened.usable().len(), 2);
    assert_eq!(opened.codes, ["gpt-hybrid-mbr"]);
    assert_eq!(opened.structures()[0], ("hybrid-mbr", 0, 512));

    disk.write(512, &[0; 512]);
    disk.write(SIZE - 512, &[0; 512]);
    assert!(confidence("mbr", &disk) > confidence("gpt", &disk));
    assert_eq!(open("mbr", &disk).usable(), [("p2", MIB, MIB)]);
}

#[test]
fn a_backup_that_an_older_table_left_stays_below_a_filesystem() {
    let mut disk = Gpt::default().disk(SIZE);
    disk.write(0, &[0; 4096]);
    assert_eq!(confidence("gpt", &disk), Some(40));
    let mut unprotected = Gpt::default().disk(SIZE);
    unprotected.write(0, &[0; 512]);
    assert_eq!(confidence("gpt", &unprotected), Some(70));
    assert_eq!(open("gpt", &unprotected).codes, ["gpt-no-protective-mbr"]);
}
