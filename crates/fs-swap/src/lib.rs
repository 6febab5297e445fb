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

mod claims;
mod fs;
mod ondisk;
mod open;
mod probe;

use std::sync::Arc;

use hexz_resolve::{
    Claim, Descriptor, DuplicateId, FileKey, Filesystem, FilesystemPlugin, FsInfo, Member,
    OpenContext, Probe, RangeSet, ReadAt, RegistryBuilder, Replayed, Result, Scan, Sink, Window,
};

use fs::Swap;

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
        let opened = Member::only(members).and_then(|volume| open::open(Arc::clone(volume), cx));
        let opened = opened.map_err(|error| error.layer("swap"))?;
        Ok(Box::new(opened))
    }
}

impl Filesystem for Swap {
    fn info(&self) -> &FsInfo {
        &self.info
    }

    fn reader(&self) -> &Arc<dyn ReadAt> {
        &self.reader
    }

    fn replayed(&self) -> &Replayed {
        &self.replayed
    }

    /// There is none, and no file has this number.
    fn root(&self) -> FileKey {
        FileKey::new(0)
    }

    fn claims(&self, wanted: &RangeSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        claims::claims(self, wanted, cx, out)
    }
}

/// Adds swap areas.
///
/// # Errors
/// When a plugin with the id `swap` is there.
pub fn register(registry: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    registry.filesystem(SwapPlugin).map(|_| ())
}
