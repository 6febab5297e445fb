//! The conformance suite, on images that between them hold every structure of the format.

use std::sync::Arc;

use hexz_fs_xfs::XfsPlugin;
use hexz_resolve::{FilesystemPlugin, ReadAt};
use hexz_testkit::Fixture;
use hexz_testkit::conformance::{self, Options};

/// The whole of each image is read for each damage, and they are larger than those of others:
/// few are tried here, and more with `HEXZ_CONFORMANCE_FACTOR`.
fn check(image: &Arc<dyn ReadAt>, faults: bool) {
    let plugin: Arc<dyn FilesystemPlugin> = Arc::new(XfsPlugin);
    let few = Options {
        subsets: 8,
        views: 6,
        faults: if faults { 60 } else { 0 },
        truncations: if faults { 24 } else { 0 },
        damages: 800,
        ..Options::default()
    };
    let factor = std::env::var("HEXZ_CONFORMANCE_FACTOR")
        .ok()
        .and_then(|f| f.parse().ok());
    conformance::check(&plugin, image, &few.times(factor.unwrap_or(1)));
}

#[test]
fn version_4() {
    check(&Fixture::load("xfs-v4").base(), true);
}

#[test]
fn inodes_are_scanned() {
    check(&Fixture::load("xfs-1k").base(), true);
}

#[test]
fn parent_pointers() {
    check(&Fixture::load("xfs-parent").base(), true);
}

/// Where its log can't be read the disk is told as it lies, which is another one; the state says
/// so.
#[test]
fn reverse_maps_and_a_log_to_replay() {
    check(&Fixture::load("xfs-rmap").base(), false);
}
