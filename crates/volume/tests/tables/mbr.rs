//! MBR and chains of logical partitions.

use std::sync::Arc;

use hexz_resolve::{ErrorKind, Unusable};
use hexz_testkit::SparseDisk;

use crate::build::{MIB, confidence, mbr, open, try_open};

const SIZE: u64 = 64 * MIB;
const SECTORS: u32 = 131_072;

fn disk(sectors: &[(u64, [u8; 512])]) -> SparseDisk {
    let mut disk = SparseDisk::new(SIZE);
    for (lba, bytes) in sectors {
        disk.write(lba * 512, bytes);
    }
    disk
}

#[test]
fn primaries_keep_their_slots_and_start_at_any_sector() {
    let table = mbr(&[
        (0x83, 63, 4096),
        (0, 0, 0),
        (0x07, 8192, 100),
        (0x0C, 20_000, 5),
    ]);
    let disk = disk(&[(0, table)]);
    assert_eq!(confidence("mbr", &disk), Some(75));
    assert_eq!(confidence("gpt", &disk), None);
    let opened = open("mbr", &disk);
    let expected = [
        ("p1", 63 * 512, 4096 * 512),
        ("p3", 8192 * 512, 100 * 512),
        ("p4", 20_000 * 512, 5 * 512),
    ];
    assert_eq!(opened.usable(), expected);
    let types: Vec<_> = opened
        .set
        .volumes
        .iter()
        .map(|v| &v.partition_type)
        .collect();
    let expected = ["0x83", "0x07", "0x0c"].map(|t| Some(t.to_owned()));
    assert!(types.into_iter().eq(&expected));
    assert_eq!(opened.structures(), [("mbr", 0, 512)]);
    assert_eq!(opened.codes, [""; 0]);
}

#[test]
fn logical_partitions_come_in_the_order_of_the_chain() {
    // The second record lies before the first one in place, which is legal.
    for kind in [0x05, 0x0F, 0x85] {
        let disk = disk(&[
            (0, mbr(&[(0x83, 63, 900), (kind, 1000, 50_000)])),
            (1000, mbr(&[(0x83, 63, 100), (0x05, 30_000, 5000)])),
            (31_000, mbr(&[(0x82, 1, 200), (0x05, 10_000, 5000)])),
            (11_000, mbr(&[(0x07, 63, 300)])),
        ]);
        assert_eq!(confidence("mbr", &disk), Some(75));
        let opened = open("mbr", &disk);
        let expected = [
            ("p1", 63 * 512, 900 * 512),
            ("p5", 1063 * 512, 100 * 512),
            ("p6", 31_001 * 512, 200 * 512),
            ("p7", 11_063 * 512, 300 * 512),
        ];
        assert_eq!(opened.usable(), expected);
        let expected = [
            ("mbr", 0, 512),
            ("ebr", 1000 * 512, 1001 * 512),
            ("ebr", 11_000 * 512, 11_001 * 512),
            ("ebr", 31_000 * 512, 31_001 * 512),
        ];
        assert_eq!(opened.structures(), expected);
        assert_eq!(opened.codes, [""; 0]);
    }
}

#[test]
fn an_empty_extended_partition_is_no_finding() {
    let opened = open("mbr", &disk(&[(0, mbr(&[(0x05, 1000, 5000)]))]));
    assert!(opened.set.volumes.is_empty());
    assert_eq!(opened.codes, [""; 0]);
    // After the first of two was deleted, its record stays and names only the next.
    let opened = open(
        "mbr",
        &disk(&[
            (0, mbr(&[(0x05, 1000, 5000)])),
            (1000, mbr(&[(0, 0, 0), (0x05, 2000, 500)])),
            (3000, mbr(&[(0x83, 63, 100)])),
        ]),
    );
    assert_eq!(opened.usable(), [("p5", 3063 * 512, 100 * 512)]);
    assert_eq!(opened.codes, [""; 0]);
}

