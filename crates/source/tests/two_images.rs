//! The same change in every form that holds it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hexz_resolve::{
    ByteRange, ChangeSource, Diagnostics, Limits, Precision, Progress, RangeSet, read_vec,
};
use hexz_source::{DefaultGate, ExtentList, HexzOverlay, ImageOverlay, TwoImages, open_image};
use hexz_testkit::Fixture;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn gate() -> DefaultGate {
    DefaultGate::new().allow_folder(fixtures().join("demo"))
}

fn bytes(path: &Path) -> Vec<u8> {
    let found = Diagnostics::new();
    let image = open_image(path, &Limits::default(), &gate(), &found).unwrap();
    read_vec(&*image, 0, image.len() as usize).unwrap()
}

/// What of a comparison was announced and done.
#[derive(Default)]
struct Counted {
    total: AtomicU64,
    done: AtomicU64,
}

impl Progress for Counted {
    fn stage(&self, _: &str, total: Option<u64>) {
        self.total.store(total.unwrap(), Ordering::Relaxed);
    }

    fn advance(&self, amount: u64) {
        self.done.fetch_add(amount, Ordering::Relaxed);
    }
}

/// The changed ranges of two images, and how many bytes were compared for it.
fn compared(a: &Path, b: &Path) -> (RangeSet, u64) {
    let counted = Counted::default();
    let two = TwoImages::new(a, b);
    let loaded = two.load(&Limits::default(), &gate()).unwrap();
    assert!(loaded.changes.candidates);
    let candidates = loaded.changes.ranges.len();
    let changes = common::compared_telling(&loaded, &counted);
    assert!(!changes.candidates);
    assert_eq!(changes.precision, Precision::Exact);
    assert_eq!(changes.block_size, 4096);
    let (total, done) = (&counted.total, &counted.done);
    assert_eq!(total.load(Ordering::Relaxed), done.load(Ordering::Relaxed));
    assert_eq!(total.load(Ordering::Relaxed), candidates);
    (changes.ranges, candidates)
}

#[test]
fn two_images_give_the_changed_blocks_whatever_their_format() {
    let dir = tempfile::tempdir().unwrap();
    let demo = fixtures().join("demo");
    let archives = fixtures().join("archives");
    let overlay = HexzOverlay {
        overlay: demo.join("vm-state.overlay"),
        base: Some(demo.join("base.hxz").into()),
    };
    let overlay = overlay.load(&Limits::default(), &gate()).unwrap();
    let before = bytes(&demo.join("base.hxz"));
    let after = read_vec(&**overlay.merged.as_ref().unwrap(), 0, before.len()).unwrap();
    let (raw_before, raw_after) = (dir.path().join("before"), dir.path().join("after"));
    std::fs::write(&raw_before, &before).unwrap();
    std::fs::write(&raw_after, &after).unwrap();

    let pairs = before.chunks(4096).zip(after.chunks(4096)).enumerate();
    let truth: RangeSet = pairs
        .filter(|(_, (x, y))| x != y)
        .map(|(n, _)| ByteRange::new(n as u64 * 4096, (n as u64 + 1) * 4096))
        .collect();
    assert!(!truth.is_empty());
    assert!(truth.difference(&overlay.changes.ranges).is_empty());

    // The overlay that qemu-img made of the two disks, in clusters of one block each.
    std::fs::rename(&raw_before, dir.path().join("base.img")).unwrap();
    let raw_before = dir.path().join("base.img");
    let qcow2 = dir.path().join("vm-state.qcow2");
    let packed = Fixture::load("demo");
    std::fs::write(&qcow2, packed.bytes("vm-state.qcow2")).unwrap();
    let overlay = ImageOverlay::new(&qcow2);
    let list = ExtentList {
        file: demo.join("vm-state.map.json"),
        format: None,
        unit: 1,
        base: Some(raw_before.clone().into()),
        merged: Some(raw_after.clone().into()),
    };
    let sources: [&dyn ChangeSource; 2] = [&overlay, &list];
    for source in sources {
        let loaded = source.load(&Limits::default(), &gate()).unwrap();
        assert_eq!(loaded.changes.ranges, truth);
        assert_eq!(loaded.changes.block_size, 4096);
    }

    let thin_b = archives.join("layout-b-0.5.0-thin.hxz");
    let thin_d = archives.join("layout-d-0.8.2-thin.hxz");
    let d = archives.join("layout-d-0.8.2-lz4.hxz");
    let a = archives.join("layout-a-0.4.0-lz4.hxz");
    let base = demo.join("base.hxz");
    for (before, after) in [
        (&raw_before, &raw_after),
        (&base, &raw_after),
        (&raw_before, &qcow2),
        (&base, &qcow2),
        (&base, &thin_b),
        (&d, &thin_d),
        // Blocks of other boundaries, and without hashes.
        (&base, &thin_d),
        (&a, &thin_b),
    ] {
        let (changed, _) = compared(before, after);
        assert_eq!(changed, truth, "{} {}", before.display(), after.display());
    }
    // 20 and 18 blocks are not the parent's: read off the index with a hex dump.
    assert_eq!(compared(&base, &thin_b).1, 20 * 65536);
    assert!(compared(&d, &thin_d).1 < 6 << 20);
    let c = archives.join("layout-c-0.7.0-zstd.hxz");
    assert_eq!(
        compared(&c, &d),
        (RangeSet::new(), 0),
        "equal by hash alone"
    );
    assert_eq!(compared(&thin_b, &thin_b), (RangeSet::new(), 0));
}
