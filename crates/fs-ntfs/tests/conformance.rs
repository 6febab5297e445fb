//! The conformance suite, on images that between them hold every structure of the format.

use std::sync::Arc;

use hexz_fs_ntfs::NtfsPlugin;
use hexz_resolve::{FilesystemPlugin, ReadAt};
use hexz_testkit::Fixture;
use hexz_testkit::conformance::{self, Options};

fn check(case: &str, damages: usize) {
    let plugin: Arc<dyn FilesystemPlugin> = Arc::new(NtfsPlugin);
    let fixture = Fixture::load(case);
    let options = Options {
        damages,
        ..Options::default()
    };
    for image in [fixture.base(), fixture.merged()] {
        let image: Arc<dyn ReadAt> = image;
        conformance::check(&plugin, &image, &options);
    }
}

#[test]
fn streams_links_and_holes() {
    check("ntfs-plain", 1000);
}

#[test]
fn small_clusters_attribute_lists_and_a_fragmented_mft() {
    check("ntfs-fragmented", 600);
}

#[test]
fn large_clusters_and_records() {
    check("ntfs-64k", 300);
}

#[test]
fn compressed_units() {
    check("ntfs-compressed", 300);
}
