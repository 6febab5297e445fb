//! Volumes that lie, or that few programs make: what is still right, and what is said.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

mod maker;

use std::sync::Arc;

use hexz_fs_fat::FatPlugin;
use hexz_resolve::{FilesystemPlugin, FsState, Probe, ReadAt, Role, Window};

use maker::{Answers, HEAP, Maker, ROOT, TABLE, checksum};

const FILE: u8 = 0x20;
const DIRECTORY: u8 = 0x10;

#[test]
fn a_cycle_ends_where_it_starts_again() {
    let mut maker = Maker::new();
    maker.chain(&[(2, 3), (3, 4), (4, 3)]);
    let file = maker.entry(b"CYCLE   TXT", FILE, 2, 5000);
    let answers = Answers::of(maker.image);
    for (cluster, offset) in [(2, 0), (3, 512), (4, 1024)] {
        assert_eq!(answers.owners(cluster), [(file, Some(offset))]);
    }
    assert!(answers.found("fat-chain-cycle"));
}

#[test]
fn all_files_that_share_clusters_own_them() {
    let mut maker = Maker::new();
    // The second joins the first in the middle, from behind.
    maker.chain(&[(2, 3), (3, 4), (4, 0xFFFF), (9, 3)]);
    let one = maker.entry(b"ONE        ", FILE, 2, 1536);
    let two = maker.entry(b"TWO        ", FILE, 9, 1536);
    let answers = Answers::of(maker.image);
    assert_eq!(answers.owners(2), [(one, Some(0))]);
    assert_eq!(answers.owners(9), [(two, Some(0))]);
    assert_eq!(answers.owners(3), [(one, Some(512)), (two, Some(512))]);
    assert_eq!(answers.owners(4), [(one, Some(1024)), (two, Some(1024))]);
    assert!(answers.found("fat-cross-linked"));
}

#[test]
fn what_no_file_has_is_lost_and_not_free() {
    let mut maker = Maker::new();
    maker.chain(&[(2, 0xFFFF), (10, 11), (11, 0xFFFF), (12, 0xFFF7)]);
    maker.entry(b"FILE       ", FILE, 2, 3);
    let answers = Answers::of(maker.image);
    assert!(answers.roles(10).is_empty() && answers.roles(11).is_empty());
    assert_eq!(answers.roles(12), [Role::Gap]);
    assert_eq!(answers.roles(13), [Role::Free]);
    assert!(answers.found("fat-lost-clusters"));
}

#[test]
fn chains_that_lead_nowhere_are_told_and_the_rest_stays() {
    let mut maker = Maker::new();
    maker.chain(&[(2, 3), (3, 60000), (4, 5), (6, 0xFFFF), (8, 1)]);
    let outside = maker.entry(b"OUTSIDE    ", FILE, 2, 5000);
    let free = maker.entry(b"FREE       ", FILE, 4, 1024);
    let short = maker.entry(b"SHORT      ", FILE, 6, 1024);
    let one = maker.entry(b"ONE        ", FILE, 8, 700);
    maker.entry(b"NONE       ", FILE, 0, 700);
    maker.entry(b"BEYOND     ", FILE, 65000, 700);
    let answers = Answers::of(maker.image);
    assert_eq!(answers.owners(3), [(outside, Some(512))]);
    assert_eq!(answers.owners(5), [(free, Some(512))]);
    assert_eq!(answers.owners(6), [(short, Some(0))]);
    assert_eq!(answers.owners(8), [(one, Some(0))]);
    for code in [
        "fat-chain-outside",
        "fat-chain-free",
        "fat-size-beyond-chain",
    ] {
        assert!(answers.found(code), "{code}: {:?}", answers.findings);
    }
    assert_eq!(answers.paths.len(), 6);
}

#[test]
fn directories_that_name_themselves_end() {
    let mut maker = Maker::new();
    maker.chain(&[(2, 0xFFFF), (3, 0xFFFF)]);
    let directory = maker.entry(b"DIR        ", DIRECTORY, 2, 0);
    maker.write(HEAP, b".          ", DIRECTORY, 2, 0);
    maker.write(HEAP + 32, b"..         ", DIRECTORY, 0, 0);
    maker.write(HEAP + 64, b"SELF       ", DIRECTORY, 2, 0);
    maker.write(HEAP + 96, b"IN         ", FILE, 3, 9);
    let answers = Answers::of(maker.image);
    let paths: Vec<&str> = answers.paths.keys().map(String::as_str).collect();
    assert_eq!(paths, ["/DIR", "/DIR/IN", "/DIR/SELF"]);
    assert_eq!(answers.owners(2).len(), 2, "{directory}");
    assert!(answers.found("corrupt-directory"));
}

