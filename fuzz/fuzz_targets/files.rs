//! Damaged file tables.
#![no_main]

use std::sync::{Arc, LazyLock};

use hexz_fs_files::FilesPlugin;
use hexz_fuzz::{Input, apply, ask_all};
use hexz_resolve::{ByteRange, Diagnostics, Limits, ReadAt};
use hexz_source::{DefaultGate, open_image};
use hexz_testkit::{Patched, fixtures_dir};
use libfuzzer_sys::fuzz_target;

static DISK: LazyLock<Arc<dyn ReadAt>> = LazyLock::new(|| {
    let path = fixtures_dir().join("directories/before.hxz");
    let (limits, found) = (Limits::default(), Diagnostics::new());
    open_image(&path, &limits, &DefaultGate::new(), &found).expect("a fixture is sound")
});

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    // The header, the records, the names.
    let front = 16 << 20;
    let places = [(0, 64), (front, front + 1024), (front + 4096, front + 4200)];
    let places = places.map(|(start, end)| ByteRange::new(start, end));
    let mut damaged = Patched::new(Arc::clone(&DISK));
    for damage in apply(&mut input, &places) {
        damaged = damaged.patch(damage.at, damage.bytes);
    }
    let damaged: Arc<dyn ReadAt> = Arc::new(damaged);
    ask_all(&FilesPlugin, &damaged);
});
