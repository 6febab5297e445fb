//! The toy filesystem passes the conformance suite, and what is wrong in a plugin does not.

mod common;

use std::sync::Arc;

use hexz_resolve::{FilesystemPlugin, ReadAt};
use hexz_testkit::conformance::{self, Options};
use hexz_toyfs::ToyFs;

use common::Maker;

#[test]
fn conforms() {
    let plugin: Arc<dyn FilesystemPlugin> = Arc::new(ToyFs);
    let image: Arc<dyn ReadAt> = Arc::new(Maker::sample().image);
    conformance::check(&plugin, &image, &Options::default());
}
