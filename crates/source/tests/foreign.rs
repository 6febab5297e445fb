//! VMDK and VHDX images written by qemu-img, against the disk they were made from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{Diagnostics, Limits, ReadAt, Result, read_vec};
use hexz_source::{DefaultGate, open_image};
use hexz_testkit::Fixture;
use sha2::{Digest, Sha256};

const IMAGES: [&str; 4] = ["sparse.vmdk", "stream.vmdk", "flat.vmdk", "disk.vhdx"];

fn unpacked() -> tempfile::TempDir {
    let fixture = Fixture::load("foreign-images");
    let dir = tempfile::tempdir().unwrap();
    for name in IMAGES.iter().chain(&["flat-flat.vmdk"]) {
        std::fs::write(dir.path().join(name), fixture.bytes(name)).unwrap();
    }
    dir
}

fn open(path: &Path) -> Result<Arc<dyn ReadAt>> {
    let gate = DefaultGate::new();
    open_image(path, &Limits::default(), &gate, &Diagnostics::new())
}

#[test]
fn every_image_holds_the_disk() {
    let dir = unpacked();
    let sums = String::from_utf8(Fixture::load("foreign-images").bytes("SHA256")).unwrap();
    for name in IMAGES {
        let image = open(&dir.path().join(name)).unwrap();
        assert_eq!(image.len(), 4 << 20, "{name}");
        let mut hasher = Sha256::new();
        for at in (0..image.len()).step_by(1 << 16) {
            hasher.update(read_vec(&*image, at, 1 << 16).unwrap());
        }
        let sum: String = hasher
            .finalize()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(sums.split_whitespace().next().unwrap(), sum, "{name}");
    }
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
    for name in IMAGES {
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
