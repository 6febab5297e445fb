//! Damaged undo files of e2fsprogs, with their checksums set right or not.
#![no_main]

use std::cell::RefCell;
use std::os::unix::fs::FileExt as _;

use hexz_fuzz::{Closed, Input, apply, read_some};
use hexz_resolve::{ByteRange, ChangeSource as _, Limits};
use hexz_source::{ExtentList, ListFormat};
use hexz_testkit::{decompress, fixtures_dir};
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

thread_local! {
    /// The sound undo file, and files for the damaged one and the disk after.
    static FILES: RefCell<(Vec<u8>, [NamedTempFile; 2])> = RefCell::new({
        let of = |name: &str| decompress(&fixtures_dir().join("undo").join(name));
        let files = [(); 2].map(|()| NamedTempFile::new().expect("a place for files"));
        let disk = of("debugfs.after.zst");
        files[1].as_file().write_all_at(&disk, 0).expect("a place for files");
        (of("debugfs.e2undo.zst"), files)
    });
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let (mend, both) = (input.number(1) % 4 != 0, input.number(1) % 2 == 0);
    FILES.with_borrow_mut(|(sound, [list, disk])| {
        let mut bytes = sound.clone();
        let size = bytes.len() as u64;
        let places = [(0, 512), (1024, 2048), (2048, 3072), (0, size)];
        let places = places.map(|(start, end)| ByteRange::new(start, end));
        for damage in apply(&mut input, &places) {
            let at = damage.at as usize;
            let end = (at + damage.bytes.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&damage.bytes[..end - at]);
        }
        if mend {
            let sum = checksum(&bytes[..508]);
            bytes[508..512].copy_from_slice(&sum.to_le_bytes());
            bytes[2052..2056].fill(0);
            let sum = checksum(&bytes[2048..3072]);
            bytes[2052..2056].copy_from_slice(&sum.to_le_bytes());
        }
        list.as_file()
            .write_all_at(&bytes, 0)
            .expect("a place for files");
        let source = ExtentList {
            file: list.path().to_owned(),
            format: Some(ListFormat::Undo),
            unit: 4096,
            base: None,
            merged: both.then(|| disk.path().into()),
        };
        if let Ok(loaded) = source.load(&Limits::default(), &Closed) {
            let views = [&loaded.base, &loaded.merged].into_iter().flatten();
            for view in views {
                let whole = ByteRange::new(0, view.len());
                let within = |r: ByteRange| r.intersection(&whole) == Some(r);
                assert!(loaded.changes.ranges.iter().all(within));
                read_some(&**view);
            }
        }
    });
});

/// CRC32C without the inversion at the end.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0x82F6_3B78 * (sum & 1))
        })
    })
}
