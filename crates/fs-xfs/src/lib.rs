//! XFS: owners of blocks, names of inodes.
//!
//! `docs/formats/xfs.md` says which parts of the format are read, and how.
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
mod btree;
mod chunk;
mod chunks;
mod claims;
mod directory;
mod disk;
mod fields;
mod fork;
mod fs;
mod geometry;
mod group_claims;
mod groups;
mod inode;
mod inode_claims;
mod links;
mod log;
mod names;
mod ondisk;
mod open;
mod probe;
mod rmap;
mod settled;
mod xattr;

use std::sync::Arc;

use hexz_resolve::{
    Descriptor, DuplicateId, Filesystem, FilesystemPlugin, Magic, Member, OpenContext, Probe,
    RegistryBuilder, Result, Window,
};

/// The plugin.
#[derive(Clone, Copy, Debug, Default)]
pub struct XfsPlugin;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "xfs",
    name: "XFS",
    magics: &[Magic::at(0, &ondisk::SB_MAGIC)],
    minimum_size: 1 << 20,
    container: false,
    specification: "https://git.kernel.org/pub/scm/fs/xfs/xfs-documentation.git",
};

impl FilesystemPlugin for XfsPlugin {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        probe::probe(window)
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        match Member::only(members).and_then(|volume| open::open(Arc::clone(volume), cx)) {
            Ok(fs) => Ok(Box::new(fs)),
            Err(error) => Err(error.layer("xfs").view(cx.view)),
        }
    }
}

/// Adds XFS to a registry.
///
/// # Errors
/// When `xfs` is there already.
pub fn register(registry: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    registry.filesystem(XfsPlugin).map(|_| ())
}
