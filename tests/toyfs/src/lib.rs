//! A toy filesystem, written as any filesystem from another crate would be.
//!
//! `docs/adding-a-filesystem.md` builds it step by step, and has the format.
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
mod links;
mod ondisk;
mod probe;

use std::sync::Arc;

use hexz_resolve::{
    Attributes, Claim, Descriptor, Diagnostic, DuplicateId, FileKey, FileSet, Filesystem,
    FilesystemPlugin, FsInfo, FsState, Link, LinkCoverage, Member, OpenContext, Probe, RangeSet,
    ReadAt, RegistryBuilder, Replayed, Result, Scan, Sink, Window,
};

use ondisk::Superblock;

/// Adds this filesystem to a registry.
///
/// # Errors
/// When a plugin with its id is there already.
pub fn register(builder: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    builder.filesystem(ToyFs).map(|_| ())
}

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct ToyFs;

impl FilesystemPlugin for ToyFs {
    fn descriptor(&self) -> &'static Descriptor {
        &probe::DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        probe::probe(window)
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        let volume = Arc::clone(Member::only(members)?);
        let superblock = Superblock::read(&volume)?;
        if superblock.size() > volume.len() {
            let (size, length) = (superblock.size(), volume.len());
            let text = format!("the filesystem has {size} bytes, the volume {length}");
            cx.diagnose(Diagnostic::warning("toyfs-volume-short", text));
        }
        Ok(Box::new(Toy {
            info: FsInfo {
                filesystem: "toyfs",
                label: superblock.label.clone(),
                uuid: None,
                identity: superblock.made.to_le_bytes().to_vec(),
                block_size: ondisk::BLOCK,
                size: superblock.size(),
                state: FsState::Clean,
                transactions_replayed: 0,
                local_times: false,
            },
            superblock,
            volume,
            replayed: Replayed::default(),
        }))
    }
}

/// An open filesystem.
struct Toy {
    info: FsInfo,
    superblock: Superblock,
    volume: Arc<dyn ReadAt>,
    replayed: Replayed,
}

impl Filesystem for Toy {
    fn info(&self) -> &FsInfo {
        &self.info
    }

    fn reader(&self) -> &Arc<dyn ReadAt> {
        &self.volume
    }

    fn replayed(&self) -> &Replayed {
        &self.replayed
    }

    fn root(&self) -> FileKey {
        FileKey::new(ondisk::ROOT)
    }

    fn claims(&self, wanted: &RangeSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        claims::claims(self, wanted, cx, out)
    }

    fn links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        links::links(self, wanted, cx, out)
    }

    fn attributes(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        attributes::attributes(self, files, cx, out)
    }

    fn entries(
        &self,
        directories: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        links::entries(self, directories, cx, out)
    }

    fn extents(&self, files: &FileSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        claims::extents(self, files, cx, out)
    }
}
