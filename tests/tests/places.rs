//! Which volume of one view is which of the other, and what tells that a volume was taken for what
//! it is no more.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use hexz_acceptance::schema::Report;
use hexz_acceptance::{Case, Hexz};
use hexz_testkit::{Fixture, decompress, fixtures_dir};
use tempfile::TempDir;

const MIB: usize = 1 << 20;
const SECTOR: usize = 512;

/// A disk of 32 MiB with an MBR: slot, start, and what lies there.
fn disk(parts: &[(usize, usize, &[u8])]) -> Vec<u8> {
    let mut disk = vec![0; 32 * MIB];
    for (slot, start, bytes) in parts {
        disk[*start..start + bytes.len()].copy_from_slice(bytes);
        let entry = &mut disk[446 + 16 * (slot - 1)..][..16];
        entry[4] = 0x83;
        let number = |n: usize| {
            u32::try_from(n / SECTOR)
                .expect("a small disk")
                .to_le_bytes()
        };
        entry[8..12].copy_from_slice(&number(*start));
        entry[12..16].copy_from_slice(&number(bytes.len()));
    }
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    disk
}

fn diff(before: &[u8], after: &[u8]) -> Report {
    let dir = TempDir::new().expect("a temporary folder");
    for (name, bytes) in [("before.img", before), ("after.img", after)] {
        std::fs::write(dir.path().join(name), bytes).expect("a temporary folder");
    }
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    let report = hexz.report("diff --files --json before.img after.img");
    report.check_sums();
    report
}

/// The fixture without a table, before and after its changes.
fn filesystems() -> [Vec<u8>; 2] {
    let fixture = Fixture::load("no-table");
    let mut merged = vec![0; fixture.bytes("base.img").len()];
    fixture
        .merged()
        .read_exact_at(0, &mut merged)
        .expect("the merged disk");
    [fixture.bytes("base.img"), merged]
}

fn told(report: &Report) -> Vec<(String, String)> {
    let changes = report.changes.iter();
    changes
        .map(|c| (c.change.clone(), c.path.clone()))
        .collect()
}

#[test]
fn a_partition_with_another_number_is_the_same_volume() {
    let [before, after] = filesystems();
    let old = disk(&[(3, MIB, &before)]);
    let report = diff(&old, &disk(&[(1, MIB, &before)]));
    assert_eq!(told(&report), []);
    let volume = report.volume("p1");
    assert_eq!(volume.base_volume.as_deref(), Some("p3"));
    assert_eq!(volume.base_start, None);
    // With changes, they are those of the filesystem.
    let expected = told(&diff(&before, &after));
    assert!(!expected.is_empty());
    assert_eq!(told(&diff(&old, &disk(&[(1, MIB, &after)]))), expected);
}

#[test]
fn a_partition_that_was_moved_is_the_same_volume() {
    let [before, after] = filesystems();
    let old = disk(&[(1, MIB, &before)]);
    // Its new place overlaps its old one.
    for start in [2 * MIB, 16 * MIB] {
        let report = diff(&old, &disk(&[(1, start, &before)]));
        assert_eq!(told(&report), []);
        let volume = report.volume("p1");
        assert_eq!(volume.base_start, Some(MIB as u64));
        let codes: Vec<_> = report.diagnostics.iter().map(|d| d.code.as_str()).collect();
        assert!(codes.contains(&"volume-moved"), "{codes:?}");
        let expected = told(&diff(&before, &after));
        assert_eq!(told(&diff(&old, &disk(&[(2, start, &after)]))), expected);
    }
}

#[test]
fn copies_of_one_filesystem_are_told_apart_by_their_places() {
    let [before, after] = filesystems();
    let old = disk(&[(1, MIB, &before), (2, 16 * MIB, &before)]);
    let new = disk(&[(2, MIB, &before), (1, 16 * MIB, &after)]);
    let report = diff(&old, &new);
    let expected = told(&diff(&before, &after));
    assert_eq!(told(&report), expected);
    assert!(report.changes.iter().all(|c| c.volume == "p1"));
    assert_eq!(report.volume("p1").start, 16 * MIB as u64);
    assert_eq!(report.volume("p1").base_volume.as_deref(), Some("p2"));
}

