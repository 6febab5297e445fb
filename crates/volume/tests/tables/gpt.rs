//! GPT, sound and damaged.

use std::sync::Arc;

use hexz_resolve::{ByteRange, ErrorKind, ReadAt as _, Role};
use hexz_testkit::{Faulty, SparseDisk};

use crate::build::{Gpt, LINUX_TEXT, MIB, confidence, mbr, open, try_open};

const SIZE: u64 = 8 * MIB;
const BOTH: [(&str, u64, u64); 2] = [("p1", MIB, MIB), ("p3", 2 * MIB, 2 * MIB)];

#[test]
fn a_sound_table_gives_its_partitions_and_structures() {
    let disk = Gpt::default().disk(SIZE);
    assert_eq!(confidence("gpt", &disk), Some(95));
    assert_eq!(confidence("mbr", &disk), None);
    let opened = open("gpt", &disk);
    assert_eq!(opened.usable(), BOTH);
    assert_eq!(opened.codes, [""; 0]);
    let three = &opened.set.volumes[1];
    assert_eq!(three.partition_type.as_deref(), Some(LINUX_TEXT));
    assert_eq!(three.label.as_deref(), Some("drei ÄÖ"));
    let expected = [
        ("protective-mbr", 0, 512),
        ("gpt-header", 512, 1024),
        ("gpt-entries", 1024, 1024 + 16384),
        ("backup-gpt-entries", SIZE - 512 - 16384, SIZE - 512),
        ("backup-gpt-header", SIZE - 512, SIZE),
    ];
    assert_eq!(opened.structures(), expected);
    let roles = opened.set.structures.iter().map(|s| s.role);
    assert!(roles.into_iter().all(|r| r == Role::PartitionTable));
}

#[test]
fn sectors_of_4096_bytes_and_entries_of_other_sizes() {
    for (sector, entry_size, entries, header_size) in [
        (4096, 128, 128, 92),
        (512, 256, 128, 92),
        (512, 512, 16, 512),
        (4096, 4096, 8, 96),
        (512, 128, 4096, 92),
    ] {
        let gpt = Gpt {
            sector,
            entry_size,
            entries,
            header_size,
            ..Gpt::default()
        };
        let size = 64 * MIB;
        let disk = gpt.disk(size);
        assert_eq!(confidence("gpt", &disk), Some(95));
        let opened = open("gpt", &disk);
        let expected = [
            ("p1", 2048 * sector, 2048 * sector),
            ("p3", 4096 * sector, 4096 * sector),
        ];
        assert_eq!(opened.usable(), expected, "{sector} {entry_size} {entries}");
        assert_eq!(opened.codes, [""; 0]);
        assert_eq!(opened.structures()[0], ("protective-mbr", 0, sector));
    }
}

#[test]
fn any_damaged_bit_of_the_first_header_is_seen_and_the_backup_serves() {
    let sound = Gpt::default().disk(SIZE);
    for at in (0..92).chain([200 + 512, 512 + 16383]) {
        for bit in [0, 3, 7] {
            let mut disk = sound.clone();
            let mut byte = [0];
            disk.read_exact_at(512 + at, &mut byte).unwrap();
            disk.write(512 + at, &[byte[0] ^ 1 << bit]);
            assert!(confidence("gpt", &disk) >= Some(90), "byte {at}");
            let opened = open("gpt", &disk);
            assert_eq!(opened.usable(), BOTH, "byte {at}");
            let code = if at < 92 {
                "gpt-primary-damaged"
            } else {
                "gpt-entries-damaged"
            };
            assert_eq!(opened.codes, [code], "byte {at}");
            assert_eq!(opened.structures().len(), 5);
        }
    }
}

#[test]
fn a_damaged_backup_is_told_and_nothing_else_changes() {
    let mut disk = Gpt::default().disk(SIZE);
    disk.write(SIZE - 512, &[0; 512]);
    let opened = open("gpt", &disk);
    assert_eq!(opened.usable(), BOTH);
    assert_eq!(opened.codes, ["gpt-backup-damaged"]);
}

#[test]
fn copies_that_disagree_are_told_and_the_first_is_believed() {
    let mut disk = Gpt::default().disk(SIZE);
    let other = Gpt {
        parts: vec![(1, 2048, 8191, "other")],
        ..Gpt::default()
    };
    let last = SIZE / 512 - 1;
    disk.write(SIZE - 512, &other.header(last, 1, last - 32, last));
    disk.write(SIZE - 512 - 16384, &other.array());
    let opened = open("gpt", &disk);
    assert_eq!(opened.usable(), BOTH);
    assert_eq!(opened.codes, ["gpt-copies-disagree"]);
}

