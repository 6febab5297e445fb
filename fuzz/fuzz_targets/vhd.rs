//! Damaged VHD images: as disks, as changes over their parents, against another.
#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use hexz_fuzz::{ImageFiles, Input, compare, open_and_read, overlay};
use hexz_testkit::{Fixture, VhdImage};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FILES: ImageFiles = {
        let fixture = Fixture::load("vhd-images");
        let of = |name: &'static str| (name, fixture.bytes(name));
        let (parent, small, child) = built();
        let mut images: Vec<_> = ["dynamic.vhd", "fixed.vhd", "written.vhd"].map(of).into();
        images.extend([("small.vhd", small), ("child.vhd", child)]);
        ImageFiles::new(images, vec![("parent.vhd", parent), of("fixed-exact.vhd")])
    };
}

/// A parent, one like it, and a child with bitmaps of every kind.
fn built() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut parent = VhdImage::new(64 << 10, 1);
    parent.write(3, &[5; 20_000]);
    let mut child = parent.child("parent.vhd", 2);
    child.block_size = 1 << 14;
    child.locators = vec![
        (*b"W2ru", VhdImage::utf16(r".\parent.vhd")),
        (*b"MacX", b"file://./parent.vhd".to_vec()),
    ];
    child.write(0, &[6; 512]);
    child.write(30, &[7; 4096]);
    child.write(100, &[8; 512]);
    (parent.bytes(), parent.bytes(), child.bytes())
}

/// Runs `read` while the checksums are right: a wrong one hides what is behind it.
fn sealed(path: &Path, read: impl FnOnce()) {
    let file = File::options().read(true).write(true).open(path);
    let file = file.expect("the image");
    let size = file.metadata().expect("the image").len();
    let mut before = Vec::new();
    for (at, length, sum) in [(0, 512, 64), (512, 1024, 36), (size - 512, 512, 64)] {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at).expect("the image");
        if bytes.starts_with(b"conectix") || bytes.starts_with(b"cxsparse") {
            before.push((at, bytes.clone()));
            VhdImage::seal(&mut bytes, sum);
            file.write_all_at(&bytes, at).expect("a place for files");
        }
    }
    read();
    for (at, bytes) in before {
        file.write_all_at(&bytes, at).expect("a place for files");
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let way = input.number(1) % 8;
    FILES.with(|files| {
        files.damaged(&mut input, |path| {
            let read = || match way % 4 {
                0 | 1 => open_and_read(path),
                2 => overlay(path),
                _ => compare(path, &path.with_file_name("fixed-exact.vhd")),
            };
            if way < 4 { read() } else { sealed(path, read) }
        });
    });
});
