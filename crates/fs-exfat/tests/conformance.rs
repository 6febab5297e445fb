//! The conformance suite, on images that between them have every structure of the format.

use std::sync::Arc;

use hexz_fs_exfat::ExfatPlugin;
use hexz_resolve::{FilesystemPlugin, ReadAt};
use hexz_testkit::Fixture;
use hexz_testkit::conformance::{self, Options};

fn check(case: &str, damages: usize) {
    let plugin: Arc<dyn FilesystemPlugin> = Arc::new(ExfatPlugin);
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
fn written_by_the_kernel() {
    check("exfat", 1500);
}

#[test]
fn written_by_exfat_fuse() {
    check("exfat-fuse", 1000);
}
