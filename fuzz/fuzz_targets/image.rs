//! Images of any format: qcow2, archives, raw disks.
#![no_main]

use std::cell::RefCell;
use std::os::unix::fs::FileExt as _;

use hexz_fuzz::{Closed, read_some};
use hexz_resolve::{Diagnostics, Limits};
use hexz_source::open_image;
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a place for files"));
}

fuzz_target!(|data: &[u8]| {
    FILE.with_borrow_mut(|file| {
        file.as_file().set_len(0).expect("a place for files");
        file.as_file()
            .write_all_at(data, 0)
            .expect("a place for files");
        let limits = Limits::default().with(|limits| limits.cache_bytes = 16 << 20);
        let diagnostics = Diagnostics::new();
        if let Ok(disk) = open_image(file.path(), &limits, &Closed, &diagnostics) {
            read_some(&*disk);
        }
    });
});
