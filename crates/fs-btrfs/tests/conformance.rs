//! The conformance suite, on images that between them hold every structure of the format.

use std::sync::Arc;

use hexz_fs_btrfs::BtrfsPlugin;
use hexz_resolve::{FilesystemPlugin, ReadAt};
use hexz_testkit::Fixture;
use hexz_testkit::conformance::{self, Options};

/// A directory counts one link here, however many name it: subvolumes are named from outside.
fn check(image: &Arc<dyn ReadAt>) {
    check_with(image, 40);
}

fn check_with(image: &Arc<dyn ReadAt>, faults: usize) {
    let plugin: Arc<dyn FilesystemPlugin> = Arc::new(BtrfsPlugin);
    let few = Options {
        subsets: 8,
        views: 6,
        faults,
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

/// A log that can't be read leaves all as it was committed, with a finding: that is another truth
/// than the one with the log, so no sector fails here.
#[test]
fn logs() {
    check_with(&Fixture::load("btrfs-log").merged(), 0);
}

#[test]
fn snapshots_and_compression() {
    check(&Fixture::load("btrfs-snapshots").base());
}
