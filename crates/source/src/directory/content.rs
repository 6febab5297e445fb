//! Where the bytes of a file of a directory are.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // opens files of a folder

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use hexz_resolve::{ByteRange, Error, RangeSet, ReadError, Result};

use crate::hxz::{Archive, differing};
use crate::layer::{Layer as _, Place};
use crate::num::{u64_of, usize_of};

/// Bytes that are compared at a time.
const WINDOW: u64 = 1 << 20;

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// From a byte of a stream of an archive on, and how many.
    Archive(Arc<Archive>, ByteRange),
    /// A file of a folder.
    Folder(Arc<InFolder>),
    /// Here: the target of a symbolic link.
    Here(Arc<[u8]>),
}

impl Content {
    pub(super) fn of_archive(archive: &Arc<Archive>, offset: u64, size: u64) -> Self {
        let place = ByteRange::at(offset, size).unwrap_or_default();
        Self::Archive(Arc::clone(archive), place)
    }

    /// Fills `out` from byte `at` of the content on.
    pub(super) fn read(&self, at: u64, out: &mut [u8]) -> Result<()> {
        match self {
            Self::Archive(archive, place) => {
                archive.read_range(place.start().saturating_add(at), out)
            }
            Self::Folder(file) => file.read(at, out).map_err(|source| {
                let error = ReadError::Io { offset: at, source };
                Error::io("file", error).message(file.path.display().to_string())
            }),
            Self::Here(bytes) => {
                let from = usize_of(at);
                let end = from.saturating_add(out.len());
                let bytes = bytes.get(from..end);
                let bytes = bytes.ok_or_else(|| Error::corrupt("symbolic link").at(at))?;
                out.copy_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Hands `visit` the pieces of `range` of the content, and whether each is known to be zeros.
    pub(super) fn pieces(
        &self,
        range: ByteRange,
        visit: &mut dyn FnMut(ByteRange, bool) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Self::Archive(archive, place) = self else {
            return visit(range, false);
        };
        let Some(there) = range.moved_up(place.start()) else {
            return visit(range, false);
        };
        archive.pieces(there, &mut |piece, of| {
            let zeros = matches!(of, Place::Zero);
            visit(piece.moved_down(place.start()).unwrap_or_default(), zeros)
        })
    }

    /// The parts of the first `size` bytes that may differ, told without reading them: where both
    /// are in archives, by the hashes of their blocks.
    pub(super) fn candidates(&self, other: &Self, size: u64) -> Result<RangeSet> {
        if size == 0 || self.is_same(other) {
            return Ok(RangeSet::new());
        }
        if let (Self::Archive(a, at), Self::Archive(b, there)) = (self, other) {
            return differing((a, at.start()), (b, there.start()), size);
        }
        Ok(ByteRange::new(0, size).into())
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Archive(a, at), Self::Archive(b, there)) => Arc::ptr_eq(a, b) && at == there,
            (Self::Folder(a), Self::Folder(b)) => Arc::ptr_eq(a, b),
            (Self::Here(a), Self::Here(b)) => a == b,
            _ => false,
        }
    }

    /// Whether both have the same bytes, of which there are `size`. What can't be read is not
    /// known to be equal.
    pub(super) fn equals(&self, other: &Self, size: u64) -> bool {
        let mut at = 0u64;
        while at < size {
            let length = usize_of(size.saturating_sub(at).min(WINDOW));
            let (mut a, mut b) = (vec![0; length], vec![0; length]);
            let read = self.read(at, &mut a).is_ok() && other.read(at, &mut b).is_ok();
            if !read || a != b {
                return false;
            }
            at = at.saturating_add(u64_of(length));
        }
        true
    }
}

/// A file of a folder. It is opened when it is read: a folder may have more files than may be open
/// at a time.
#[derive(Debug)]
pub(super) struct InFolder {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl InFolder {
    pub(super) fn new(path: PathBuf, data: &Metadata) -> Self {
        Self {
            path,
            device: data.dev(),
            inode: data.ino(),
        }
    }

    fn open(&self) -> io::Result<File> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&self.path)?;
        let data = file.metadata()?;
        if !data.is_file() || (data.dev(), data.ino()) != (self.device, self.inode) {
            return Err(io::Error::other("another file took its place meanwhile"));
        }
        Ok(file)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.open()?.read_exact_at(out, at)
    }
}
