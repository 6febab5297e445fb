//! The fields of on-disk records that differ, against what the tools of each filesystem say of the
//! two disks of a fixture.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use hexz_acceptance::schema::{Field, Report};
use hexz_acceptance::{Case, cases};
use serde_json::{Value, json};

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

fn fields(report: &Report) -> impl Iterator<Item = &Field> {
    report
        .regions
        .iter()
        .flat_map(|r| r.fields.iter().flatten())
}

/// That the fields of the record at `start` are told with these values.
fn assert_told(report: &Report, record: &str, start: u64, expected: &[(&str, Value, Value)]) {
    for (name, old, new) in expected {
        let found = fields(report)
            .find(|f| f.record == record && f.start == start && f.name == *name)
            .unwrap_or_else(|| panic!("{record} at {start}: {name} is not told"));
        assert_eq!((&found.old, &found.new), (old, new), "{record}: {name}");
    }
}

#[test]
fn ext4_as_dumpe2fs_has_it() {
    let case = Case::new(HEXZ, "esp");
    let report = case.diff("");
    let partition = 36_700_160;
    // `dumpe2fs -h`: free inodes, lifetime writes, checksum.
    let expected = [
        ("s_free_inodes_count", json!(983), json!(979)),
        ("s_kbytes_written", json!(277), json!(341)),
        ("s_checksum", json!(0xd830_625a_u32), json!(0xf001_93aa_u32)),
    ];
    assert_told(&report, "superblock", partition + 1024, &expected);
    // `dumpe2fs`, group 0: the checksum of a bitmap is in two fields.
    let expected = [
        ("bg_free_inodes_count_lo", json!(983), json!(979)),
        ("bg_used_dirs_count_lo", json!(11), json!(12)),
        ("bg_itable_unused_lo", json!(983), json!(979)),
        ("bg_checksum", json!(0x1126), json!(0xe629)),
        ("bg_block_bitmap_csum_lo", json!(0x7fa2), json!(0x56e0)),
        ("bg_block_bitmap_csum_hi", json!(0xc20d), json!(0xbfde)),
        ("bg_inode_bitmap_csum_lo", json!(0x1dd3), json!(0xd19b)),
        ("bg_inode_bitmap_csum_hi", json!(0x85ac), json!(0xc1c0)),
    ];
    let group = partition + 4096;
    assert_told(&report, "group descriptor", group, &expected);
    // The free clusters and the next free one of the FAT beside it.
    let expected = [
        ("FSI_Free_Count", json!(67_857), json!(67_837)),
        ("FSI_Nxt_Free", json!(672), json!(1279)),
    ];
    assert_told(&report, "FSInfo", (1 << 20) + 512, &expected);
}

#[test]
fn xfs_as_xfs_db_has_it() {
    let case = Case::new(HEXZ, "xfs-parent");
    let report = case.diff("");
    let expected = [
        ("sb_ifree", json!(95), json!(107)),
        ("sb_fdblocks", json!(26_494), json!(26_434)),
    ];
    assert_told(&report, "superblock", 0, &expected);
    let expected = [
        ("agf_rmap_root", json!(6), json!(9)),
        ("agf_rmap_level", json!(1), json!(2)),
        ("agf_flcount", json!(6), json!(8)),
        ("agf_freeblks", json!(15_777), json!(15_733)),
        ("agf_rmap_blocks", json!(1), json!(3)),
    ];
    assert_told(&report, "agf", 512, &expected);
    assert_told(
        &report,
        "agi",
        1024,
        &[("agi_freecount", json!(38), json!(50))],
    );
    let none = json!(u32::MAX);
    let expected = [
        ("agfl_bno[7]", none.clone(), json!(639)),
        ("agfl_bno[10]", none, json!(642)),
    ];
    assert_told(&report, "agfl", 1536, &expected);
}

#[test]
fn ntfs_as_ntfsinfo_and_istat_have_it() {
    let case = Case::new(HEXZ, "ntfs-plain");
    let report = case.diff("");
    // `ntfsinfo -m`: the file table begins at cluster 4, of 4096 bytes. `ntfsinfo -i 74`: a file
    // that got a third name and was hidden. Times are those of `istat`, to 100 ns.
    let record = |number: u64| 4 * 4096 + number * 1024;
    let expected = [
        ("link_count", json!(2), json!(3)),
        ("bytes_in_use", json!(528), json!(640)),
        ("next_attr_instance", json!(5), json!(6)),
        ("file_attributes", json!(0x20), json!(0x22)),
        (
            "last_mft_change_time",
            json!(file_time(22, 1_017_079)),
            json!(file_time(22, 1_442_556)),
        ),
    ];
    assert_told(&report, "file record", record(74), &expected);
    // `ntfsinfo -i 72`: a record that was used again, for another file.
    let expected = [
        ("sequence_number", json!(1), json!(2)),
        (
            "creation_time",
            json!(file_time(22, 718_088)),
            json!(file_time(22, 1_292_268)),
        ),
    ];
    assert_told(&report, "file record", record(72), &expected);
    // `ntfsinfo -i 68`: a directory whose names moved back into its record.
    let expected = [("next_attr_instance", json!(4), json!(6))];
    assert_told(&report, "file record", record(64), &expected);
}

