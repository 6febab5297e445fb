//! Damaged metadata of ext2, ext3 and ext4.
#![no_main]

use std::sync::LazyLock;

use hexz_fs_ext4::Ext4Plugin;
use hexz_fuzz::{Images, run};
use libfuzzer_sys::fuzz_target;

static IMAGES: LazyLock<Images> = LazyLock::new(|| {
    let cases = [
        "hard-links",
        "shared-xattr",
        "inline-data",
        "unwritten",
        "htree",
        "indirect",
        "deep-extents",
        "journal",
    ];
    Images::load(&Ext4Plugin, &cases)
});

fuzz_target!(|data: &[u8]| run(&Ext4Plugin, &IMAGES, data));