/// The NTFS of a fixture under the first bytes of a format that no one knows, and the same with new
/// data where the NTFS calls its clusters free.
fn under_an_unknown_format() -> [Vec<u8>; 2] {
    let mut before = Fixture::load("ntfs-plain").bytes("base.img");
    before[..SECTOR].fill(0xB7);
    let dir = TempDir::new().expect("a temporary folder");
    std::fs::write(dir.path().join("disk.img"), &before).expect("a temporary folder");
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    let map = hexz.text("map --json disk.img");
    let mut after = before.clone();
    let mut blocks = 0;
    for line in map.lines().filter(|l| l.contains(r#""class":"free""#)) {
        let record: serde_json::Value = serde_json::from_str(line).expect("a record");
        let number = |key: &str| record[key].as_u64().expect("a number") as usize;
        let (start, end) = (number("start"), number("start") + number("length"));
        let mut at = start.next_multiple_of(4096);
        while at + 4096 <= end && blocks < 16 {
            after[at..at + 4096].fill(b'n');
            blocks += 1;
            at += 4096;
        }
    }
    assert_eq!(blocks, 16);
    [before, after]
}

#[test]
fn data_in_free_space_tells_of_a_wrong_detection() {
    let [before, after] = under_an_unknown_format();
    let report = diff(&before, &after);
    assert_eq!(report.volume("disk").filesystem.as_deref(), Some("ntfs"));
    let mut findings = report.diagnostics.iter();
    let finding = findings.find(|d| d.code == "free-space-written");
    assert_eq!(finding.map(|d| d.severity.as_str()), Some("warning"));
    // What is cleared is no data.
    let mut cleared = after.clone();
    for (now, then) in cleared.iter_mut().zip(&before) {
        if *now != *then {
            *now = 0;
        }
    }
    let report = diff(&after, &cleared);
    let codes: Vec<_> = report.diagnostics.iter().map(|d| d.code.as_str()).collect();
    assert!(!codes.contains(&"free-space-written"), "{codes:?}");
}

/// Nothing of a fixture's files is told, and all of it is accounted for.
fn unchanged(name: &str) -> Report {
    let case = Case::new(env!("CARGO_BIN_EXE_hexz-under-test"), name);
    let report = case.diff("");
    report.check_sums();
    assert_eq!(told(&report), [], "{name}");
    assert!(report.unresolved.is_empty(), "{:?}", report.unresolved);
    assert!(report.summary.complete, "{:?}", report.diagnostics);
    report
}

/// What a volume was called, and where it started, in base.
fn before(report: &Report, name: &str) -> (Option<String>, Option<u64>) {
    let volume = report.volume(name);
    (volume.base_volume.clone(), volume.base_start)
}

#[test]
fn logical_partitions_that_move_up_stay_what_they_are() {
    let report = unchanged("partition-renumbered");
    assert_eq!(before(&report, "p5"), (Some("p6".to_owned()), None));
    assert_eq!(before(&report, "p6"), (Some("p7".to_owned()), None));
    // What was p5 has a name of its own, since another volume is p5 now.
    let gone = report.volume("p5@base");
    assert_eq!(gone.start, 4096 * SECTOR as u64);
}

#[test]
fn a_renamed_logical_volume_stays_what_it_is() {
    let report = unchanged("lv-renamed");
    let expected = (Some("old/root".to_owned()), None);
    assert_eq!(before(&report, "new/data"), expected);
}

#[test]
fn a_disk_made_into_a_gpt_keeps_its_volumes() {
    let report = unchanged("mbr-to-gpt");
    assert_eq!(report.volume("p1").scheme.as_deref(), Some("gpt"));
    assert_eq!(before(&report, "p1"), (None, None));
    // `sgdisk` numbers the logical partition as its slot is, from 5 on.
    assert_eq!(before(&report, "p5"), (None, None));
}

#[test]
fn a_partition_moved_with_its_data_stays_what_it_is() {
    let report = unchanged("partition-moved");
    let expected = (None, Some(MIB as u64));
    assert_eq!(before(&report, "p1"), expected);
}

/// Where an entry of a table fits in any size of a sector, the container of the disk decides, and
/// `--sector-size` before it.
#[test]
fn sectors_are_those_that_the_container_tells() {
    let mut vhdx = Fixture::load("foreign-images").bytes("disk.vhdx");
    let find = |bytes: &[u8], what: &[u8]| {
        let mut windows = bytes.windows(what.len());
        windows.position(|w| w == what).expect("its identifier")
    };
    let number = |bytes: &[u8], at: usize| {
        let bytes = bytes[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    };
    // MS-VHDX: an entry of the region table is a GUID and an offset; one of the metadata table a
    // GUID and an offset in its region; one of the block allocation table counts in MiB from bit 20.
    let bat = number(&vhdx, find(&vhdx, BAT) + 16);
    let first_block = number(&vhdx, bat) >> 20 << 20;
    let metadata = find(&vhdx, b"metadata");
    let sector_size = metadata + number(&vhdx, find(&vhdx, LOGICAL_SECTOR_SIZE) + 16);
    let mut table = [0; SECTOR];
    table[450] = 0x83;
    table[454] = 16;
    table[458] = 64;
    table[510..].copy_from_slice(&[0x55, 0xAA]);
    vhdx[first_block..][..SECTOR].copy_from_slice(&table);
    for (told, options, start) in [
        (512, "", 8192),
        (4096, "", 65_536),
        (4096, "--sector-size 512", 8192),
    ] {
        vhdx[sector_size..][..4].copy_from_slice(&u32::to_le_bytes(told));
        let dir = TempDir::new().expect("a temporary folder");
        std::fs::write(dir.path().join("disk.vhdx"), &vhdx).expect("a temporary folder");
        let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
        let text = hexz.text(&format!("layout --json {options} disk.vhdx"));
        let volume = text.lines().find(|line| line.contains(r#""volume":"p1""#));
        let volume: serde_json::Value =
            serde_json::from_str(volume.expect("the partition")).expect("a line of JSON");
        assert_eq!(volume["start"], start, "{told} {options}");
        assert_eq!(volume["sector_size"], start / 16, "{told} {options}");
    }
}

/// An NTFS and a UFS that are as sure of themselves: the type of the partition is for one of them.
#[test]
fn the_type_of_a_partition_decides_between_two_that_are_as_sure() {
    let mut ntfs = Fixture::load("ntfs-plain").bytes("base.img");
    // Without the copy of its boot sector it is less sure, and as sure as the other.
    let last = ntfs.len() - SECTOR;
    ntfs[last..].fill(0);
    // `sys/ufs/ffs/fs.h`: the size of a fragment, the size of the filesystem in them, the magic of
    // version 2.
    let superblock = &mut ntfs[64 << 10..][..1376];
    superblock.fill(0);
    superblock[52..56].copy_from_slice(&2048u32.to_le_bytes());
    superblock[1080..1088].copy_from_slice(&4096u64.to_le_bytes());
    superblock[1372..1376].copy_from_slice(&0x1954_0119u32.to_le_bytes());
    for (kind, status, filesystem) in [(0x07, "resolved", "ntfs"), (0x83, "ambiguous", "null")] {
        let mut disk = disk(&[(1, MIB, &ntfs)]);
        disk[450] = kind;
        let dir = TempDir::new().expect("a temporary folder");
        std::fs::write(dir.path().join("disk.img"), &disk).expect("a temporary folder");
        let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
        let output = hexz.run("layout --json disk.img");
        let text = String::from_utf8(output.stdout).expect("text");
        let volume = text.lines().find(|line| line.contains(r#""volume":"p1""#));
        let volume: serde_json::Value =
            serde_json::from_str(volume.expect("the partition")).expect("a line of JSON");
        assert_eq!(volume["status"], status, "{kind:#x}: {text}");
        let found = volume["filesystem"].as_str().unwrap_or("null");
        assert_eq!(found, filesystem, "{kind:#x}");
        let passed_over = text.contains("format-passed-over");
        assert_eq!(passed_over, status == "resolved", "{kind:#x}: {text}");
    }
}

/// `2DC27766-F623-4200-9D64-115E9BFD4A08`, as it lies on the disk.
const BAT: &[u8] = b"\x66\x77\xC2\x2D\x23\xF6\x00\x42\x9D\x64\x11\x5E\x9B\xFD\x4A\x08";
/// `8141BF1D-A96F-4709-BA47-F233A8FAAB5F`.
const LOGICAL_SECTOR_SIZE: &[u8] =
    b"\x1D\xBF\x41\x81\x6F\xA9\x09\x47\xBA\x47\xF2\x33\xA8\xFA\xAB\x5F";

/// What a btrfs left is not read where another filesystem was made in its place, nor what a
/// conversion keeps of the other one.
#[test]
fn a_filesystem_that_is_no_more_is_not_read() {
    let dir = TempDir::new().expect("a temporary folder");
    let folder = fixtures_dir().join("btrfs-gone");
    let cases = [
        ("btrfs", "btrfs", ["in-btrfs"].as_slice()),
        ("ntfs-over-btrfs", "ntfs", &[]),
        ("ext4-over-btrfs", "ext4", &["in-ext4"]),
        ("ext4", "ext4", &["in-ext4"]),
        ("converted", "btrfs", &["ext2_saved", "in-btrfs", "in-ext4"]),
        ("rolled-back", "ext4", &["in-ext4"]),
    ];
    for (name, _, _) in cases {
        let packed = folder.join(format!("{name}.img.zst"));
        let image = dir.path().join(format!("{name}.img"));
        std::fs::write(image, decompress(&packed)).expect("a temporary folder");
    }
    let hexz = Hexz::new(env!("CARGO_BIN_EXE_hexz-under-test"), dir.path());
    for (name, filesystem, directories) in cases {
        let layout = hexz.text(&format!("layout --json {name}.img"));
        let found = format!(r#""filesystem":"{filesystem}""#);
        assert!(layout.contains(&found), "{name}: {layout}");
        let names = hexz.text(&format!("ls {name}.img"));
        let own = |n: &&str| n.starts_with("in-") || n.starts_with("ext2");
        let names: Vec<&str> = names.lines().filter(own).collect();
        assert_eq!(names, directories, "{name}");
    }
    let paths = |before: &str, after: &str, change: &str| {
        let line = format!("diff --files --json {before}.img {after}.img");
        let report = hexz.report(&line);
        report.check_sums();
        let changes = report.changes.iter().filter(|c| c.change == change);
        let files = changes.filter(|c| c.path.contains("/file-"));
        files.map(|c| c.path.clone()).collect::<Vec<_>>()
    };
    let nine = |directory: &str| -> Vec<String> {
        (1..10).map(|n| format!("/{directory}/file-{n}")).collect()
    };
    for after in ["ntfs-over-btrfs", "ext4-over-btrfs"] {
        assert_eq!(
            paths("btrfs", after, "deleted"),
            nine("in-btrfs"),
            "{after}"
        );
    }
    assert_eq!(paths("btrfs", "ext4-over-btrfs", "added"), nine("in-ext4"));
    assert_eq!(paths("ext4", "converted", "added"), nine("in-btrfs"));
    // Its content is that of before.
    for after in ["converted", "rolled-back"] {
        for change in ["deleted", "modified", "renamed"] {
            assert!(paths("ext4", after, change).is_empty(), "{after} {change}");
        }
    }
}