#[test]
fn a_chain_that_goes_wrong_ends_there_and_keeps_what_it_had() {
    let first = [("p5", 1063 * 512, 100 * 512)];
    let chain = |next: (u8, u32, u32), more: &[(u64, [u8; 512])]| {
        let mut sectors = vec![
            (0, mbr(&[(0x05, 1000, 100_000)])),
            (1000, mbr(&[(0x83, 63, 100), next])),
        ];
        sectors.extend_from_slice(more);
        open("mbr", &disk(&sectors))
    };
    let to_itself = chain((0x05, 0, 10), &[]);
    assert_eq!(to_itself.usable(), first);
    assert_eq!(to_itself.codes, ["ebr-cycle"]);

    let back = chain(
        (0x05, 5000, 10),
        &[(6000, mbr(&[(0x83, 1, 9), (0x05, 0, 10)]))],
    );
    assert_eq!(back.usable().len(), 2);
    assert_eq!(back.codes, ["ebr-cycle"]);

    let beyond = chain((0x05, 4_000_000_000, 10), &[]);
    assert_eq!(beyond.usable(), first);
    assert_eq!(beyond.codes, ["corrupt-ebr"]);

    let nowhere = chain((0x05, 5000, 10), &[]);
    assert_eq!(nowhere.usable(), first);
    assert_eq!(nowhere.codes, ["corrupt-ebr"]);

    let outside = chain((0x83, 120_000, 100), &[]);
    assert_eq!(outside.usable().len(), 2);
    assert_eq!(outside.codes, ["ebr-outside"]);
}

#[test]
fn a_chain_without_end_is_cut() {
    let mut sectors = vec![(0, mbr(&[(0x05, 1000, 100_000)]))];
    for n in 0..400u32 {
        let record = mbr(&[(0x83, 1, 1), (0x05, 10 * (n + 1), 10)]);
        sectors.push((1000 + 10 * u64::from(n), record));
    }
    let opened = open("mbr", &disk(&sectors));
    assert_eq!(opened.usable().len(), 256);
    assert_eq!(opened.codes, ["ebr-too-many"]);
}

#[test]
fn partitions_past_the_end_are_cut_or_kept_from_use() {
    let table = mbr(&[
        (0x83, 63, u32::MAX),
        (0x83, SECTORS, 1),
        (0x83, u32::MAX, u32::MAX),
    ]);
    let disk = disk(&[(0, table)]);
    assert_eq!(confidence("mbr", &disk), Some(60));
    let opened = open("mbr", &disk);
    assert_eq!(opened.usable(), [("p1", 63 * 512, SIZE - 63 * 512)]);
    assert_eq!(
        opened.codes,
        [
            "partition-clipped",
            "partition-beyond-disk",
            "partition-beyond-disk"
        ]
    );
    let reason = "it starts at byte 67108864, and the disk ends at 67108864";
    let found = opened.set.volumes[1].unusable.clone();
    assert_eq!(found, Some(Unusable::Damaged(reason.to_owned())));
}

#[test]
fn an_isohybrid_whose_first_partition_starts_at_zero_is_read() {
    let disk = disk(&[(0, mbr(&[(0x17, 0, 100_000), (0xEF, 200, 2880)]))]);
    assert_eq!(confidence("mbr", &disk), Some(60));
    let opened = open("mbr", &disk);
    // What lies within another partition comes first.
    let expected = [("p2", 200 * 512, 2880 * 512), ("p1", 0, 100_000 * 512)];
    assert_eq!(opened.usable(), expected);
    assert_eq!(opened.codes, ["partition-overlap"]);
}

#[test]
fn without_a_signature_it_is_an_error() {
    let (set, _) = try_open("mbr", Arc::new(SparseDisk::new(SIZE)));
    assert_eq!(set.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn an_entry_without_a_type_is_a_partition_as_in_linux() {
    // Hybrid ISOs name the whole of themselves so, beside the partition of their boot loader.
    let disk = disk(&[(0, mbr(&[(0, 0, 60_000), (0xEF, 304, 2880)]))]);
    assert_eq!(confidence("mbr", &disk), Some(60));
    let opened = open("mbr", &disk);
    let mut usable = opened.usable();
    usable.sort_unstable();
    assert_eq!(
        usable,
        [("p1", 0, 60_000 * 512), ("p2", 304 * 512, 2880 * 512)]
    );
}
