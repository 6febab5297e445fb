//! Damaged metadata of exFAT.
#![no_main]

use std::sync::LazyLock;

use hexz_fs_exfat::ExfatPlugin;
use hexz_fuzz::{Images, run};
use libfuzzer_sys::fuzz_target;

static IMAGES: LazyLock<Images> =
    LazyLock::new(|| Images::load(&ExfatPlugin, &["exfat", "exfat-fuse"]));

fuzz_target!(|data: &[u8]| run(&ExfatPlugin, &IMAGES, data));
