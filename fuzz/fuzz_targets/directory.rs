//! Damaged archives of directories: their manifests, and the files that come of them.
#![no_main]

use hexz_fs_files::FilesPlugin;
use hexz_fuzz::{ImageFiles, Input, ask_all, compare, open_and_read};
use hexz_resolve::{Diagnostics, Limits};
use hexz_source::{DefaultGate, open_image};
use hexz_testkit::fixtures_dir;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FILES: ImageFiles = {
        let of = |name: &'static str| {
            let bytes = std::fs::read(fixtures_dir().join("directories").join(name));
            (name, bytes.expect("a fixture"))
        };
        let images = ["after.hxz", "thin.hxz", "void.hxz", "memory.hxz"].map(of);
        ImageFiles::new(images.into(), vec![of("before.hxz")])
    };
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let way = input.number(1) % 3;
    FILES.with(|files| {
        files.damaged(&mut input, |path| match way {
            0 => open_and_read(path),
            1 => compare(path, &path.with_file_name("before.hxz")),
            _ => {
                let (limits, found) = (Limits::default(), Diagnostics::new());
                if let Ok(disk) = open_image(path, &limits, &DefaultGate::new(), &found) {
                    ask_all(&FilesPlugin, &disk);
                }
            }
        });
    });
});
