//! Images that are not as they should be.

use hexz_resolve::{ByteRange, ChangeSource, Diagnostics, ErrorKind, Limits, ReadAt, read_vec};
use hexz_source::{DefaultGate, ImageOverlay, open_image};
use hexz_testkit::{Fixture, Rng, VhdImage};

use super::{Folder, codes, open};

/// Where the table of an image of the builder lies.
const TABLE: usize = 1536;

/// A disk of four blocks of 4096 bytes, all of which are there.
fn image() -> VhdImage {
    let mut image = VhdImage::new(16384, 1);
    image.write(0, &[5; 16384]);
    image
}

#[test]
fn a_block_outside_the_file_costs_itself_only() {
    let folder = Folder::new();
    let mut bytes = image().bytes();
    let length = bytes.len();
    bytes[TABLE + 4..TABLE + 8].copy_from_slice(&0x7FFF_FFFFu32.to_be_bytes());
    bytes[TABLE + 8..TABLE + 12].fill(0);
    let path = folder.put("disk.vhd", bytes);
    let opened = open(&path).unwrap();
    assert_eq!(read_vec(&*opened, 0, 4096).unwrap(), [5; 4096]);
    assert_eq!(read_vec(&*opened, 12288, 4096).unwrap(), [5; 4096]);
    let error = read_vec(&*opened, 4096, 512).unwrap_err().to_string();
    for part in [
        "disk.vhd",
        "block allocation table at byte 1540",
        "sector 2147483647",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let error = read_vec(&*opened, 8192, 512).unwrap_err().to_string();
    assert!(error.contains("found sector 0"), "{error}");
    let all = ByteRange::new(0, 16384);
    assert_eq!(opened.data_in(all), all.into());

    let loaded = ImageOverlay::new(&path).load(&Limits::default(), &DefaultGate::new());
    let changes = loaded.unwrap().changes;
    assert_eq!(changes.ranges, all.into());
    let places: Vec<_> = changes.diagnostics.iter().map(|d| d.offset).collect();
    assert_eq!(places, [Some(4096), Some(8192)]);

    // Cut in its first block, which lies last.
    let mut bytes = image().bytes();
    bytes.truncate(length - 512 - 1024);
    let opened = open(&folder.put("cut.vhd", bytes)).unwrap();
    assert_eq!(read_vec(&*opened, 0, 3072).unwrap(), [5; 3072]);
    assert!(read_vec(&*opened, 0, 4096).is_err());
    assert!(read_vec(&*opened, 4096, 4096).is_ok());
}

#[test]
fn two_numbers_may_have_one_block() {
    let folder = Folder::new();
    let mut bytes = image().bytes();
    bytes.copy_within(TABLE..TABLE + 4, TABLE + 4);
    let opened = open(&folder.put("disk.vhd", bytes)).unwrap();
    assert_eq!(read_vec(&*opened, 0, 16384).unwrap(), [5; 16384]);
}

#[test]
fn one_block_for_the_whole_of_a_huge_disk_is_refused() {
    let folder = Folder::new();
    let mut huge = VhdImage::new(64 << 30, 1);
    huge.block_size = 1 << 16;
    huge.write(0, &[1; 512]);
    let mut bytes = huge.bytes();
    let entry = bytes[TABLE..TABLE + 4].to_vec();
    for place in bytes[TABLE..TABLE + (4 << 20)].chunks_exact_mut(4) {
        place.copy_from_slice(&entry);
    }
    let error = open(&folder.put("huge.vhd", bytes)).err().unwrap();
    assert!(error.chain().contains("blocks in the file"), "{error:?}");
}

#[test]
fn fields_that_are_odd_are_refused() {
    let folder = Folder::new();
    let refused = |at: usize, bytes: &[u8], kind, says: &str| {
        let mut image = image().bytes();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        let end = image.len() - 512;
        if at < 512 {
            VhdImage::seal(&mut image[..512], 64);
            image.copy_within(..512, end);
        } else {
            VhdImage::seal(&mut image[512..TABLE], 36);
        }
        let error = open(&folder.put("disk.vhd", image)).err().unwrap();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.chain().contains(says), "{error:?}");
    };
    use ErrorKind::{Corrupt, Io, Limit, Unsupported};
    // Offsets from the specification, behind the footer those of the header.
    refused(12, &[0, 2], Unsupported, "version 2.0");
    refused(16, &[0x7F], Io, "dynamic disk header");
    refused(48, &[0, 0, 0, 1], Corrupt, "entries");
    refused(48, &[0x10], Limit, "at most 16777216");
    refused(60, &[0, 0, 0, 5], Unsupported, "disk type 5");
    refused(512, b"x", Corrupt, "cxsparse");
    refused(512 + 16, &[0x7F], Corrupt, "within the file");
    refused(512 + 24, &[0, 3], Unsupported, "version 3.0");
    refused(512 + 28, &[0, 0, 0, 3], Corrupt, "at least 4 entries");
    refused(512 + 32, &[0, 0, 0, 0], Corrupt, "a power of two");
    refused(512 + 32, &[0, 0, 0x18, 0], Corrupt, "found 6144");
    refused(512 + 32, &[0, 0, 1, 0], Corrupt, "found 256");

    let mut bytes = image().bytes();
    bytes[512 + 32] ^= 1;
    let error = open(&folder.put("disk.vhd", bytes)).err().unwrap();
    assert!(error.chain().contains("checksum"), "{error:?}");
}

