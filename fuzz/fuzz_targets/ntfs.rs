//! Damaged metadata of NTFS.
#![no_main]

use std::sync::LazyLock;

use hexz_fs_ntfs::NtfsPlugin;
use hexz_fuzz::{Images, run};
use libfuzzer_sys::fuzz_target;

static IMAGES: LazyLock<Images> = LazyLock::new(|| {
    Images::load(
        &NtfsPlugin,
        &[
            "ntfs-plain",
            "ntfs-64k",
            "ntfs-compressed",
            "ntfs-fragmented",
        ],
    )
});

fuzz_target!(|data: &[u8]| run(&NtfsPlugin, &IMAGES, data));
