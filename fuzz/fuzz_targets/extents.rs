//! Lists of extents, of every form and of none.
#![no_main]

use std::cell::RefCell;
use std::os::unix::fs::FileExt as _;

use hexz_fuzz::{Closed, Input};
use hexz_resolve::{ByteRange, ChangeSource as _, Limits};
use hexz_source::{ExtentList, ListFormat};
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

const DISK: u64 = 1 << 20;

thread_local! {
    /// The list, and a disk.
    static FILES: RefCell<[NamedTempFile; 2]> = RefCell::new({
        let files = [(); 2].map(|()| NamedTempFile::new().expect("a place for files"));
        files[1].as_file().set_len(DISK).expect("a place for files");
        files
    });
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let format = ListFormat::ALL.get(input.number(1) as usize % 16).copied();
    let unit = *input.pick(&[1u64, 512, 4096, u64::MAX]);
    FILES.with_borrow_mut(|[list, disk]| {
        list.as_file().set_len(0).expect("a place for files");
        list.as_file()
            .write_all_at(input.rest(), 0)
            .expect("a place for files");
        let source = ExtentList {
            file: list.path().to_owned(),
            format,
            unit,
            base: Some(disk.path().into()),
            merged: None,
        };
        if let Ok(loaded) = source.load(&Limits::default(), &Closed) {
            let whole = ByteRange::new(0, DISK);
            let within = |r: ByteRange| r.intersection(&whole) == Some(r);
            assert!(loaded.changes.ranges.iter().all(within));
        }
    });
});
