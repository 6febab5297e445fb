//! VHDX images whose structures can't be trusted.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hexz_resolve::{ByteRange, Diagnostics, Error, ErrorKind, Limits, ReadAt, Result, read_vec};
use hexz_source::{DefaultGate, open_image};
use hexz_testkit::Fixture;

const HEADERS: [usize; 2] = [0x1_0000, 0x2_0000];
const REGION_TABLES: [usize; 2] = [0x3_0000, 0x4_0000];

fn open(path: &Path) -> Result<Arc<dyn ReadAt>> {
    let gate = DefaultGate::new();
    open_image(path, &Limits::default(), &gate, &Diagnostics::new())
}

struct Image {
    dir: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl Image {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            bytes: Fixture::load("foreign-images").bytes("disk.vhdx"),
        }
    }

    fn number(&self, at: usize, width: usize) -> u64 {
        let mut number = [0; 8];
        number[..width].copy_from_slice(&self.bytes[at..at + width]);
        u64::from_le_bytes(number)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Makes the checksum of the structure at `at` right again.
    fn sign(&mut self, at: usize, length: usize) {
        self.put(at + 4, &[0; 4]);
        let sum = crc32c::crc32c(&self.bytes[at..at + length]);
        self.put(at + 4, &sum.to_le_bytes());
    }

    /// Where the entry of a table begins whose GUID does so.
    fn entry(&self, table: usize, guid: [u8; 4]) -> usize {
        let table = &self.bytes[table..table + 0x1_0000];
        let found = table.windows(4).position(|w| w == guid);
        found.expect("the entry is there")
    }

    fn bat(&self) -> (usize, usize) {
        let at = REGION_TABLES[0] + self.entry(REGION_TABLES[0], [0x66, 0x77, 0xC2, 0x2D]);
        (at, self.number(at + 16, 8) as usize)
    }

    fn metadata(&self) -> usize {
        let table = REGION_TABLES[0];
        let at = table + self.entry(table, [0x06, 0xA2, 0x7C, 0x8B]);
        self.number(at + 16, 8) as usize
    }

    /// Where the metadata item whose GUID begins so lies.
    fn item(&self, guid: [u8; 4]) -> usize {
        let table = self.metadata();
        let entry = table + self.entry(table, guid);
        table + self.number(entry + 16, 4) as usize
    }

    fn open(&self) -> Result<Arc<dyn ReadAt>> {
        let path = self.dir.path().join("disk.vhdx");
        fs::write(&path, &self.bytes).unwrap();
        open(&path)
    }

    fn refused(&self) -> Error {
        self.open().err().expect("it is refused")
    }
}

