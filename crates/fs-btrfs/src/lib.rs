//! btrfs: owners of blocks, names of inodes.
//!
//! Changed blocks are looked up in the extent tree, and their owners found through the back
//! references there; inodes name the directories that name them. So what is read follows what
//! changed, and nothing is swept.

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
mod backrefs;
mod btrfs;
mod checksum;
mod chunks;
mod claimed;
mod claims;
mod content;
mod decompress;
mod devices;
mod extents;
mod fields;
mod links;
mod logged;
mod logs;
mod lzo;
mod metadata;
mod node;
mod ondisk;
mod open;
mod overlay;
mod probe;
mod refs;
mod replay;
mod roots;
mod seeds;
mod stash;
mod superblock;
mod sweep;
mod tree;
mod unchanged;

use std::any::Any;
use std::sync::Arc;

use hexz_resolve::{
    Attributes, ByteRange, Claim, Class, Descriptor, DuplicateId, FileKey, FileSet, Filesystem,
    FilesystemPlugin, FsInfo, Link, LinkCoverage, Member, OpenContext, Probe, RangeSet, RawName,
    ReadAt, Records, RegistryBuilder, Replayed, Result, Scan, Sink, Window,
};

use crate::btrfs::Btrfs;
use crate::ondisk::objectid;

/// The plugin for btrfs.
#[derive(Clone, Copy, Debug, Default)]
pub struct BtrfsPlugin;

impl FilesystemPlugin for BtrfsPlugin {
    fn descriptor(&self) -> &'static Descriptor {
        &probe::DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        probe::probe(window)
    }

    fn further(&self, members: &[Member]) -> Vec<(Vec<u8>, u64)> {
        seeds::named(members).unwrap_or_default()
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<Box<dyn Filesystem>> {
        let opened = open::open(members, cx).map_err(|error| error.layer("btrfs"))?;
        Ok(Box::new(Opened(Arc::new(opened))))
    }
}

/// An open filesystem, which the contents of its files share.
struct Opened(Arc<Btrfs>);

impl Filesystem for Opened {
    fn info(&self) -> &FsInfo {
        &self.0.info
    }

    fn reader(&self) -> &Arc<dyn ReadAt> {
        &self.0.volume
    }

    fn replayed(&self) -> &Replayed {
        &self.0.replayed
    }

    fn root(&self) -> FileKey {
        Btrfs::root_of(objectid::FS_TREE)
    }

    fn claims(&self, wanted: &RangeSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        claims::claims(&self.0, wanted, cx, out)
    }

    fn links(
        &self,
        wanted: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        links::links(&self.0, wanted, cx, out)
    }

    fn attributes(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        attributes::attributes(&self.0, files, cx, out)
    }

    fn entries(
        &self,
        directories: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        links::entries(&self.0, directories, cx, out)
    }

    fn extents(&self, files: &FileSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        extents::extents(&self.0, files, cx, out)
    }

    fn content(
        &self,
        file: FileKey,
        stream: Option<&RawName>,
        cx: &Scan<'_>,
    ) -> Result<Arc<dyn ReadAt>> {
        content::content(&self.0, file, stream, cx)
    }

    fn unchanged(
        &self,
        other: &dyn Filesystem,
        files: &FileSet,
        dirty: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<FileKey>,
    ) -> Result<()> {
        let other = other.as_any().and_then(|other| other.downcast_ref());
        other.map_or(Ok(()), |Self(then)| {
            unchanged::unchanged([then, &self.0], files, dirty, cx, out)
        })
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn records(&self, piece: ByteRange, class: Class, _: &str) -> Vec<Records> {
        fields::records(piece, class)
    }
}

/// Adds btrfs.
///
/// # Errors
/// When a plugin with the id `btrfs` is there.
pub fn register(registry: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    registry.filesystem(BtrfsPlugin).map(|_| ())
}
