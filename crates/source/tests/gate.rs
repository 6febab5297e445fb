//! What an image names is opened with the leave of the gate only, whatever the format and wherever
//! the name stands.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use hexz_resolve::{ChangeSource as _, Diagnostics, Error, ErrorKind, Limits, OpenGate, Result};
use hexz_source::{ImageOverlay, TwoImages, open_image};
use hexz_testkit::{VhdImage, VhdxImage, decompress, fixtures_dir};

/// Refuses all, and notes what it was asked for.
#[derive(Default)]
struct Shut(Mutex<Vec<PathBuf>>);

impl OpenGate for Shut {
    fn allow(&self, named: &Path, _: &Path) -> Result<PathBuf> {
        self.0.lock().unwrap().push(named.to_owned());
        Err(Error::new(ErrorKind::Io, "parent image").message("the gate is shut"))
    }
}

/// Images that name a file which lies beside them and is sound, so that only the gate is in the way;
/// with a part of that name.
fn naming(dir: &Path) -> Vec<(PathBuf, &'static str)> {
    let fixtures = fixtures_dir();
    let mut all = Vec::new();
    let mut unpack = |folder: &str, name: &str, named: Option<&'static str>| {
        let from = fixtures.join(folder);
        let packed = from.join(format!("{name}.zst"));
        let bytes = match packed.exists() {
            true => decompress(&packed),
            false => std::fs::read(from.join(name)).unwrap(),
        };
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        all.extend(named.map(|named| (path, named)));
    };
    unpack("qcow2-images", "disk.raw", None);
    unpack("qcow2-images", "deflate.qcow2", None);
    unpack("qcow2-images", "middle.qcow2", Some("deflate.qcow2"));
    unpack("qcow2-images", "top.qcow2", Some("middle.qcow2"));
    unpack("qcow2-images", "apart.data", None);
    unpack("qcow2-images", "apart.qcow2", Some("apart.data"));
    unpack("foreign-images", "child.qed", Some("disk.raw"));
    unpack("foreign-images", "sparse.vmdk", None);
    unpack("foreign-images", "child.vmdk", Some("sparse.vmdk"));
    unpack("foreign-images", "flat-flat.vmdk", None);
    unpack("foreign-images", "flat.vmdk", Some("flat-flat.vmdk"));
    unpack("demo", "base.hxz", None);
    unpack("archives", "layout-d-0.8.2-thin.hxz", Some(".hxz"));
    unpack("directories", "before.hxz", None);
    unpack("directories", "thin.hxz", Some("before.hxz"));
    let vhd = VhdImage::new(1 << 20, 1);
    let mut child = vhd.child("", 2);
    child.locators = vec![(*b"W2ru", VhdImage::utf16(r".\base.vhd"))];
    std::fs::write(dir.join("base.vhd"), vhd.bytes()).unwrap();
    std::fs::write(dir.join("child.vhd"), child.bytes()).unwrap();
    let vhdx = VhdxImage::new(1 << 20, 1);
    std::fs::write(dir.join("base.vhdx"), vhdx.bytes()).unwrap();
    let child = vhdx.child(r".\base.vhdx", 2);
    std::fs::write(dir.join("child.vhdx"), child.bytes()).unwrap();
    all.push((dir.join("child.vhd"), "base.vhd"));
    all.push((dir.join("child.vhdx"), "base.vhdx"));
    all
}

#[test]
fn nothing_is_opened_past_a_shut_gate() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    for (image, named) in naming(dir.path()) {
        let whole = || {
            let gate = Shut::default();
            let opened = open_image(&image, &limits, &gate, &Diagnostics::new()).map(|_| ());
            (gate, opened)
        };
        let overlay = || {
            let gate = Shut::default();
            let loaded = ImageOverlay::new(&image).load(&limits, &gate).map(|_| ());
            (gate, loaded)
        };
        let compared = || {
            let gate = Shut::default();
            let loaded = TwoImages::new(image.as_path(), image.as_path()).load(&limits, &gate);
            (gate, loaded.map(|_| ()))
        };
        for (gate, outcome) in [whole(), overlay(), compared()] {
            let error = outcome
                .err()
                .unwrap_or_else(|| panic!("{image:?} was opened"));
            assert!(
                error.chain().contains("the gate is shut"),
                "{image:?}: {error:?}"
            );
            let asked = gate.0.into_inner().unwrap();
            assert!(!asked.is_empty(), "{image:?}");
            let is_named = |path: &PathBuf| path.to_string_lossy().contains(named);
            assert!(asked.iter().any(is_named), "{image:?}: {asked:?}");
        }
    }
}
