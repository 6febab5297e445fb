//! Differencing VHDX images, which no program at hand writes: built as [MS-VHDX] has them, and
//! held against the disks they were built from. `cargo xtask oracle sources` holds the same bytes
//! against another reader.
//!
//! [MS-VHDX]: https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{
    ByteRange, ChangeSource, Diagnostics, Limits, RangeSet, ReadAt, Result, read_vec,
};
use hexz_source::{DefaultGate, ImageOverlay, open_image};
use hexz_testkit::{Rng, VhdxImage};

const SIZE: u64 = 5 << 20;

fn open(path: &Path) -> Result<Arc<dyn ReadAt>> {
    let gate = DefaultGate::new();
    open_image(path, &Limits::default(), &gate, &Diagnostics::new())
}

fn contents(image: &dyn ReadAt) -> Vec<u8> {
    let steps = (0..image.len()).step_by(100_001);
    let pieces = steps.map(|at| read_vec(image, at, 100_001.min(image.len() - at) as usize));
    let pieces: std::result::Result<Vec<_>, _> = pieces.collect();
    pieces.unwrap().concat()
}

fn put(dir: &Path, name: &str, image: &VhdxImage) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, image.bytes()).unwrap();
    path
}

/// Writes at random to `image` and to the disk it is of; gives where.
fn scribble(image: &mut VhdxImage, disk: &mut [u8], random: &mut Rng) -> RangeSet {
    let writes = (0..30).map(|_| {
        let length = 512 * (1 + random.index(40));
        let at = 512 * random.below((SIZE - length as u64) / 512);
        let bytes = vec![random.below(4) as u8; length];
        image.write(at, &bytes);
        disk[at as usize..at as usize + length].copy_from_slice(&bytes);
        ByteRange::new(at, at + length as u64)
    });
    writes.collect()
}

#[test]
fn a_child_has_the_sectors_of_its_bitmap_and_else_those_of_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Rng::new(11);
    let mut disk = vec![0; SIZE as usize];
    let mut parent = VhdxImage::new(SIZE, 1);
    scribble(&mut parent, &mut disk, &mut random);
    let before = disk.clone();
    let parent_path = put(dir.path(), "parent.vhdx", &parent);
    assert!(contents(&*open(&parent_path).unwrap()) == before);

    let mut child = parent.child(r".\parent.vhdx", 2);
    let written = scribble(&mut child, &mut disk, &mut random);
    let path = put(dir.path(), "child.vhdx", &child);
    assert!(contents(&*open(&path).unwrap()) == disk);
    let loaded = ImageOverlay::new(&path)
        .load(&Limits::default(), &DefaultGate::new())
        .unwrap();
    assert_eq!(loaded.changes.ranges, written);
    assert_eq!(loaded.changes.block_size, 512);
    assert!(contents(&*loaded.base.unwrap()) == before);
    assert!(contents(&*loaded.merged.unwrap()) == disk);

    // Another one in the parent's place; none; one behind the gate.
    put(dir.path(), "parent.vhdx", &VhdxImage::new(SIZE, 3));
    let error = open(&path).err().unwrap();
    assert!(error.chain().contains("parent of others"), "{error:?}");
    std::fs::remove_file(&parent_path).unwrap();
    assert!(open(&path).err().unwrap().chain().contains("parent.vhdx"));
    std::os::unix::fs::symlink("/etc/passwd", &parent_path).unwrap();
    assert!(open(&path).err().unwrap().chain().contains("not allowed"));
}

#[test]
fn flipped_bytes_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Rng::new(3);
    let mut disk = vec![0; SIZE as usize];
    let parent = VhdxImage::new(SIZE, 1);
    put(dir.path(), "parent.vhdx", &parent);
    let mut child = parent.child("parent.vhdx", 2);
    scribble(&mut child, &mut disk, &mut random);
    let sound = child.bytes();
    let path = dir.path().join("damaged.vhdx");
    let mut errors = 0;
    for round in 0..60 {
        let mut bytes = sound.clone();
        for _ in 0..=random.index(3) {
            // Metadata, the table, the bitmap.
            let at = [(2 << 20) + (64 << 10), 3 << 20, 4 << 20][round % 3] + random.index(300);
            bytes[at] ^= 1 << random.index(8);
        }
        std::fs::write(&path, bytes).unwrap();
        let Ok(image) = open(&path) else {
            errors += 1;
            continue;
        };
        for at in (0..image.len().min(8 << 20)).step_by(300_000) {
            let length = 4096.min(image.len() - at);
            errors += usize::from(read_vec(&*image, at, length as usize).is_err());
        }
        let _ = image.data_in(ByteRange::new(0, u64::MAX));
    }
    assert!(errors > 5, "only {errors}: the damage missed");
}