#[test]
fn long_names_count_when_they_are_whole() {
    let name = b"LONGNA~1TXT";
    let sum = checksum(name);
    let mut maker = Maker::new();
    let mut long = |parts: &[(u8, u8, &str)]| {
        for (order, sum, text) in parts {
            maker.part(*order, *sum, text);
        }
        maker.entry(name, FILE, 0, 0)
    };
    let whole = long(&[(0x42, sum, "me.txt"), (1, sum, "A rather nam\u{e4}")]);
    let wrong_sum = long(&[(0x41, sum ^ 1, "wrong sum")]);
    let no_start = long(&[(1, sum, "no start")]);
    let out_of_order = long(&[(0x43, sum, "c"), (1, sum, "a")]);
    let with_slash = long(&[(0x41, sum, "a/b")]);
    let dots = long(&[(0x41, sum, "..")]);
    let restarted = long(&[(0x43, sum, "x"), (0x41, sum, "restarted")]);
    maker.part(0x41, sum, "orphan");
    let mut deleted = *b"DELETED TXT";
    deleted[0] = 0xE5;
    maker.entry(&deleted, FILE, 7, 100);
    maker.entry(b"LABEL      ", 0x08, 0, 0);
    let last = maker.entry(b"\x05LAST   \xE1\xE6 ", FILE, 0, 0);
    let answers = Answers::of(maker.image);
    let named = |number: u64| {
        let mut paths = answers.paths.iter().filter(|(_, n)| **n == number);
        paths.next().map_or("", |(path, _)| path.as_str())
    };
    assert_eq!(named(whole), "/A rather nam\u{e4}me.txt");
    assert_eq!(named(restarted), "/restarted");
    assert_eq!(named(last), "/σLAST.ßµ");
    let short = [wrong_sum, no_start, out_of_order, with_slash, dots];
    // They have one name: the last of them stands in the map.
    assert_eq!(named(short[4]), "/LONGNA~1.TXT");
    assert_eq!(answers.paths.len(), 4);
    assert_eq!(answers.fs.info().label, b"LABEL");
    assert_eq!(answers.roles(7), [Role::Free]);
}

#[test]
fn what_stands_behind_the_end_of_a_directory_is_no_file() {
    let mut maker = Maker::new();
    maker.entry(b"FIRST      ", FILE, 0, 0);
    maker.write(ROOT + 64, b"BEHIND     ", FILE, 0, 0);
    assert_eq!(Answers::of(maker.image).paths.len(), 1);
}

#[test]
fn label_serial_number_and_state() {
    let mut maker = Maker::new();
    let answers = Answers::of(maker.image.clone());
    let info = answers.fs.info();
    assert_eq!(
        (info.filesystem, &info.label[..]),
        ("fat16", &b"IN BOOT"[..])
    );
    assert_eq!(info.uuid.as_deref(), Some("1234-5678"));
    assert!(info.local_times && info.state == FsState::Clean);
    maker.put(37, &[1]);
    let dirty = Answers::of(maker.image.clone());
    assert!(dirty.found("fat-dirty") && dirty.fs.info().state == FsState::NeedsRecovery);
    maker.put(37, &[0]);
    maker.chain(&[(1, 0x7FFF)]);
    assert!(Answers::of(maker.image).found("fat-dirty"));
}

#[test]
fn the_number_of_clusters_says_which_fat_it_is() {
    // Names that mean nothing.
    for (name, sectors, kind) in [(b"FAT16   ", 4084, "fat12"), (b"FAT12   ", 4085, "fat16")] {
        let mut maker = Maker::new();
        maker.put(54, name);
        maker.put(19, &((HEAP / 512 + sectors) as u16).to_le_bytes());
        if kind == "fat12" {
            maker.put(TABLE, &[0xF8, 0xFF, 0xFF]);
        }
        assert_eq!(Answers::of(maker.image).fs.info().filesystem, kind);
    }
}

#[test]
fn a_table_of_2_to_the_28_clusters_on_a_small_volume() {
    let mut boot = vec![0; 64 << 10];
    boot[..3].copy_from_slice(&[0xEB, 0x58, 0x90]);
    boot[11..13].copy_from_slice(&512u16.to_le_bytes());
    boot[13] = 1;
    boot[14..16].copy_from_slice(&32u16.to_le_bytes());
    boot[16] = 1;
    boot[21] = 0xF8;
    boot[32..36].copy_from_slice(&0x1020_0000u32.to_le_bytes());
    boot[36..40].copy_from_slice(&0x20_0000u32.to_le_bytes());
    boot[44..48].copy_from_slice(&2u32.to_le_bytes());
    boot[510..512].copy_from_slice(&[0x55, 0xAA]);
    boot[32 * 512..][..12]
        .copy_from_slice(&[0xF8, 0xFF, 0xFF, 0x0F, 255, 255, 255, 15, 255, 255, 255, 15]);
    let before = resident();
    let answers = Answers::of(boot);
    assert!(answers.found("fat-volume-short"));
    assert!(resident().saturating_sub(before) < 64 << 20);
}

/// Peak resident memory of the process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

#[test]
fn probes_look_at_more_than_the_signature() {
    let probe = |image: Vec<u8>| {
        let image: Arc<dyn ReadAt> = Arc::new(image);
        FatPlugin.probe(&Window::read(&image))
    };
    let maker = Maker::new();
    assert_eq!(probe(maker.image.clone()), Probe::matches(85));
    let mut unsigned = maker.clone();
    unsigned.put(510, &[0, 0]);
    assert_eq!(probe(unsigned.image), Probe::matches(60));
    let mut no_table = maker.clone();
    no_table.put(TABLE, &[0; 4]);
    assert_eq!(probe(no_table.image), Probe::No);
    let mut named = maker.clone();
    named.put(54, b"FAT16   ");
    named.put(13, &[3]);
    assert!(matches!(probe(named.image), Probe::Damaged { .. }));
    assert_eq!(probe(vec![0; 1 << 20]), Probe::No);
}
