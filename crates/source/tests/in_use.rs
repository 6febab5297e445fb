//! An image that another program writes to while it is read.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use hexz_resolve::{ChangeSource as _, Limits, Loss, OpenGate, Result};
use hexz_source::{DefaultGate, ImageOverlay};
use hexz_testkit::{decompress, fixtures_dir};

/// Where `l1_table_offset` stands in the header of a qcow2 image.
const L1_TABLE_OFFSET: u64 = 40;

/// A gate that is asked for the backing file when the header was read, and before the tables are:
/// meanwhile it writes `bytes` to the image.
struct Meanwhile(PathBuf, u64, Vec<u8>);

impl OpenGate for Meanwhile {
    fn allow(&self, named: &Path, by: &Path) -> Result<PathBuf> {
        let file = File::options().write(true).open(&self.0).unwrap();
        file.write_all_at(&self.2, self.1).unwrap();
        DefaultGate::new().allow(named, by)
    }
}

#[test]
fn a_table_that_moved_meanwhile_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let unpack = |name: &str| {
        let path = dir.path().join(name);
        let packed = fixtures_dir()
            .join("qcow2-images")
            .join(format!("{name}.zst"));
        std::fs::write(&path, decompress(&packed)).unwrap();
        path
    };
    unpack("deflate.qcow2");
    let image = unpack("middle.qcow2");
    let load = |at, bytes: Vec<u8>| {
        let gate = Meanwhile(image.clone(), at, bytes);
        ImageOverlay::new(&image)
            .load(&Limits::default(), &gate)
            .unwrap()
    };
    // What is written elsewhere is what a guest does all the time.
    let size = std::fs::metadata(&image).unwrap().len();
    let calm = load(size, vec![1; 512]);
    assert!(
        calm.changes.diagnostics.is_empty(),
        "{:?}",
        calm.changes.diagnostics
    );
    let moved = load(L1_TABLE_OFFSET, (64u64 << 20).to_be_bytes().to_vec());
    let [finding] = &moved.changes.diagnostics[..] else {
        panic!("{:?}", moved.changes.diagnostics);
    };
    assert_eq!(finding.code, "image-moved");
    assert_eq!(finding.loses, Loss::Part);
}
