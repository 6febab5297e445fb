//! Stores of snapshots: a header and areas of exceptions.
#![no_main]

use std::sync::Arc;

use hexz_fuzz::{Input, read_some};
use hexz_resolve::{ByteRange, Diagnostics, Limits, ReadAt};
use hexz_source::Exceptions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let mut store = vec![0; 1 << 17];
    store[..4].copy_from_slice(b"SnAp");
    store[4] = 1;
    store[8] = 1;
    // Chunks of 512 bytes to 64 KiB, or what the input says.
    match input.number(1) {
        shift @ 0..=7 => store[12] = 1 << shift,
        _ => store[12..16].copy_from_slice(&(input.number(4) as u32).to_le_bytes()),
    }
    let chunk = usize::from(store[12]).max(1) * 512;
    let rest = input.rest();
    let length = rest.len().min(store.len().saturating_sub(chunk));
    store[chunk.min(1 << 16)..][..length.min(1 << 16)]
        .copy_from_slice(&rest[..length.min(1 << 16)]);
    let size = store.len() as u64;
    let store: Arc<dyn ReadAt> = Arc::new(store);
    let Ok(found) = Exceptions::read(&*store, &Limits::default()) else {
        return;
    };
    for (range, at) in &found.pieces {
        assert!(range.len() == found.chunk && at + found.chunk <= size);
    }
    let disk: Arc<dyn ReadAt> = Arc::new(vec![7; 1 << 16]);
    let names = ("origin".to_owned(), "store".to_owned());
    let loaded = found.loaded(disk, store, names, &Diagnostics::new());
    let whole = ByteRange::new(0, 1 << 16);
    let within = |r: ByteRange| r.intersection(&whole) == Some(r);
    assert!(loaded.changes.ranges.iter().all(within));
    read_some(&**loaded.merged.as_ref().expect("a view"));
});