#[test]
fn on_a_grown_disk_the_backup_is_found_where_the_disk_ended() {
    let mut grown = SparseDisk::new(2 * SIZE);
    Gpt::default().write(&mut grown, SIZE);
    let opened = open("gpt", &grown);
    assert_eq!(opened.usable(), BOTH);
    assert_eq!(opened.codes, ["gpt-backup-not-at-end"]);

    // Without the signature the header still says where its backup is; without all of it, the
    // protective MBR does.
    for gone in [8, 512] {
        let mut damaged = grown.clone();
        damaged.write(512, &vec![0; gone]);
        assert_eq!(confidence("gpt", &damaged), Some(20));
        let opened = open("gpt", &damaged);
        assert_eq!(opened.usable(), BOTH);
        assert_eq!(
            opened.codes,
            ["gpt-primary-damaged", "gpt-backup-not-at-end"]
        );
        let detail = opened.structures()[2];
        assert_eq!(detail, ("gpt-entries", 1024, 1024 + 16384));
    }
}

#[test]
fn with_both_entry_arrays_damaged_the_first_gives_what_it_has() {
    let mut disk = Gpt::default().disk(SIZE);
    disk.write(1024 + 16060, &[1]);
    disk.write(SIZE - 1024, &[1]);
    let opened = open("gpt", &disk);
    assert_eq!(opened.usable(), BOTH);
    assert_eq!(opened.codes, ["gpt-entries-damaged", "gpt-entries-damaged"]);
}

#[test]
fn with_nothing_but_a_protective_mbr_it_is_an_error() {
    let mut disk = SparseDisk::new(SIZE);
    disk.write(0, &mbr(&[(0xEE, 1, 16383)]));
    assert_eq!(confidence("gpt", &disk), Some(20));
    let (set, _) = try_open("gpt", Arc::new(disk));
    assert_eq!(set.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_header_that_cannot_be_read_is_no_reason_to_give_up() {
    let disk = Gpt::default().disk(SIZE);
    let faulty = Faulty::failing(Arc::new(disk), ByteRange::new(512, 1024).into());
    let (set, codes) = try_open("gpt", Arc::new(faulty));
    assert_eq!(set.unwrap().volumes.len(), 2);
    assert!(codes.contains(&"gpt-primary-damaged".to_owned()));
}

#[test]
fn odd_partitions_are_cut_or_kept_from_use_and_told() {
    let gpt = Gpt {
        parts: vec![
            (1, 2048, 40_000, "cut"),
            (2, 16384, 17000, "behind"),
            (3, 5000, 4000, "backwards"),
            (4, u64::MAX - 1, u64::MAX, "far"),
            (5, 4096, 4196, "within"),
            (6, 64, 2048, "touches"),
        ],
        ..Gpt::default()
    };
    let opened = open("gpt", &gpt.disk(SIZE));
    // What lies within another one comes first.
    let usable = [
        ("p5", 4096 * 512, 101 * 512),
        ("p6", 64 * 512, 1985 * 512),
        ("p1", MIB, SIZE - MIB),
    ];
    assert_eq!(opened.usable(), usable);
    let count = |code: &str| opened.codes.iter().filter(|c| *c == code).count();
    assert_eq!(count("partition-clipped"), 1);
    assert_eq!(count("partition-beyond-disk"), 1);
    assert_eq!(count("partition-invalid"), 2);
    assert_eq!(count("partition-overlap"), 2);
    assert_eq!(opened.set.volumes.len(), 6);
}

#[test]
fn a_bios_boot_partition_is_boot_code() {
    let gpt = Gpt::default();
    let mut disk = gpt.disk(SIZE);
    let mut array = gpt.array();
    // 21686148-6449-6E6F-744E-656564454649 spells "Hah!IdontNeedEFI" on disk.
    array[..16].copy_from_slice(b"Hah!IdontNeedEFI");
    disk.write(1024, &array);
    let opened = open("gpt", &disk);
    // The backup has the right checksum, and another type.
    assert_eq!(opened.codes, ["gpt-entries-damaged"]);
    disk.write(SIZE - 512, &[0; 512]);
    let opened = open("gpt", &disk);
    let boot = opened.set.structures.iter().find(|s| s.role == Role::Boot);
    assert_eq!(boot.unwrap().range.start(), MIB);
    assert_eq!(
        opened.set.volumes[0].partition_type.as_deref(),
        Some("21686148-6449-6e6f-744e-656564454649")
    );
}
