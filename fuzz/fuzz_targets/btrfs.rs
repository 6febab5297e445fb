//! Damaged metadata of btrfs.
#![no_main]

use std::sync::LazyLock;

use hexz_fs_btrfs::BtrfsPlugin;
use hexz_fuzz::{Images, run};
use libfuzzer_sys::fuzz_target;

static IMAGES: LazyLock<Images> =
    LazyLock::new(|| Images::load(&BtrfsPlugin, &["btrfs-mixed", "btrfs-snapshots"]));

fuzz_target!(|data: &[u8]| run(&BtrfsPlugin, &IMAGES, data));
