//! Files that lie on no disk: those of an archive of a directory, and of a folder that was written
//! over one. Whoever reads those shows them as a disk with a file table, which this plugin reads
//! (see [`hexz_ondisk::file_table`], which has the format).

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
    Attributes, Claim, Descriptor, Diagnostic, DuplicateId, FileKey, FileSet, Filesystem,
    FilesystemPlugin, FsInfo, FsState, Link, LinkCoverage, Member, OpenContext, Probe, RangeSet,
    ReadAt, RegistryBuilder, Replayed, Result, Scan, Sink, Window,
};

use fs::Files;

/// The plugin for file tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct FilesPlugin;

impl FilesystemPlugin for FilesPlugin {
    fn descriptor(&self) -> &'static Descriptor {
        &probe::DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        probe::probe(window)
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        let volume = Arc::clone(Member::only(members)?);
        let header = probe::header(&*volume).map_err(|error| error.layer("files"))?;
        if header.size > volume.len() {
            let (size, length) = (header.size, volume.len());
            let text = format!("the files take up {size} bytes, the volume has {length}");
            cx.diagnose(Diagnostic::warning("volume-truncated", text).at(length));
        }
        Ok(Box::new(Files {
            info: FsInfo {
                filesystem: "files",
                label: Vec::new(),
                uuid: None,
                // Two of them are compared by their paths.
                identity: Vec::new(),
                block_size: 4096,
                size: header.size,
                state: FsState::Clean,
                transactions_replayed: 0,
                local_times: false,
            },
            header,
            volume,
            replayed: Replayed::default(),
        }))
    }
}

impl Filesystem for Files {
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
        FileKey::new(0)
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

/// Adds file tables.
///
/// # Errors
/// When a plugin with the id `files` is there.
pub fn register(registry: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    registry.filesystem(FilesPlugin).map(|_| ())
}
