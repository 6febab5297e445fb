//! The conformance suite, on images that between them have every structure of the format.

use std::sync::Arc;

use hexz_fs_fat::FatPlugin;
use hexz_resolve::{FilesystemPlugin, ReadAt};
use hexz_testkit::Fixture;
use hexz_testkit::conformance::{self, Options};

fn check(case: &str, damages: usize) {
    let plugin: Arc<dyn FilesystemPlugin> = Arc::new(FatPlugin);
    let image: Arc<dyn ReadAt> = Fixture::load(case).base();
    let options = Options {
        damages,
        ..Options::default()
    };
    let factor = std::env::var("HEXZ_CONFORMANCE_FACTOR")
        .ok()
        .and_then(|f| f.parse().ok());
    conformance::check(&plugin, &image, &options.times(factor.unwrap_or(1)));
}

#[test]
fn fat12() {
    check("fat12-floppy", 2000);
}

#[test]
fn fat32() {
    check("fat32", 600);
}

#[test]
fn sectors_of_4096_bytes() {
    check("fat32-4k-sectors", 1000);
}
