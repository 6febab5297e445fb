//! The index of an overlay.
#![no_main]

use std::cell::RefCell;
use std::io::Write as _;

use hexz_fuzz::Input;
use hexz_resolve::ByteRange;
use hexz_source::meta::read_index;
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a place for files"));
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let unit = *input.pick(&[1u64, 4096, 1 << 30]);
    let size = input.number(2) * unit;
    let index = input.rest();
    FILE.with_borrow_mut(|file| {
        file.as_file().set_len(0).expect("a place for files");
        let mut at = file.reopen().expect("a place for files");
        at.write_all(index).expect("a place for files");
        let read = read_index(file.path(), Some(size)).expect("any file is an index");
        let entries: std::collections::BTreeSet<u64> = index
            .chunks_exact(8)
            .map(|e| u64::from_le_bytes(e.try_into().expect("8 bytes")))
            .collect();
        assert_eq!(read.count(), entries.len() as u64);
        let ranges = read.ranges(size, 1 << 20);
        let disk = ByteRange::new(0, size);
        assert!(ranges.iter().all(|r| r.intersection(&disk) == Some(r)));
        let within = entries.iter().filter(|e| {
            let start = e.checked_mul(4096);
            start.is_some_and(|start| start < size)
        });
        assert_eq!(ranges.len().div_ceil(4096), within.count() as u64);
    });
});
