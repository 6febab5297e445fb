//! Damaged qcow2 images: as disks, as overlays, against another.
#![no_main]

use hexz_fuzz::{ImageFiles, Input, compare, open_and_read, overlay};
use hexz_testkit::Fixture;
use libfuzzer_sys::fuzz_target;

const IMAGES: [&str; 10] = [
    "v2.qcow2",
    "clusters-512.qcow2",
    "clusters-2m.qcow2",
    "deflate.qcow2",
    "zstd.qcow2",
    "subclusters.qcow2",
    "middle.qcow2",
    "top.qcow2",
    "apart.qcow2",
    "snapshots.qcow2",
];

thread_local! {
    static FILES: ImageFiles = {
        let fixture = Fixture::load("qcow2-images");
        let of = |name: &'static str| (name, fixture.bytes(name));
        ImageFiles::new(IMAGES.map(of).into(), ["disk.raw", "apart.data"].map(of).into())
    };
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let way = input.number(1) % 3;
    FILES.with(|files| {
        files.damaged(&mut input, |path| match way {
            0 => open_and_read(path),
            1 => overlay(path),
            _ => compare(path, &path.with_file_name("disk.raw")),
        });
    });
});