#[test]
fn a_log_that_is_to_be_replayed_and_has_nothing_sound_is_refused() {
    let newest = |image: &Image| {
        let sequence = HEADERS.map(|at| image.number(at + 8, 8));
        HEADERS[usize::from(sequence[1] > sequence[0])]
    };
    let mut image = Image::new();
    let at = newest(&image);
    image.put(at + 48, &[1; 16]);
    image.sign(at, 4096);
    let error = image.refused();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.chain().contains("no sound entries"), "{error:?}");

    // The older header does not count, nor does one whose checksum is wrong.
    let mut image = Image::new();
    let older = HEADERS
        .into_iter()
        .find(|at| *at != newest(&image))
        .unwrap();
    image.put(older + 48, &[1; 16]);
    image.sign(older, 4096);
    assert!(image.open().is_ok());
    let mut image = Image::new();
    let at = newest(&image);
    image.put(at + 48, &[1; 16]);
    assert!(image.open().is_ok());
    image.put(older + 48, &[1; 16]);
    assert_eq!(image.refused().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_table_of_blocks_is_read_as_far_as_it_is_needed() {
    let mut image = Image::new();
    let (entry, _) = image.bat();
    // As long as the file; and longer.
    let most = 1_u64 << 32;
    let path = image.dir.path().join("disk.vhdx");
    image.put(entry + 24, &0xFFF0_0000_u32.to_le_bytes());
    image.sign(REGION_TABLES[0], 0x1_0000);
    fs::write(&path, &image.bytes).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(2 * most).unwrap();
    let grown = open(&path).unwrap();
    assert_eq!(grown.len(), 4 << 20);
    assert!(
        read_vec(&*grown, 0, 4096)
            .unwrap()
            .starts_with(b"1\n2\n3\n")
    );

    let error = image.refused();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(
        error.chain().contains(&format!("{}", entry + 16)),
        "{error:?}"
    );
    for (start, length) in [(0, 1 << 20), (u64::MAX, 1 << 20)] {
        image.put(entry + 16, &u64::to_le_bytes(start));
        image.put(entry + 24, &u32::to_le_bytes(length));
        image.sign(REGION_TABLES[0], 0x1_0000);
        assert_eq!(image.refused().kind(), ErrorKind::Corrupt, "{start:#x}");
    }
    // Not even one entry a block.
    let mut image = Image::new();
    image.put(entry + 24, &8_u32.to_le_bytes());
    image.sign(REGION_TABLES[0], 0x1_0000);
    let error = image.refused();
    assert!(error.chain().contains("4 entries"), "{error:?}");
    // The second table stands in for a damaged first one.
    image.put(REGION_TABLES[0], b"x");
    assert!(image.open().is_ok());
}

#[test]
fn metadata_that_can_not_be_is_refused() {
    const PARAMETERS: [u8; 4] = [0x37, 0x67, 0xA1, 0xCA];
    const SIZE: [u8; 4] = [0x24, 0x42, 0xA5, 0x2F];
    const SECTOR: [u8; 4] = [0x1D, 0xBF, 0x41, 0x81];
    for (item, with, kind) in [
        (PARAMETERS, &[0, 0, 0, 0][..], ErrorKind::Corrupt),
        (PARAMETERS, &[0, 0, 0, 32], ErrorKind::Corrupt),
        (PARAMETERS, &[1, 0, 16, 0], ErrorKind::Corrupt),
        // A child without a parent locator.
        (PARAMETERS, &[0, 0, 16, 0, 2], ErrorKind::Corrupt),
        (SIZE, &[0; 8], ErrorKind::Corrupt),
        (SIZE, &[0xFF; 8], ErrorKind::Corrupt),
        (SIZE, &[1], ErrorKind::Corrupt),
        // More blocks than the table has entries for.
        (SIZE, &[0, 0, 0, 0, 0, 1], ErrorKind::Corrupt),
        (SECTOR, &[0, 3, 0, 0], ErrorKind::Corrupt),
    ] {
        let mut image = Image::new();
        let at = image.item(item);
        image.put(at, with);
        assert_eq!(image.refused().kind(), kind, "{item:x?} {with:?}");
    }
    let mut image = Image::new();
    let at = image.metadata();
    let entry = at + image.entry(at, SIZE);
    image.put(entry + 16, &u32::MAX.to_le_bytes());
    let error = image.refused();
    assert!(error.chain().contains("outside its region"), "{error:?}");
}

#[test]
fn blocks_are_where_their_entries_say() {
    let mut image = Image::new();
    let (_, bat) = image.bat();
    let states: Vec<u64> = (0..4).map(|n| image.number(bat + n * 8, 8) & 7).collect();
    let sound = image.open().unwrap();
    let held = sound.data_in(ByteRange::new(0, u64::MAX));
    let held: Vec<u64> = held
        .aligned_out(1 << 20)
        .iter()
        .map(|r| r.len() >> 20)
        .collect();
    let present = states.iter().filter(|state| **state == 6).count() as u64;
    assert_eq!(held.iter().sum::<u64>(), present);
    assert!(present > 0 && present < 4, "{states:?}");

    // Zero, unmapped, undefined: holes; past the end, partly there, or unknown: errors.
    for (state, reads) in [(1, true), (2, true), (3, true), (4, false), (7, false)] {
        image.put(bat, &u64::to_le_bytes(state));
        let image = image.open().unwrap();
        let read = read_vec(&*image, 4096, 4096);
        assert_eq!(read.is_ok(), reads, "{state}");
        assert!(read.is_err() || read.unwrap() == [0; 4096]);
        let holds = image.data_in(ByteRange::new(0, 1 << 20));
        assert_eq!(holds.is_empty(), reads, "{state}");
    }
    image.put(bat, &(u64::MAX << 20 | 6).to_le_bytes());
    let error = read_vec(&*image.open().unwrap(), 4096, 4096).unwrap_err();
    assert_eq!(error.offset(), 4096);
}
