//! exFAT.
//!
//! There are no inodes: a file is known by the place of its directory entry, and is the same file
//! in another view when it has the same first cluster and was made at the same time.
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
mod bitmap;
mod claims;
mod entries;
mod fields;
mod fs;
mod links;
mod ondisk;
mod open;
mod probe;
mod system;

use std::sync::Arc;

use hexz_clusters::ROOT;
use hexz_resolve::{
    Attributes, ByteRange, Claim, Class, Descriptor, DuplicateId, FileKey, FileSet, Filesystem,
    FilesystemPlugin, FsInfo, Link, LinkCoverage, Member, OpenContext, Probe, RangeSet, ReadAt,
    Records, RegistryBuilder, Replayed, Result, Scan, Sink, Window,
};

use fs::ExfatFs;

/// Adds this filesystem to a registry.
///
/// # Errors
/// When a plugin with its id is there already.
pub fn register(builder: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    builder.filesystem(ExfatPlugin).map(|_| ())
}

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct ExfatPlugin;

impl FilesystemPlugin for ExfatPlugin {
    fn descriptor(&self) -> &'static Descriptor {
        &probe::DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        probe::probe(window)
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        Ok(Box::new(open::open(members, cx)?))
    }
}

impl Filesystem for ExfatFs {
    fn info(&self) -> &FsInfo {
        &self.info
    }

    fn reader(&self) -> &Arc<dyn ReadAt> {
        &self.volume.reader
    }

    fn replayed(&self) -> &Replayed {
        &self.replayed
    }

    fn root(&self) -> FileKey {
        FileKey::new(ROOT)
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

    fn records(&self, _: ByteRange, class: Class, detail: &str) -> Vec<Records> {
        let region = self.boot.sector.saturating_mul(ondisk::REGION);
        fields::records(class, detail, region)
    }
}
