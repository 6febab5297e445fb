//! Damaged archives: an error or the same bytes, and never a panic.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::path::{Path, PathBuf};

use hexz_resolve::{Diagnostics, Limits, ReadAt, ReadError, read_vec};
use hexz_source::{DefaultGate, open_image};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// xorshift: the same damage in every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

/// Opens `bytes` as the archive `name` in `dir`, and reads the blocks at `offsets`.
fn read_some(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    offsets: &[u64],
) -> Option<Vec<Result<Vec<u8>, ReadError>>> {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    let found = Diagnostics::new();
    let image = open_image(&path, &Limits::default(), &DefaultGate::new(), &found).ok()?;
    let read = |at: &u64| read_vec(&*image, *at, 4096);
    Some(offsets.iter().map(read).collect())
}

#[test]
fn flipped_bytes_are_an_error_or_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let base = fixtures().join("archives/layout-d-0.8.2-lz4.hxz");
    std::fs::copy(&base, dir.path().join("layout-d-0.8.2-lz4.hxz")).unwrap();
    let mut random = Seeded(0x5EED);
    for name in [
        "layout-a-0.4.0-lz4.hxz",
        "layout-b-0.5.0-zstd-cdc.hxz",
        "layout-c-0.7.0-zstd.hxz",
        "layout-d-0.8.2-thin.hxz",
    ] {
        let sound = std::fs::read(fixtures().join("archives").join(name)).unwrap();
        // Where the index begins: nearly all of an archive is blocks, nearly all parsing is not.
        let index = sound.len() - 14_000;
        let offsets: Vec<u64> = (0..24).map(|n| n * 1_700_000 / 4096 * 4096).collect();
        let good = read_some(dir.path(), "x.hxz", &sound, &offsets).unwrap();
        let mut refused = 0;
        for round in 0..150 {
            let mut bytes = sound.clone();
            for _ in 0..=random.next(3) {
                let at = match round % 3 {
                    0 => random.next(160),
                    1 => index + random.next(bytes.len() - index),
                    _ => 4096 + random.next(bytes.len() - 4096),
                };
                bytes[at] ^= 1 << random.next(8);
            }
            let Some(got) = read_some(dir.path(), "x.hxz", &bytes, &offsets) else {
                refused += 1;
                continue;
            };
            for (got, good) in got.iter().zip(&good) {
                match got {
                    // A block record whose offset and length still fit another block, or a page
                    // entry that moved it: only the hash could tell, and that is not checked.
                    Ok(got) if round % 3 == 2 => assert!(got == good.as_ref().unwrap(), "{name}"),
                    Ok(_) => {}
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > 20, "{name}: only {refused}: the damage missed");
    }
}

#[test]
fn archives_that_were_cut_short_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sound = std::fs::read(fixtures().join("archives/layout-c-0.7.0-zstd.hxz")).unwrap();
    for length in [
        4,
        7,
        8,
        23,
        24,
        100,
        4096,
        4097,
        500_000,
        sound.len() - 61,
        sound.len() - 1,
    ] {
        let got = read_some(dir.path(), "x.hxz", &sound[..length], &[0]);
        assert!(got.is_none(), "{length}");
    }
    // Shorter than a magic: a raw image.
    assert!(read_some(dir.path(), "x.hxz", &sound[..3], &[]).is_some());
}

#[test]
fn one_page_for_the_whole_of_a_huge_disk_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sound = std::fs::read(fixtures().join("archives/layout-a-0.4.0-lz4.hxz")).unwrap();
    let index = sound.len() - 60;
    let entry = sound[index + 8..index + 36].to_vec();
    let mut bytes = sound[..index].to_vec();
    let count = 1000u64;
    bytes.extend(count.to_le_bytes());
    for n in 0..count {
        bytes.extend(&entry[..12]);
        bytes.extend((n * 640).to_le_bytes());
        bytes.extend((n * (40 << 20)).to_le_bytes());
    }
    bytes.extend(0u64.to_le_bytes());
    bytes.extend((count * (40 << 20)).to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    let path = dir.path().join("x.hxz");
    std::fs::write(&path, bytes).unwrap();
    let gate = DefaultGate::new();
    let error = open_image(&path, &Limits::default(), &gate, &Diagnostics::new());
    let text = error.err().unwrap().chain();
    assert!(text.contains("pages that fit"), "{text}");
}

#[test]
fn a_disk_longer_than_its_index_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(fixtures().join("archives/layout-a-0.4.0-lz4.hxz")).unwrap();
    // The size of the disk, behind the two lists of pages.
    let at = bytes.len() - 16;
    assert_eq!(bytes[at..at + 8], (40u64 << 20).to_le_bytes());
    bytes[at + 5] = 1;
    let path = dir.path().join("x.hxz");
    std::fs::write(&path, bytes).unwrap();
    let gate = DefaultGate::new();
    let error = open_image(&path, &Limits::default(), &gate, &Diagnostics::new());
    let text = error.err().unwrap().chain();
    assert!(text.contains("found 41943040"), "{text}");
}

#[test]
fn a_flipped_data_byte_is_said_with_the_place_and_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.hxz");
    let mut bytes = std::fs::read(fixtures().join("demo/base.hxz")).unwrap();
    bytes[4096 + 100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let gate = DefaultGate::new();
    let image = open_image(&path, &Limits::default(), &gate, &Diagnostics::new()).unwrap();
    let error = read_vec(&*image, 512, 4).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("damaged.hxz") && text.contains("checksum"),
        "{text}"
    );
    assert_eq!(error.offset(), 512);
    // Whole or in pieces, now and later.
    let whole = read_vec(&*image, 0, 65536).unwrap_err().to_string();
    assert!(whole.contains("checksum"), "{whole}");
    let again = read_vec(&*image, 9000, 4).unwrap_err();
    assert_eq!(again.offset(), 9000);
    assert!(again.to_string().contains("checksum"), "{again}");
    assert!(read_vec(&*image, 65536, 4).is_ok());
    assert!(image.read_exact_at(image.len(), &mut [0]).is_err());
}
