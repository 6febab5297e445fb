//! The conformance suite, on images that between them hold every structure of the format.

use std::sync::Arc;

use hexz_fs_ext4::Ext4Plugin;
use hexz_resolve::{FilesystemPlugin, ReadAt};
use hexz_testkit::Fixture;
use hexz_testkit::conformance::{self, Options};

fn check(case: &str, options: &Options) {
    let plugin: Arc<dyn FilesystemPlugin> = Arc::new(Ext4Plugin);
    let image: Arc<dyn ReadAt> = Fixture::load(case).base();
    conformance::check(&plugin, &image, options);
}

#[test]
fn extents_and_checksums() {
    check("deep-extents", &Options::default());
}

#[test]
fn indirect_blocks_without_a_journal() {
    check("ext2-old", &Options::default());
}

#[test]
fn hash_tree_directories() {
    check(
        "htree",
        &Options {
            damages: 600,
            ..Options::default()
        },
    );
}

#[test]
fn inline_data() {
    check(
        "inline-data",
        &Options {
            damages: 600,
            ..Options::default()
        },
    );
}

#[test]
fn clusters() {
    check(
        "bigalloc",
        &Options {
            damages: 600,
            ..Options::default()
        },
    );
}

#[test]
fn shared_attribute_blocks() {
    check(
        "shared-xattr",
        &Options {
            damages: 600,
            ..Options::default()
        },
    );
}

/// The disk after the change: its newest metadata is in the journal only.
#[test]
fn a_journal_to_replay() {
    let plugin: Arc<dyn FilesystemPlugin> = Arc::new(Ext4Plugin);
    for case in ["journal", "journal-csum", "journal-revoked"] {
        let image: Arc<dyn ReadAt> = Fixture::load(case).merged();
        // Where a block of the journal can't be read, the view is the older one: told of, and not
        // what the whole image gives.
        let options = Options {
            damages: 700,
            faults: 0,
            truncations: 0,
            ..Options::default()
        };
        conformance::check(&plugin, &image, &options);
    }
}
