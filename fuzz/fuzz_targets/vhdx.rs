//! Damaged VHDX images: with a log, and over a parent.
#![no_main]

use hexz_fuzz::{ImageFiles, Input, open_and_read, overlay};
use hexz_testkit::{Fixture, VhdxImage};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FILES: ImageFiles = {
        let fixture = Fixture::load("foreign-images");
        let of = |name: &'static str| (name, fixture.bytes(name));
        let mut parent = VhdxImage::new(3 << 20, 1);
        parent.write(0, &[5; 20_480]);
        let mut child = parent.child(r".\parent.vhdx", 2);
        child.write(512, &[6; 512]);
        child.write(1 << 20, &[7; 65_536]);
        let mut images: Vec<_> = ["disk.vhdx", "log.vhdx"].map(of).into();
        images.push(("child.vhdx", child.bytes()));
        ImageFiles::new(images, vec![("parent.vhdx", parent.bytes())])
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
