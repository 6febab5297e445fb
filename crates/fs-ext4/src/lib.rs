//! ext2, ext3 and ext4: owners of blocks, names of inodes.
//!
//! The inode tables are swept once for the owners of blocks, the directories once for names. The
//! journal is replayed in memory when a mount would replay it.

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
mod checksum;
mod claims;
mod content;
mod descriptors;
mod directory;
mod dirhash;
mod fields;
mod free;
mod fs;
mod geometry;
mod journal;
mod known;
mod links;
mod map;
mod names;
mod nokey;
mod ondisk;
mod open;
mod orphans;
mod probe;
mod reserved;
mod resize;
mod shape;
mod slack;
mod slices;
mod xattr;

use std::sync::Arc;

use hexz_resolve::{
    Descriptor, DuplicateId, Filesystem, FilesystemPlugin, Member, OpenContext, Probe,
    RegistryBuilder, Result, Window,
};

/// The plugin for ext2, ext3 and ext4.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ext4Plugin;

impl FilesystemPlugin for Ext4Plugin {
    fn descriptor(&self) -> &'static Descriptor {
        &probe::DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        probe::probe(window)
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        let opened = Member::only(members).and_then(|volume| open::open(Arc::clone(volume), cx));
        let opened = opened.map_err(|error| error.layer("ext4"))?;
        Ok(Box::new(opened))
    }
}

/// Adds ext2, ext3 and ext4.
///
/// # Errors
/// When a plugin with the id `ext4` is there.
pub fn register(registry: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    registry.filesystem(Ext4Plugin).map(|_| ())
}
