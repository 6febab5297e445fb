//! NTFS: owners of clusters, names of file records.
//!
//! `docs/formats/ntfs.md` says which parts of the format are read, and how.
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
mod bytes;
mod claims;
mod content;
mod fields;
mod file;
mod free;
mod fs;
mod index;
mod links;
mod lznt1;
mod mft;
mod ondisk;
mod open;
mod pieces;
mod probe;
mod record;
mod reparse;
mod runs;
mod state;
mod streams;
mod sweep;
mod system;

use std::sync::Arc;

use hexz_resolve::{
    Descriptor, DuplicateId, Filesystem, FilesystemPlugin, Magic, Member, OpenContext, Probe,
    RegistryBuilder, Result, Window,
};

/// The plugin.
#[derive(Clone, Copy, Debug, Default)]
pub struct NtfsPlugin;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "ntfs",
    name: "NTFS",
    magics: &[
        Magic::at(3, ondisk::OEM_NTFS),
        // The copy at the end, for sectors of 512 and of 4096 bytes.
        Magic::before_end(512 - 3, ondisk::OEM_NTFS),
        Magic::before_end(4096 - 3, ondisk::OEM_NTFS),
        Magic::at(3, ondisk::OEM_BITLOCKER),
        Magic::at(ondisk::TO_GO_OFFSET, ondisk::TO_GO_GUID),
    ],
    minimum_size: 64 << 10,
    container: false,
    specification: "https://learn.microsoft.com/windows/win32/devnotes/master-file-table",
};

impl FilesystemPlugin for NtfsPlugin {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        probe::probe(window)
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        match Member::only(members).and_then(|volume| open::open(Arc::clone(volume), cx)) {
            Ok(fs) => Ok(Box::new(fs)),
            Err(error) => Err(error.layer("ntfs").view(cx.view)),
        }
    }
}

/// Adds NTFS to a registry.
///
/// # Errors
/// When `ntfs` is there already.
pub fn register(registry: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    registry.filesystem(NtfsPlugin).map(|_| ())
}
