//! Images that qemu-img wrote in other programs' formats, against the disk they were made from.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{ByteRange, ChangeSource, Diagnostics, Limits, ReadAt, Result, read_vec};
use hexz_source::{DefaultGate, ExtentList, ImageOverlay, open_image};
use hexz_testkit::Fixture;
use sha2::{Digest, Sha256};

const IMAGES: [&str; 8] = [
    "sparse.vmdk",
    "stream.vmdk",
    "flat.vmdk",
    "disk.vhdx",
    "disk.vdi",
    "fixed.vdi",
    "disk.hds",
    "disk.qed",
];
/// Images over `disk.raw` and `sparse.vmdk`, and one with a log.
const OTHERS: [&str; 3] = ["child.qed", "child.vmdk", "log.vhdx"];

fn unpacked() -> tempfile::TempDir {
    let fixture = Fixture::load("foreign-images");
    let dir = tempfile::tempdir().unwrap();
    for name in IMAGES.iter().chain(&OTHERS).chain(&["flat-flat.vmdk"]) {
        std::fs::write(dir.path().join(name), fixture.bytes(name)).unwrap();
    }
    let disk = open(&dir.path().join("fixed.vdi")).unwrap();
    let disk = read_vec(&*disk, 0, disk.len() as usize).unwrap();
    std::fs::write(dir.path().join("disk.raw"), disk).unwrap();
    dir
}

fn open(path: &Path) -> Result<Arc<dyn ReadAt>> {
    let gate = DefaultGate::new();
    open_image(path, &Limits::default(), &gate, &Diagnostics::new())
}

#[test]
fn every_image_holds_the_disk() {
    let dir = unpacked();
    for name in IMAGES {
        let image = open(&dir.path().join(name)).unwrap();
        assert_eq!(image.len(), 4 << 20, "{name}");
        assert_eq!(sum(&*image), truth("disk.raw"), "{name}");
        // What is flat is as dense as the files that were unpacked.
        let dense = ["fixed.vdi", "flat.vmdk"];
        let data = image.data_in(ByteRange::new(0, image.len()));
        assert!(
            data.len() < image.len() || dense.contains(&name),
            "{name} has holes"
        );
    }
}

fn sum(image: &dyn ReadAt) -> String {
    let mut hasher = Sha256::new();
    for at in (0..image.len()).step_by(50_000) {
        let length = 50_000.min(image.len() - at);
        hasher.update(read_vec(image, at, length as usize).unwrap());
    }
    let sum = hasher.finalize();
    sum.iter().map(|b| format!("{b:02x}")).collect()
}

/// The sum of the disk that `name` holds, by qemu-img.
fn truth(name: &str) -> String {
    let sums = String::from_utf8(Fixture::load("foreign-images").bytes("SHA256")).unwrap();
    let mut sums = sums.lines().filter_map(|line| line.split_once("  "));
    sums.find(|(_, of)| *of == name).unwrap().0.to_owned()
}

#[test]
fn children_are_read_over_their_parents_and_hold_what_qemu_img_map_says() {
    let dir = unpacked();
    for (name, base) in [("child.qed", "disk.raw"), ("child.vmdk", "sparse.vmdk")] {
        let path = dir.path().join(name);
        assert_eq!(sum(&*open(&path).unwrap()), truth(name), "{name}");
        let list = ExtentList {
            file: Fixture::load("foreign-images").path(&format!("{name}.map.json")),
            format: None,
            unit: 1,
            base: None,
            merged: None,
        };
        let gate = DefaultGate::new();
        let map = list.load(&Limits::default(), &gate).unwrap().changes.ranges;
        let with = |base: Option<&str>| {
            let overlay = ImageOverlay {
                base: base.map(|name| dir.path().join(name).into()),
                ..ImageOverlay::new(&path)
            };
            overlay.load(&Limits::default(), &gate)
        };
        for given in [None, Some(base), Some("disk.hds")] {
            let loaded = with(given).unwrap();
            let disk = ByteRange::new(0, 4 << 20);
            assert_eq!(
                loaded.changes.ranges.clipped(disk),
                map.clipped(disk),
                "{name}"
            );
            assert_eq!(
                sum(&**loaded.base.as_ref().unwrap()),
                truth("disk.raw"),
                "{name}"
            );
        }
        assert!(with(Some("log.vhdx")).is_err(), "{name}");
    }
}

#[test]
fn the_log_of_a_vhdx_is_replayed_in_memory() {
    let dir = unpacked();
    let path = dir.path().join("log.vhdx");
    let before = std::fs::read(&path).unwrap();
    let found = Diagnostics::new();
    let image = open_image(&path, &Limits::default(), &DefaultGate::new(), &found).unwrap();
    assert_eq!(read_vec(&*image, 100, 2).unwrap(), [7, 7]);
    assert_eq!(read_vec(&*image, 2 << 20, 1).unwrap(), [9]);
    assert_eq!(sum(&*image), truth("log.vhdx"));
    assert_eq!(found.take()[0].code, "vhdx-log-replayed");
    assert!(std::fs::read(&path).unwrap() == before);
    // A byte of the entry: its checksum is wrong, and without it the file's place is old.
    let mut bytes = before;
    bytes[(1 << 20) + 0x2000 + 4096 + 100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = open(&path).err().unwrap();
    assert!(error.chain().contains("no sound entries"), "{error:?}");
}

#[test]
fn flipped_bytes_never_panic() {
    let dir = unpacked();
    let mut state = 0x5EEDu64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for name in IMAGES.into_iter().chain(OTHERS) {
        let path: PathBuf = dir.path().join(name);
        let sound = std::fs::read(&path).unwrap();
        for round in 0..60 {
            let mut bytes = sound.clone();
            for _ in 0..=random(3) {
                // Headers and tables come first; VHDX has them in the first MiBs.
                let reach = [1024, 1 << 16, bytes.len()][round % 3];
                let at = random(reach.min(bytes.len()));
                bytes[at] ^= 1 << random(8);
            }
            std::fs::write(&path, bytes).unwrap();
            if let Ok(image) = open(&path) {
                for at in (0..image.len().min(8 << 20)).step_by(300_000) {
                    let _ = read_vec(&*image, at, 4096.min((image.len() - at) as usize));
                }
            }
        }
    }
}