#[test]
fn flipped_bytes_never_panic() {
    let folder = Folder::new();
    let mut random = Rng::new(0x5EED);
    let fixture = Fixture::load("vhd-images");
    let mut child = image().child("parent.vhd", 2);
    child.block_size = 512;
    child.write(3, &[6; 3000]);
    child.locators = vec![(*b"W2ru", VhdImage::utf16(r".\parent.vhd"))];
    folder.put("parent.vhd", image().bytes());
    for (name, sound) in [
        ("fixed", fixture.bytes("fixed.vhd")),
        ("dynamic", fixture.bytes("dynamic.vhd")),
        ("written", fixture.bytes("written.vhd")),
        ("child", child.bytes()),
        ("small", image().bytes()),
    ] {
        let (mut errors, mut told) = (0, 0);
        for round in 0..120 {
            let mut bytes = sound.clone();
            let end = bytes.len();
            for _ in 0..=random.index(4) {
                let at = match round % 4 {
                    0 => random.index(TABLE.min(end)),
                    1 => random.index(8192.min(end)),
                    2 => end - 1 - random.index(512),
                    _ => random.index(end),
                };
                bytes[at] ^= 1 << random.index(8);
            }
            bytes.truncate(end - random.index(2) * random.index(end));
            // So that damage to fields is not all seen by the checksum.
            if round % 3 == 0 && name != "fixed" && bytes.len() > TABLE {
                VhdImage::seal(&mut bytes[..512], 64);
                VhdImage::seal(&mut bytes[512..TABLE], 36);
            }
            let path = folder.put("damaged.vhd", bytes);
            let (limits, gate, found) = (Limits::default(), DefaultGate::new(), Diagnostics::new());
            let opened = open_image(&path, &limits, &gate, &found);
            told += codes(&found).len();
            let Ok(opened) = opened else {
                errors += 1;
                continue;
            };
            for at in (0..opened.len().min(18 << 20)).step_by(200_000) {
                let length = 5000.min(opened.len() - at);
                errors += usize::from(read_vec(&*opened, at, length as usize).is_err());
            }
            let _ = opened.data_in(ByteRange::new(0, 18 << 20));
            let _ = ImageOverlay::new(&path).load(&limits, &gate);
        }
        assert!(
            errors + told > 12,
            "{name}: only {errors} and {told}: the damage missed"
        );
    }
}