/// So many seconds and units of 100 ns after 2026-11-23 16:35, counted from 1601.
fn file_time(seconds: u64, units: u64) -> u64 {
    // 1970 is 134,774 days after 1601, and `date -u -d '2026-11-23 16:35' +%s` is the rest.
    (134_774 * 86_400 + 1_795_451_700 + seconds) * 10_000_000 + units
}

#[test]
fn exfat_as_dump_exfat_has_it() {
    let case = Case::new(HEXZ, "exfat");
    let disk = |name: &str| case.dir().join(name);
    let mut after = std::fs::read(disk("base.img")).expect("the disk before");
    // What `tune.exfat -I 0x13572468` writes to the boot sector and to its backup, 12 sectors on;
    // `dump.exfat` reads these numbers as the volume serials.
    for sector in [0, 12 * 512] {
        after[sector + 100..sector + 104].copy_from_slice(&[0x68, 0x24, 0x57, 0x13]);
    }
    std::fs::write(disk("after.img"), after).expect("written");
    let report = case.hexz.report("diff base.img after.img --json");
    let told: Vec<_> = fields(&report)
        .map(|f| (&*f.record, f.start, &*f.name, &f.old, &f.new))
        .collect();
    let (old, new) = (json!(0x6f6b_18c2), json!(0x1357_2468));
    let expected = [0, 12 * 512].map(|at| ("boot sector", at, "VolumeSerialNumber", &old, &new));
    assert_eq!(told, expected);
}

#[test]
fn btrfs_as_dump_super_has_it() {
    let case = Case::new(HEXZ, "btrfs-mixed");
    let expected = [
        ("generation", json!(9), json!(10)),
        ("root", json!(6_164_480), json!(6_328_320)),
        ("bytes_used", json!(659_456), json!(724_992)),
    ];
    assert_told(&case.diff(""), "superblock", 65_536, &expected);
}

#[test]
fn an_mbr_that_becomes_that_of_a_gpt_is_the_same_record() {
    let report = Case::new(HEXZ, "mbr-to-gpt").diff("");
    // `sfdisk -d` before: a partition of type 83 from sector 2048, and an extended one of type 5.
    // The UEFI specification has one of type 0xEE after, from sector 1 to the end of the disk.
    let expected = [
        ("PartitionRecord[0].OSType", json!(0x83), json!(0xee)),
        ("PartitionRecord[0].StartingLBA", json!(2048), json!(1)),
        ("PartitionRecord[0].SizeInLBA", json!(2048), json!(16_383)),
        ("PartitionRecord[1].OSType", json!(5), json!(0)),
        ("PartitionRecord[1].StartingLBA", json!(4096), json!(0)),
    ];
    assert_told(&report, "MBR", 0, &expected);
}

#[test]
fn each_field_lies_in_its_region_and_differs() {
    let mut kinds = std::collections::BTreeSet::new();
    for name in cases() {
        let report = Case::new(HEXZ, &name).diff("");
        for region in &report.regions {
            assert_eq!(region.fields.is_some(), region.unnamed.is_some());
            let unnamed = region.unnamed.unwrap_or_default();
            assert!(unnamed <= region.changed, "{name}: {region:?}");
            for field in region.fields.iter().flatten() {
                assert!(field.start < region.start + region.length, "{name}");
                assert!(field.old != field.new || field.old.is_null(), "{name}");
                kinds.insert(field.record.clone());
            }
        }
    }
    let known = [
        "FSInfo",
        "GPT header",
        "agf",
        "agfl",
        "agi",
        "file record",
        "group descriptor",
        "inode",
        "superblock",
    ];
    let missing: Vec<_> = known.iter().filter(|k| !kinds.contains(**k)).collect();
    assert!(missing.is_empty(), "no fixture has {missing:?}: {kinds:?}");
}

#[test]
fn people_see_them_when_they_ask() {
    let case = Case::new(HEXZ, "xfs-parent");
    let asked = "diff --files --base base.img case.overlay";
    let told = case.hexz.text(&format!("{asked} --explain"));
    assert!(
        told.contains("agf at byte 512: agf_rmap_root 6 -> 9"),
        "{told}"
    );
    assert!(told.contains(" inodes: di_"), "{told}");
    assert!(!case.hexz.text(asked).contains("agf_rmap_root"));
}
