//! FAT12, FAT16 and FAT32.
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
mod claims;
mod entries;
mod fields;
mod fs;
mod links;
mod names;
mod ondisk;
mod open;
mod probe;

use std::sync::Arc;

use hexz_clusters::ROOT;
use hexz_resolve::{
    Attributes, ByteRange, Claim, Class, Descriptor, DuplicateId, FileKey, FileSet, Filesystem,
    FilesystemPlugin, FsInfo, Link, LinkCoverage, Member, OpenContext, Probe, RangeSet, ReadAt,
    Records, RegistryBuilder, Replayed, Result, Scan, Sink, Window,
};

use fs::FatFs;

/// Adds this filesystem to a registry.
///
/// # Errors
/// When a plugin with its id is there already.
pub fn register(builder: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    builder.filesystem(FatPlugin).map(|_| ())
}

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct FatPlugin;

impl FilesystemPlugin for FatPlugin {
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

impl Filesystem for FatFs {
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

    fn records(&self, piece: ByteRange, class: Class, detail: &str) -> Vec<Records> {
        let fat32 = self.boot.kind == ondisk::Kind::Fat32;
        fields::records(piece, class, detail, self.boot.sector, fat32)
    }
}
