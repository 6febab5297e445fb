//! Members of Linux RAID arrays, built byte by byte from `md_p.h`.

use std::sync::Arc;

use hexz_resolve::{ErrorKind, Probe, Window};
use hexz_testkit::SparseDisk;

use crate::build::{MIB, open, scheme, try_open};

const SIZE: u64 = 64 * MIB;
/// Where the data of versions with a superblock in front starts.
const DATA: u64 = MIB;

struct Member {
    level: i32,
    layout: u32,
    disks: u32,
    role: u16,
}

impl Member {
    const fn of(level: i32, disks: u32) -> Self {
        Self {
            level,
            layout: 0,
            disks,
            role: 0,
        }
    }

    /// A superblock of version 1 at `at`, for data from `data` on.
    fn superblock(&self, at: u64, data: u64) -> Vec<u8> {
        let mut sb = vec![0; 4096];
        let mut put = |at: usize, bytes: &[u8]| sb[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &0xA92B_4EFCu32.to_le_bytes());
        put(4, &1u32.to_le_bytes());
        put(16, &[7; 16]);
        put(32, b"host:data");
        put(72, &self.level.to_le_bytes());
        put(76, &self.layout.to_le_bytes());
        put(80, &(32 * MIB / 512).to_le_bytes());
        put(88, &128u32.to_le_bytes());
        put(208, &u64::MAX.to_le_bytes());
        put(92, &self.disks.to_le_bytes());
        put(128, &(data / 512).to_le_bytes());
        put(136, &((40 * MIB) / 512).to_le_bytes());
        put(144, &(at / 512).to_le_bytes());
        put(220, &128u32.to_le_bytes());
        put(256, &self.role.to_le_bytes());
        let words = sb[..256 + 2 * 128].chunks_exact(4);
        let sum: u64 = words
            .map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())))
            .sum();
        let sum = (sum & 0xFFFF_FFFF) as u32 + (sum >> 32) as u32;
        sb[216..220].copy_from_slice(&sum.to_le_bytes());
        sb
    }

    fn disk(&self, at: u64, data: u64) -> SparseDisk {
        let mut disk = SparseDisk::new(SIZE);
        disk.write(at, &self.superblock(at, data));
        disk
    }
}

#[test]
fn a_mirror_alone_holds_everything_and_says_so() {
    let versions = [(0, DATA), (4096, DATA), (SIZE - 8192, 0)];
    for (at, data) in versions {
        let disk = Member::of(1, 2).disk(at, data);
        assert_eq!(confidence_of(&disk), Some(95));
        let opened = open("md", &disk);
        // As much as the smallest disk has.
        assert_eq!(opened.usable(), [("md/data", data, 32 * MIB)]);
        assert_eq!(opened.codes, ["md-one-of-several"]);
        assert_eq!(opened.structures()[0], ("md-superblock", at, at + 4096));
    }
}

/// The scheme has no magic, so it is always asked.
fn confidence_of(disk: &SparseDisk) -> Option<u8> {
    match scheme("md").probe(&Window::read(disk)) {
        Probe::Match { confidence, .. } => Some(confidence),
        _ => None,
    }
}

#[test]
fn one_disk_of_several_is_not_read_and_is_named() {
    for (level, disks) in [(0, 2), (-1, 2), (5, 3), (6, 4), (10, 4)] {
        let disk = Member::of(level, disks).disk(4096, DATA);
        let (set, _) = try_open("md", Arc::new(disk));
        let error = set.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let reason = error.chain();
        assert!(reason.contains(&format!("the {disks} of")), "{reason}");
    }
}

#[test]
fn parity_of_one_disk_and_near_copies_on_all_are_copies() {
    let near = Member {
        layout: 0x102,
        ..Member::of(10, 2)
    };
    for member in [Member::of(5, 2), near] {
        let opened = open("md", &member.disk(4096, DATA));
        assert_eq!(opened.usable(), [("md/data", DATA, 32 * MIB)]);
    }
}

#[test]
fn a_spare_holds_nothing() {
    let spare = Member {
        role: 0xFFFF,
        ..Member::of(1, 2)
    };
    let (set, _) = try_open("md", Arc::new(spare.disk(4096, DATA)));
    assert_eq!(set.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_damaged_superblock_is_told() {
    let mut disk = Member::of(1, 2).disk(4096, DATA);
    disk.write(4096 + 100, &[1]);
    assert_eq!(confidence_of(&disk), Some(60));
    assert!(
        open("md", &disk)
            .codes
            .contains(&"md-superblock-damaged".to_owned())
    );
}
