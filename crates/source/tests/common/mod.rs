//! What several tests do.
#![allow(dead_code)] // each test needs a part of it

use hexz_resolve::{ChangeSet, JournalMode, Limits, Loaded, Progress, Registry, Silent, engine};

/// The changed blocks, with the disks compared where they may differ.
pub(crate) fn compared(loaded: &Loaded) -> ChangeSet {
    compared_telling(loaded, &Silent)
}

/// As [`compared`]; `progress` is told of what is compared.
pub(crate) fn compared_telling(loaded: &Loaded, progress: &dyn Progress) -> ChangeSet {
    let registry = Registry::builder().build();
    let options = engine::Options {
        registry: &registry,
        limits: Limits::default(),
        journal: JournalMode::Replay,
        threads: 1,
        volume: None,
        detection: Default::default(),
        disks: hexz_resolve::Disks::default(),
        memo: None,
        progress,
        scratch: None,
        cancel: None,
    };
    engine::compare(loaded, &options).unwrap()
}
