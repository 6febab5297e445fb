//! Linux swap areas. They hold no file; that a changed block was swap is all there is to say.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::as_conversions
    )
)]

mod attributes;
mod claims;
mod fs;
mod links;
mod ondisk;
mod probe;

use std::sync::Arc;

use hexz_resolve::{
    Descriptor, DuplicateId, Filesystem, FilesystemPlugin, Member, OpenContext, Probe,
    RegistryBuilder, Result, Window,
};

/// The plugin for Linux swap areas.
#[derive(Clone, Copy, Debug, Default)]
pub struct SwapPlugin;

impl FilesystemPlugin for SwapPlugin {
    fn descriptor(&self) -> &'static Descriptor {
        &probe::DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        probe::probe(window)
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        let opened = Member::only(members).and_then(|volume| fs::open(Arc::clone(volume), cx));
        let opened = opened.map_err(|error| error.layer("swap"))?;
        Ok(Box::new(opened))
    }
}

/// Adds swap areas.
///
/// # Errors
/// When a plugin with the id `swap` is there.
pub fn register(registry: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    registry.filesystem(SwapPlugin).map(|_| ())
}
