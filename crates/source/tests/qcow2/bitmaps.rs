//! Persistent bitmaps of qemu-img, against what `nbdinfo --map=qemu:dirty-bitmap:…` says of them.

use hexz_resolve::{ByteRange, ChangeSource, ErrorKind, Loaded, Precision, RangeSet, Result};
use hexz_source::{DefaultGate, ImageOverlay, kept_in};
use hexz_testkit::Fixture;

use super::{Images, LIMITS, be64};

fn load(images: &Images, image: &str, bitmap: &str, base: Option<&str>) -> Result<Loaded> {
    let overlay = ImageOverlay {
        bitmap: Some(bitmap.into()),
        base: base.map(|name| images.path(name).into()),
        ..images.overlay(image)
    };
    overlay.load(&LIMITS(), &DefaultGate::new())
}

#[test]
fn a_bitmap_says_what_was_written_since_it_was_made() {
    let images = Images::unpacked();
    let text = String::from_utf8(Fixture::load("qcow2-images").bytes("bitmaps.since")).unwrap();
    let truth: RangeSet = text
        .lines()
        .map(|line| {
            let (start, length) = line.split_once(' ').unwrap();
            ByteRange::at(start.parse().unwrap(), length.parse().unwrap()).unwrap()
        })
        .collect();
    let loaded = load(&images, "bitmaps.qcow2", "since", None).unwrap();
    assert_eq!(loaded.changes.ranges, truth);
    assert_eq!(loaded.changes.block_size, 32 << 10);
    assert_eq!(loaded.changes.precision, Precision::Over);
    assert!(loaded.base.is_none() && loaded.merged.is_some());
    let coarse = load(&images, "bitmaps.qcow2", "other", None).unwrap();
    assert_eq!(coarse.changes.ranges, truth.aligned_out(64 << 10));
    let both = load(&images, "bitmaps.qcow2", "since", Some("v2.qcow2")).unwrap();
    assert!(both.base.is_some());

    let kept = kept_in(&images.path("bitmaps.qcow2")).unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0], "bitmap since (units of 32768 bytes)");
    let kept = kept_in(&images.path("snapshots.qcow2")).unwrap();
    assert_eq!(kept[0], "snapshot first (id 1)");
    let error = load(&images, "bitmaps.qcow2", "none", None).err().unwrap();
    assert!(error.chain().contains("it has since, other"), "{error:?}");
    let error = load(&images, "disk.raw", "since", None).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_bitmap_that_was_not_closed_may_miss_changes() {
    let images = Images::unpacked();
    let sound = std::fs::read(images.path("bitmaps.qcow2")).unwrap();
    let extension = [0x23, 0x85, 0x28, 0x75];
    let at = sound.windows(4).position(|w| w == extension).unwrap() + 8;
    let directory = be64(&sound, at as u64 + 16) as usize;
    // The flag of the bitmap; and the autoclear bit, which a program that knows no bitmaps clears.
    for (place, byte) in [(directory + 15, 1), (95, 0)] {
        let mut image = sound.clone();
        assert_ne!(image[place] & 1, byte);
        image[place] = byte;
        std::fs::write(images.path("open.qcow2"), image).unwrap();
        let changes = load(&images, "open.qcow2", "since", None).unwrap().changes;
        assert_eq!(changes.precision, Precision::MayMiss);
        assert_eq!(changes.diagnostics[0].code, "bitmap-in-use");
        assert!(!changes.ranges.is_empty());
    }
    // What can't be: a granularity, a type, a table.
    for (place, byte, says) in [
        (directory + 17, 40, "at most 31"),
        (directory + 16, 9, "of type 9"),
        (directory + 11, 0, "qcow2 bitmap table"),
        (directory + 18, 0xFF, "qcow2 bitmap directory"),
    ] {
        let mut image = sound.clone();
        image[place] = byte;
        std::fs::write(images.path("odd.qcow2"), image).unwrap();
        let error = load(&images, "odd.qcow2", "since", None).err().unwrap();
        assert!(error.chain().contains(says), "{says}: {error:?}");
    }
}
