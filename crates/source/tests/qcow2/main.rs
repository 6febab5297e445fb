//! qcow2 images written by qemu-img, against what qemu-img reads from them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

mod bitmaps;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod names;

use std::collections::BTreeMap;
use std::path::PathBuf;

use hexz_resolve::{
    ByteRange, ChangeSource, Diagnostics, ErrorKind, Limits, RangeSet, ReadAt, Result, read_vec,
};
use hexz_source::{DefaultGate, ExtentList, ImageOverlay, TwoImages, open_image};
use hexz_testkit::Fixture;
use sha2::{Digest, Sha256};

/// All images of the fixture, in a folder of their own.
struct Images(tempfile::TempDir);

impl Images {
    fn unpacked() -> Self {
        let fixture = Fixture::load("qcow2-images");
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(fixture.path("")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some(image) = name.strip_suffix(".zst") {
                std::fs::write(dir.path().join(image), fixture.bytes(image)).unwrap();
            } else if name.ends_with(".json") {
                std::fs::copy(fixture.path(&name), dir.path().join(name)).unwrap();
            }
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn overlay(&self, name: &str) -> ImageOverlay {
        ImageOverlay::new(self.path(name))
    }

    /// Makes `name` a copy of the overlay over `disk.raw` that names `backing`, as long, instead.
    fn over(&self, name: &str, backing: &str, format: &str) -> PathBuf {
        let mut image = std::fs::read(self.path("subclusters.qcow2")).unwrap();
        let at = image.windows(8).position(|w| w == b"disk.raw").unwrap();
        image[at..at + 8].copy_from_slice(backing.as_bytes());
        // The extension for the format of the backing file: type, length, padded text.
        let kind = [0xE2, 0x79, 0x2A, 0xCA];
        let at = image.windows(4).position(|w| w == kind).unwrap();
        image[at + 7] = format.len() as u8;
        image[at + 8..at + 8 + format.len()].copy_from_slice(format.as_bytes());
        let path = self.path(name);
        std::fs::write(&path, image).unwrap();
        path
    }

    /// Writes `bytes` at `at` of a copy of the image `name`, and opens it.
    fn patched(&self, name: &str, at: usize, bytes: &[u8], found: &Diagnostics) -> Result<()> {
        let mut image = std::fs::read(self.path(name)).unwrap();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        let path = self.path("patched.qcow2");
        std::fs::write(&path, image).unwrap();
        open_image(&path, &Limits::default(), &DefaultGate::new(), found).map(|_| ())
    }
}

fn truth() -> BTreeMap<String, String> {
    let text = String::from_utf8(Fixture::load("qcow2-images").bytes("SHA256")).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once("  "));
    pairs.map(|(sum, name)| (name.into(), sum.into())).collect()
}

fn sha256(image: &dyn ReadAt) -> String {
    let mut hasher = Sha256::new();
    // Pieces that end inside clusters of any size.
    let (mut at, step) = (0, 100_000);
    while at < image.len() {
        let length = step.min(image.len() - at);
        hasher.update(read_vec(image, at, length as usize).unwrap());
        at += length;
    }
    hasher
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

const LIMITS: fn() -> Limits = Limits::default;

/// A number of the header or a table, at `at`.
fn be64(image: &[u8], at: u64) -> u64 {
    let at = at as usize;
    u64::from_be_bytes(image[at..at + 8].try_into().unwrap())
}

#[test]
fn every_image_reads_as_qemu_reads_it() {
    let images = Images::unpacked();
    let truth = truth();
    let names: Vec<&String> = truth.keys().filter(|name| !name.contains('@')).collect();
    assert!(names.len() >= 10);
    for name in names {
        let found = Diagnostics::new();
        let gate = DefaultGate::new();
        let image = open_image(&images.path(name), &LIMITS(), &gate, &found).unwrap();
        assert_eq!(sha256(&*image), truth[name], "{name}");
        assert_eq!(found.take(), [], "{name}");
        let all = ByteRange::new(0, image.len());
        let data = image.data_in(all);
        for hole in &RangeSet::from(all).difference(&data) {
            let bytes = read_vec(&*image, hole.start(), hole.len() as usize).unwrap();
            assert!(bytes.iter().all(|b| *b == 0), "{name} {hole:?}");
        }
        assert!(data.len() < image.len(), "{name} has holes");
    }
}

#[test]
fn changes_are_what_qemu_img_map_says_of_the_top_image() {
    let images = Images::unpacked();
    for name in truth().keys().filter(|name| !name.contains('@')) {
        let loaded = images.overlay(name).load(&LIMITS(), &DefaultGate::new());
        let loaded = loaded.unwrap();
        // What a disk that shrank lost is no part of the map.
        let disk = ByteRange::new(0, loaded.merged.unwrap().len());
        let ranges = loaded.changes.ranges.clipped(disk);
        let map = ExtentList {
            file: images.path(&name.replace(".qcow2", ".map.json")),
            format: None,
            unit: 4096,
            base: None,
            merged: None,
        };
        let map = map.load(&LIMITS(), &DefaultGate::new()).unwrap().changes;
        assert_eq!(ranges, map.ranges, "{name}");
        assert!(!ranges.is_empty(), "{name}");
    }
}

#[test]
fn the_base_is_the_backing_chain_or_what_the_user_gives() {
    let images = Images::unpacked();
    let load = |o: ImageOverlay| o.load(&LIMITS(), &DefaultGate::new()).unwrap();
    let top = load(images.overlay("top.qcow2"));
    assert_eq!(top.changes.block_size, 65536);
    assert_eq!(
        sha256(&**top.base.as_ref().unwrap()),
        truth()["middle.qcow2"]
    );
    assert_eq!(
        sha256(&**top.merged.as_ref().unwrap()),
        truth()["top.qcow2"]
    );
    assert!(load(images.overlay("v2.qcow2")).base.is_none());
    assert_eq!(
        load(images.overlay("subclusters.qcow2")).changes.block_size,
        2048
    );

    let over = |base: &str| ImageOverlay {
        base: Some(images.path(base).into()),
        ..images.overlay("top.qcow2")
    };
    // One of the chain: all that lies above it is change.
    let whole = load(over("deflate.qcow2"));
    assert_eq!(sha256(&*whole.merged.unwrap()), truth()["top.qcow2"]);
    let middle = load(images.overlay("middle.qcow2")).changes.ranges;
    let disk = ByteRange::new(0, 3 << 20);
    let above = top.changes.ranges.union(&middle.aligned_out(65536));
    assert_eq!(whole.changes.ranges.clipped(disk), above.clipped(disk));
    // Another name for it, and another format.
    let named = load(over("middle.qcow2"));
    assert_eq!(named.changes.ranges, top.changes.ranges);
    let gate = DefaultGate::new();
    let image = open_image(
        &images.path("middle.qcow2"),
        &LIMITS(),
        &gate,
        &Diagnostics::new(),
    );
    let image = image.unwrap();
    let bytes = read_vec(&*image, 0, image.len() as usize).unwrap();
    std::fs::write(images.path("copy.raw"), bytes).unwrap();
    let copy = load(over("copy.raw"));
    assert_eq!(copy.changes.ranges, top.changes.ranges);
    assert_eq!(copy.changes.diagnostics[0].code, "base-is-copy");
    // None of it, and of another content.
    let error = over("v2.qcow2").load(&LIMITS(), &DefaultGate::new());
    let text = error.err().unwrap().chain();
    for part in ["v2.qcow2 is none of", "top.qcow2 over", "middle.qcow2 over"] {
        assert!(text.contains(part), "{text}");
    }

    // The parent is not there: what is given takes its place.
    std::fs::remove_file(images.path("middle.qcow2")).unwrap();
    let given = load(over("deflate.qcow2"));
    assert_eq!(sha256(&*given.base.unwrap()), truth()["deflate.qcow2"]);
    let merged = given.merged.unwrap();
    // At 0 the middle image was written, which is no longer in the chain.
    let text = read_vec(&*merged, 0, 4).unwrap();
    assert_eq!(text, b"1\n2\n");
    assert_eq!(read_vec(&*merged, 300 << 10, 1).unwrap(), [5]);
}

#[test]
fn an_internal_snapshot_is_the_disk_before() {
    let images = Images::unpacked();
    let against = |name: &str| {
        let overlay = ImageOverlay {
            snapshot: Some(name.into()),
            ..images.overlay("snapshots.qcow2")
        };
        overlay.load(&LIMITS(), &DefaultGate::new())
    };
    let clusters = |numbers: &[u64]| -> RangeSet {
        let each = numbers
            .iter()
            .map(|n| ByteRange::new(n << 16, (n + 1) << 16));
        each.collect()
    };
    // The clusters that make.sh wrote or discarded since: 64 KiB each.
    for (name, changed) in [("first", &[1, 3, 16, 17, 32][..]), ("second", &[3])] {
        let loaded = against(name).unwrap();
        assert_eq!(loaded.changes.ranges, clusters(changed), "{name}");
        let sum = &truth()[&format!("snapshots.qcow2@{name}")];
        assert_eq!(sha256(&*loaded.base.unwrap()), *sum, "{name}");
        assert_eq!(sha256(&*loaded.merged.unwrap()), truth()["snapshots.qcow2"]);
    }
    let by_id = against("2").unwrap();
    assert_eq!(by_id.changes.ranges, clusters(&[3]));
    let error = against("third").err().unwrap();
    assert!(error.chain().contains("it has first, second"), "{error:?}");
}

/// The blocks in which two disks differ, the shorter one with zeros behind its end.
fn differing(mut x: Vec<u8>, mut y: Vec<u8>, block: usize) -> RangeSet {
    let length = x.len().max(y.len());
    x.resize(length, 0);
    y.resize(length, 0);
    let blocks = x.chunks(block).zip(y.chunks(block)).enumerate();
    let differ = blocks.filter(|(_, (x, y))| x != y);
    let range = |n| ByteRange::new((n * block) as u64, length.min((n + 1) * block) as u64);
    differ.map(|(n, _)| range(n)).collect()
}

#[test]
fn a_disk_that_shrank_lost_its_tail_in_every_form() {
    let images = Images::unpacked();
    let disk = std::fs::read(images.path("disk.raw")).unwrap();
    // Of the overlays the disk has 3 MiB.
    let tail = ByteRange::new(3 << 20, 4 << 20);
    let lost = differing(disk.clone(), disk[..3 << 20].to_vec(), 65536);
    assert!(!lost.is_empty());
    for name in ["middle.qcow2", "shrunk.qcow2"] {
        let loaded = images.overlay(name).load(&LIMITS(), &DefaultGate::new());
        let ranges = loaded.unwrap().changes.ranges;
        assert_eq!(ranges.clipped(tail), lost, "{name}");
        let two = TwoImages::new(images.path("disk.raw"), images.path(name));
        let loaded = two.load(&LIMITS(), &DefaultGate::new()).unwrap();
        let ranges = common::compared(&loaded).ranges;
        assert_eq!(ranges.clipped(tail).aligned_out(65536), lost, "{name}");
    }
}

#[test]
fn a_snapshot_of_another_length_is_told_to_its_end() {
    let images = Images::unpacked();
    for (name, snapshot, clusters) in [
        // Where the disk grew, 54 and 55 show the base; what `cmp` says of the disks qemu-img gave.
        ("grown.qcow2", "small", &[4, 48, 54, 55, 56][..]),
        ("shrunk.qcow2", "large", &[48, 54, 55, 56]),
    ] {
        let overlay = ImageOverlay {
            snapshot: Some(snapshot.into()),
            ..images.overlay(name)
        };
        let loaded = overlay.load(&LIMITS(), &DefaultGate::new()).unwrap();
        let each = clusters
            .iter()
            .map(|n| ByteRange::new(n << 16, (n + 1) << 16));
        assert_eq!(loaded.changes.ranges, each.collect(), "{name}");
        let sum = &truth()[&format!("{name}@{snapshot}")];
        assert_eq!(sha256(&*loaded.base.unwrap()), *sum, "{name}");
    }
}

#[test]
fn two_images_of_one_chain_are_compared_by_allocation() {
    let images = Images::unpacked();
    let ranges = |a: &str, b: &str| {
        let two = TwoImages::new(images.path(a), images.path(b));
        let loaded = two.load(&LIMITS(), &DefaultGate::new()).unwrap();
        common::compared(&loaded).ranges
    };
    let raw = |name: &str| {
        let gate = DefaultGate::new();
        let image = open_image(&images.path(name), &LIMITS(), &gate, &Diagnostics::new()).unwrap();
        let path = images.path(&format!("{name}.raw"));
        std::fs::write(path, read_vec(&*image, 0, image.len() as usize).unwrap()).unwrap();
        format!("{name}.raw")
    };
    for (a, b) in [
        ("middle.qcow2", "top.qcow2"),
        ("deflate.qcow2", "top.qcow2"),
        ("top.qcow2", "deflate.qcow2"),
        ("disk.raw", "subclusters.qcow2"),
        ("deflate.qcow2", "zstd.qcow2"),
        ("v2.qcow2", "apart.qcow2"),
        ("disk.raw", "shrunk.qcow2"),
        ("shrunk.qcow2", "disk.raw"),
    ] {
        let by_format = ranges(a, b);
        let (x, y) = (raw(a), raw(b));
        let blocks = |name: &str| std::fs::read(images.path(name)).unwrap();
        let (x, y) = (blocks(&x), blocks(&y));
        assert_eq!(by_format, differing(x, y, 4096), "{a} {b}");
    }
    assert!(ranges("deflate.qcow2", "zstd.qcow2").is_empty());
}

#[test]
fn one_file_read_in_two_formats_is_not_one_disk() {
    let images = Images::unpacked();
    let file = std::fs::read(images.path("v2.qcow2")).unwrap();
    std::fs::write(images.path("disk.raw"), &file).unwrap();
    images.over("raw.qcow2", "disk.raw", "raw");
    images.over("deep.qcow2", "disk.raw", "qcow2");
    let two = TwoImages::new(images.path("raw.qcow2"), images.path("deep.qcow2"));
    let loaded = two.load(&LIMITS(), &DefaultGate::new()).unwrap();
    // There make.sh wrote nothing to the disk, and the file has its L1 table.
    let at = be64(&file, 40);
    assert!((128 << 10..256 << 10).contains(&at) && be64(&file, at) != 0);
    assert!(common::compared(&loaded).ranges.contains(at));
}

#[test]
fn an_image_without_a_backing_file_is_compared_with_the_base_that_is_given() {
    let images = Images::unpacked();
    let disk = |name: &str| {
        let gate = DefaultGate::new();
        let image = open_image(&images.path(name), &LIMITS(), &gate, &Diagnostics::new()).unwrap();
        read_vec(&*image, 0, image.len() as usize).unwrap()
    };
    // Both as qemu reads them, by their sums.
    let truth_of = differing(disk("disk.raw"), disk("v2.qcow2"), 4096);
    let base = || Some(images.path("disk.raw").into());
    for (base, or_base) in [(base(), None), (None, base())] {
        let overlay = ImageOverlay {
            base,
            or_base,
            ..images.overlay("v2.qcow2")
        };
        let loaded = overlay.load(&LIMITS(), &DefaultGate::new()).unwrap();
        assert_eq!(common::compared(&loaded).ranges, truth_of);
        assert_eq!(sha256(&*loaded.merged.unwrap()), truth()["v2.qcow2"]);
    }
    // What the image names itself goes before a base that is there by default.
    let overlay = ImageOverlay {
        or_base: Some(images.path("zstd.qcow2").into()),
        ..images.overlay("top.qcow2")
    };
    let loaded = overlay.load(&LIMITS(), &DefaultGate::new()).unwrap();
    assert_eq!(sha256(&*loaded.base.unwrap()), truth()["middle.qcow2"]);

    let overlay = ImageOverlay {
        base: base(),
        snapshot: Some("first".into()),
        ..images.overlay("snapshots.qcow2")
    };
    let error = overlay.load(&LIMITS(), &DefaultGate::new()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
