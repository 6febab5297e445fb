//! Archives, damaged or made up.
#![no_main]

use std::cell::RefCell;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::LazyLock;

use hexz_fuzz::{Closed, Input, apply, read_some};
use hexz_resolve::{ByteRange, Diagnostics, Limits};
use hexz_source::open_image;
use hexz_testkit::fixtures_dir;
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

const ARCHIVES: [&str; 6] = [
    "layout-a-0.4.0-lz4.hxz",
    "layout-b-0.5.0-thin.hxz",
    "layout-b-0.5.0-zstd-cdc.hxz",
    "layout-c-0.7.0-zstd.hxz",
    "layout-d-0.8.2-lz4.hxz",
    "layout-d-0.8.2-thin.hxz",
];

static SOUND: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let read = |name| std::fs::read(fixtures_dir().join("archives").join(name));
    ARCHIVES.map(|name| read(name).expect("a fixture")).into()
});

thread_local! {
    /// A copy of each archive to be damaged, and a file for made up ones.
    static FILES: RefCell<Vec<NamedTempFile>> = RefCell::new((0..=ARCHIVES.len()).map(|n| {
        let mut file = NamedTempFile::new().expect("a place for files");
        let sound = SOUND.get(n).map(Vec::as_slice).unwrap_or_default();
        file.write_all(sound).expect("a place for files");
        file
    }).collect());
}

fn open(file: &NamedTempFile) {
    let limits = Limits::default().with(|limits| limits.cache_bytes = 16 << 20);
    let diagnostics = Diagnostics::new();
    if let Ok(disk) = open_image(file.path(), &limits, &Closed, &diagnostics) {
        read_some(&*disk);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    FILES.with_borrow_mut(|files| {
        let number = input.number(1) as usize % files.len();
        let file = &files[number];
        let Some(sound) = SOUND.get(number) else {
            file.as_file().set_len(0).expect("a place for files");
            file.as_file()
                .write_all_at(input.rest(), 0)
                .expect("a place for files");
            return open(file);
        };
        let size = sound.len() as u64;
        // The header, the index and the pages before it, and a block now and then.
        let places = [
            ByteRange::new(0, 256),
            ByteRange::new(size - 512, size),
            ByteRange::new(size - 16_384, size - 512),
            ByteRange::new(256, 65_536),
        ];
        let damages = apply(&mut input, &places);
        for damage in &damages {
            let room = (size - damage.at) as usize;
            let bytes = &damage.bytes[..damage.bytes.len().min(room)];
            file.as_file()
                .write_all_at(bytes, damage.at)
                .expect("a place for files");
        }
        open(file);
        for damage in &damages {
            let end = (damage.at as usize + damage.bytes.len()).min(sound.len());
            let bytes = &sound[damage.at as usize..end];
            file.as_file()
                .write_all_at(bytes, damage.at)
                .expect("a place for files");
        }
    });
});
