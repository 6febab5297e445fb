//! The conformance suite, on images that between them hold every structure of the format.

use std::sync::Arc;

use hexz_fs_btrfs::BtrfsPlugin;
use hexz_resolve::{FilesystemPlugin, ReadAt};
use hexz_testkit::Fixture;
use hexz_testkit::conformance::{self, Options};

/// A directory counts one link here, however many name it: subvolumes are named from outside.
fn check(image: &Arc<dyn ReadAt>) {
    let plugin: Arc<dyn FilesystemPlugin> = Arc::new(BtrfsPlugin);
    let few = Options {
        subsets: 8,
        views: 6,
        faults: 40,
        truncations: 12,
        damages: 600,
        ..Options::default()
    };
    let factor = std::env::var("HEXZ_CONFORMANCE_FACTOR")
        .ok()
        .and_then(|f| f.parse().ok());
    conformance::check(&plugin, image, &few.times(factor.unwrap_or(1)));
}

#[test]
fn data_and_metadata_in_the_same_chunks() {
    check(&Fixture::load("btrfs-mixed").base());
}

#[test]
fn snapshots_and_compression() {
    check(&Fixture::load("btrfs-snapshots").base());
}
