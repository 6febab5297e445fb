//! Damaged metadata of XFS.
#![no_main]

use std::sync::LazyLock;

use hexz_fs_xfs::XfsPlugin;
use hexz_fuzz::{Images, run};
use libfuzzer_sys::fuzz_target;

static IMAGES: LazyLock<Images> =
    LazyLock::new(|| Images::load(&XfsPlugin, &["xfs-1k", "xfs-parent", "xfs-rmap"]));

fuzz_target!(|data: &[u8]| run(&XfsPlugin, &IMAGES, data));
