//! Damaged VDI images.
#![no_main]

use hexz_fuzz::{ImageFiles, Input, open_and_read, overlay};
use hexz_testkit::Fixture;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FILES: ImageFiles = {
        let fixture = Fixture::load("foreign-images");
        let of = |name: &'static str| (name, fixture.bytes(name));
        ImageFiles::new(["disk.vdi", "fixed.vdi"].map(of).into(), Vec::new())
    };
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let way = input.number(1) % 2;
    FILES.with(|files| {
        files.damaged(&mut input, |path| match way {
            0 => open_and_read(path),
            _ => overlay(path),
        });
    });
});
