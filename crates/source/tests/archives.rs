//! Archives written by hexz itself, of every layout, against the disk they were made from.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{
    ByteRange, ChangeSource, Diagnostics, ErrorKind, Limits, Precision, ReadAt, Result, read_vec,
};
use hexz_source::{DefaultGate, HexzOverlay, open_image};
use sha2::{Digest, Sha256};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn expected() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(fixtures().join("demo/SHA256")).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once("  "));
    pairs.map(|(sum, name)| (name.into(), sum.into())).collect()
}

fn open(path: &Path, gate: &DefaultGate) -> Result<Arc<dyn ReadAt>> {
    let found = Diagnostics::new();
    let image = open_image(path, &Limits::default(), gate, &found)?;
    assert_eq!(found.take(), []);
    Ok(image)
}

fn sha256(image: &dyn ReadAt) -> String {
    let mut hasher = Sha256::new();
    // Pieces that end inside blocks, so that both the direct and the cached way are taken.
    let step = 3 * 65536 + 4096;
    let mut at = 0;
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

#[test]
fn whole_archives_of_every_layout_hold_the_disk() {
    let gate = DefaultGate::new();
    for name in [
        "demo/base.hxz",
        "archives/layout-a-0.4.0-lz4.hxz",
        "archives/layout-b-0.5.0-zstd-cdc.hxz",
        "archives/layout-c-0.7.0-zstd.hxz",
        "archives/layout-d-0.8.2-lz4.hxz",
    ] {
        let image = open(&fixtures().join(name), &gate).unwrap();
        assert_eq!(image.len(), 40 << 20, "{name}");
        assert_eq!(sha256(&*image), expected()["base.img"], "{name}");
    }
}

#[test]
fn thin_archives_hold_the_disk_with_their_parents() {
    let thin_b = fixtures().join("archives/layout-b-0.5.0-thin.hxz");
    let error = open(&thin_b, &DefaultGate::new()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.chain().contains("/images/base.hxz"), "{error}");

    let gate = DefaultGate::new().allow_folder(fixtures().join("demo"));
    for path in [thin_b, fixtures().join("archives/layout-d-0.8.2-thin.hxz")] {
        let image = open(&path, &gate).unwrap();
        assert_eq!(sha256(&*image), expected()["merged.img"]);
    }
}

#[test]
fn a_wrong_parent_is_an_error_not_other_data() {
    let dir = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        std::fs::copy(fixtures().join(from), dir.path().join(to)).unwrap();
    };
    copy("archives/layout-b-0.5.0-thin.hxz", "child.hxz");
    // The blocks of this one lie elsewhere and are looked up by position: equal, so all is well.
    copy("archives/layout-a-0.4.0-lz4.hxz", "base.hxz");
    let image = open(&dir.path().join("child.hxz"), &DefaultGate::new()).unwrap();
    assert_eq!(sha256(&*image), expected()["merged.img"]);

    copy("archives/layout-d-0.8.2-thin.hxz", "child.hxz");
    copy("archives/layout-a-0.4.0-lz4.hxz", "layout-d-0.8.2-lz4.hxz");
    let image = open(&dir.path().join("child.hxz"), &DefaultGate::new()).unwrap();
    let error = read_vec(&*image, 0, 4096).unwrap_err();
    assert!(
        error.to_string().contains("no parent holds the block"),
        "{error}"
    );
}

#[test]
fn an_archive_that_is_its_own_parent_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let child = dir.path().join("base.hxz");
    std::fs::copy(fixtures().join("archives/layout-b-0.5.0-thin.hxz"), &child).unwrap();
    let error = open(&child, &DefaultGate::new()).err().unwrap();
    assert!(
        error.chain().contains("neither there nor beside it"),
        "{error}"
    );
}

#[test]
fn the_demo_overlay_over_its_base_is_the_merged_disk() {
    let demo = fixtures().join("demo");
    let source = HexzOverlay {
        overlay: demo.join("vm-state.overlay"),
        base: Some(demo.join("base.hxz").into()),
    };
    let loaded = source
        .load(&Limits::default(), &DefaultGate::new())
        .unwrap();
    assert_eq!(loaded.changes.diagnostics, []);
    assert_eq!(loaded.changes.precision, Precision::Over);
    assert_eq!(loaded.changes.blocks(), 1112 / 8);
    let (base, merged) = (loaded.base.unwrap(), loaded.merged.unwrap());
    assert_eq!(sha256(&*merged), expected()["merged.img"]);
    // Nothing changed but in the listed blocks.
    let all = ByteRange::new(0, merged.len()).into();
    let rest = hexz_resolve::RangeSet::difference(&all, &loaded.changes.ranges);
    for range in &rest {
        let length = range.len() as usize;
        let both = [&base, &merged].map(|i| read_vec(&**i, range.start(), length).unwrap());
        assert!(both[0] == both[1], "{range:?}");
    }
}

#[test]
fn holes_of_an_archive_are_zeros_and_all_else_may_be_data() {
    let path = fixtures().join("archives/layout-a-0.4.0-lz4.hxz");
    let image = open(&path, &DefaultGate::new()).unwrap();
    let all = ByteRange::new(0, image.len());
    let data = image.data_in(all);
    // 38 of 640 blocks are stored: read off the index with a hex dump.
    assert_eq!(data.len(), 38 * 65536);
    for hole in &hexz_resolve::RangeSet::difference(&all.into(), &data) {
        let bytes = read_vec(&*image, hole.start(), hole.len() as usize).unwrap();
        assert!(bytes.iter().all(|b| *b == 0));
    }
}

#[test]
fn several_threads_read_the_same_bytes() {
    let path = fixtures().join("archives/layout-c-0.7.0-zstd.hxz");
    let limits = Limits::default().with(|limits| limits.cache_bytes = 8 << 20);
    let gate = DefaultGate::new();
    let image = open_image(&path, &limits, &gate, &Diagnostics::new()).unwrap();
    let whole = read_vec(&*image, 0, image.len() as usize).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let (image, whole) = (&image, &whole);
            scope.spawn(move || {
                for n in 0..400 {
                    let at = (n * 104_729 + thread * 7_919_333) % (whole.len() - 9000);
                    let got = read_vec(&**image, at as u64, 9000).unwrap();
                    assert!(got == whole[at..at + 9000]);
                }
            });
        }
    });
}
