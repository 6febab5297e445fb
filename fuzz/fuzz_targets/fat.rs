//! Damaged metadata of FAT12, FAT16 and FAT32.
#![no_main]

use std::sync::LazyLock;

use hexz_fs_fat::FatPlugin;
use hexz_fuzz::{Images, run};
use libfuzzer_sys::fuzz_target;

static IMAGES: LazyLock<Images> =
    LazyLock::new(|| Images::load(&FatPlugin, &["fat12-floppy", "fat32", "fat32-4k-sectors"]));

fuzz_target!(|data: &[u8]| run(&FatPlugin, &IMAGES, data));
