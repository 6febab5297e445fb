//! VHD images: those of qemu-img against what it makes of them, those that no program at hand
//! writes against the disk they were built from.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

mod chains;
#[path = "../common/mod.rs"]
mod common;
mod damaged;
mod footers;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{ByteRange, Diagnostics, Limits, RangeSet, ReadAt, Result, read_vec};
use hexz_source::{DefaultGate, Format, detect, open_image};
use hexz_testkit::{Fixture, Rng, VhdImage};
use sha2::{Digest, Sha256};

/// A folder of images.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

fn open(path: &Path) -> Result<Arc<dyn ReadAt>> {
    open_telling(path, &Diagnostics::new())
}

fn open_telling(path: &Path, found: &Diagnostics) -> Result<Arc<dyn ReadAt>> {
    open_image(path, &Limits::default(), &DefaultGate::new(), found)
}

fn codes(found: &Diagnostics) -> Vec<String> {
    let all = found.take().into_iter();
    all.map(|d| d.code.into_owned()).collect()
}

fn contents(image: &dyn ReadAt) -> Vec<u8> {
    // Pieces that end inside sectors and blocks.
    let steps = (0..image.len()).step_by(100_001);
    let pieces = steps.map(|at| read_vec(image, at, 100_001.min(image.len() - at) as usize));
    pieces
        .collect::<std::result::Result<Vec<_>, _>>()
        .unwrap()
        .concat()
}

/// Holds what the image tells of its holes against its contents.
fn holes_are_zeros(image: &dyn ReadAt, contents: &[u8]) {
    let all = ByteRange::new(0, image.len());
    for hole in &RangeSet::from(all).difference(&image.data_in(all)) {
        let bytes = &contents[hole.start() as usize..hole.end() as usize];
        assert!(bytes.iter().all(|b| *b == 0), "{hole:?}");
    }
}

#[test]
fn every_image_reads_as_qemu_reads_it() {
    let fixture = Fixture::load("vhd-images");
    let folder = Folder::new();
    let truth = String::from_utf8(fixture.bytes("SHA256")).unwrap();
    assert_eq!(truth.lines().count(), 5);
    for line in truth.lines() {
        let [sum, name, size] = *line.split("  ").collect::<Vec<_>>() else {
            panic!("{line}");
        };
        let path = folder.put(name, fixture.bytes(name));
        assert_eq!(detect(&path).unwrap(), Format::Vhd);
        let found = Diagnostics::new();
        let image = open_telling(&path, &found).unwrap();
        assert_eq!(codes(&found), [""; 0], "{name}");
        assert_eq!(image.len().to_string(), size, "{name}");
        let contents = contents(&*image);
        let of = Sha256::digest(&contents);
        let of: String = of.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(of, sum, "{name}");
        holes_are_zeros(&*image, &contents);
    }
    let written = open(&folder.path("written.vhd")).unwrap();
    let blocks = [0, 1, 2, 6, 8].map(|n: u64| ByteRange::new(n << 21, (n + 1) << 21));
    let blocks = blocks.map(|block| ByteRange::new(block.start(), block.end().min(17 << 20)));
    let blocks: RangeSet = blocks.into_iter().collect();
    assert_eq!(written.data_in(ByteRange::new(0, u64::MAX)), blocks);
}

#[test]
fn what_a_bitmap_does_not_have_is_a_hole() {
    let folder = Folder::new();
    // One bitmap may be longer than a sector: those of blocks of 4 MiB are two.
    for block_size in [512, 4096, 2 << 20, 4 << 20] {
        let mut random = Rng::new(u64::from(block_size));
        let size = 9 << 20;
        let mut image = VhdImage::new(size, 1);
        image.block_size = block_size;
        let mut disk = vec![0; size as usize];
        let mut written = RangeSet::new();
        for _ in 0..60 {
            let (length, byte) = (512 * (1 + random.index(30)), 1 + random.index(250) as u8);
            let sector = random.below((size - length as u64) / 512);
            let bytes = vec![byte; length];
            image.write(sector, &bytes);
            let at = sector as usize * 512;
            disk[at..at + length].copy_from_slice(&bytes);
            written.insert(ByteRange::new(at as u64, (at + length) as u64));
        }
        let path = folder.put("disk.vhd", image.bytes());
        let found = Diagnostics::new();
        let image = open_telling(&path, &found).unwrap();
        assert_eq!(codes(&found), [""; 0]);
        assert!(contents(&*image) == disk, "blocks of {block_size}");
        assert_eq!(image.data_in(ByteRange::new(0, size)), written);
    }
}
