//! Damaged VMDK images.
#![no_main]

use hexz_fuzz::{ImageFiles, Input, open_and_read};
use hexz_testkit::Fixture;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FILES: ImageFiles = {
        let fixture = Fixture::load("foreign-images");
        let of = |name: &'static str| (name, fixture.bytes(name));
        ImageFiles::new(["sparse.vmdk", "stream.vmdk", "flat.vmdk"].map(of).into(), ["flat-flat.vmdk"].map(of).into())
    };
}

fuzz_target!(|data: &[u8]| {
    FILES.with(|files| files.damaged(&mut Input::new(data), open_and_read));
});
