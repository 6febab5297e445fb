//! Formats that other crates read for us, each behind a feature. They read through a cursor, one
//! thread at a time; should they panic on a damaged image, that is an error of the image.

use std::path::Path;
use std::sync::Arc;

use hexz_resolve::{ReadAt, Result};

use crate::chain::Chain;
use crate::image::{Format, not_built};

/// Opens the image at `path`.
pub(crate) fn open(format: Format, path: &Path, chain: &Chain<'_>) -> Result<Arc<dyn ReadAt>> {
    match format {
        #[cfg(feature = "vmdk")]
        Format::Vmdk => vmdk::open(path, chain),
        #[cfg(feature = "vhdx")]
        Format::Vhdx => vhdx::open(path),
        _ => {
            let _ = chain;
            Err(not_built(format, path))
        }
    }
}

#[cfg(feature = "vmdk")]
mod vmdk {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use ::vmdk::{VmdkFileReader, VmdkReader};
    use hexz_resolve::{Error, ReadAt, Result};

    use super::shared::{Cursor, Foreign, caught};
    use crate::chain::{Chain, canonical};
    use crate::file::RawFile;

    /// The parent of an image that has none.
    const NO_PARENT: u32 = u32::MAX;
    /// Longest descriptor; they are a page of text.
    const MAX_DESCRIPTOR: u64 = 1 << 20;

    pub(super) fn open(path: &Path, chain: &Chain<'_>) -> Result<Arc<dyn ReadAt>> {
        let name = path.display().to_string();
        let wrong = |e: String| Error::corrupt("vmdk image").message(format!("{name}: {e}"));
        let file = RawFile::open(path)?;
        let text = hexz_ondisk::read(&file, "vmdk image", 0, 1)? == b"#";
        if !text {
            let opened = caught(|| VmdkReader::open(Cursor::new(file)).map_err(|e| e.to_string()));
            let reader = opened.map_err(wrong)?;
            check_parent(reader.parent_cid(), &name)?;
            let size = reader.virtual_disk_size();
            return Ok(Arc::new(Foreign::new(reader, size, name)));
        }
        if file.len() > MAX_DESCRIPTOR {
            return Err(wrong(format!("a descriptor of {} bytes", file.len())));
        }
        // The crate opens the files that the descriptor names: only where they may be.
        let named: Vec<PathBuf> =
            caught(|| VmdkFileReader::extent_dependencies(path).map_err(|e| e.to_string()))
                .map_err(wrong)?;
        for extent in named {
            let real = chain.gate.allow(&extent, path)?;
            if real != canonical(&extent) {
                return Err(wrong(format!("extent {} is not there", extent.display())));
            }
            RawFile::open_regular(&real)?;
        }
        let opened = caught(|| VmdkFileReader::open_path(path).map_err(|e| e.to_string()));
        let reader = opened.map_err(wrong)?;
        check_parent(reader.parent_cid(), &name)?;
        let size = reader.virtual_disk_size();
        Ok(Arc::new(Foreign::new(reader, size, name)))
    }

    fn check_parent(parent_cid: u32, name: &str) -> Result<()> {
        if parent_cid == NO_PARENT {
            return Ok(());
        }
        // The crate would read zeros for what the parent holds.
        let message = format!("{name} is the child of another image: convert it with qemu-img");
        Err(Error::unsupported("vmdk image", message))
    }
}

#[cfg(feature = "vhdx")]
mod vhdx {
    use std::path::Path;
    use std::sync::Arc;

    use ::vhdx::VhdxReader;
    use hexz_resolve::{Error, ReadAt, Result};

    use super::shared::{Cursor, Foreign, caught};
    use crate::file::RawFile;

    pub(super) fn open(path: &Path) -> Result<Arc<dyn ReadAt>> {
        let name = path.display().to_string();
        let cursor = Cursor::new(RawFile::open(path)?);
        // Refuses images with a parent.
        let opened = || VhdxReader::open_reader(Box::new(cursor)).map_err(|e| e.to_string());
        let reader = caught(opened)
            .map_err(|e| Error::corrupt("vhdx image").message(format!("{name}: {e}")))?;
        let size = reader.virtual_disk_size();
        Ok(Arc::new(Foreign::new(reader, size, name)))
    }
}

#[cfg(any(feature = "vmdk", feature = "vhdx"))]
mod shared {
    use std::io::{self, Read, Seek, SeekFrom};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Mutex, PoisonError};

    use hexz_resolve::{ReadAt, ReadError, check_bounds};

    use crate::file::RawFile;
    use crate::num::{u64_of, usize_of};

    /// Runs foreign code: a panic becomes an error.
    pub(super) fn caught<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err("the parser gave up on it".to_owned()))
    }

    /// A file with a position.
    pub(super) struct Cursor {
        file: RawFile,
        at: u64,
    }

    impl Cursor {
        pub(super) fn new(file: RawFile) -> Self {
            Self { file, at: 0 }
        }
    }

    impl Read for Cursor {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let left = usize_of(self.file.len().saturating_sub(self.at));
            let length = left.min(buf.len());
            let Some(buf) = buf.get_mut(..length) else {
                return Ok(0);
            };
            self.file
                .read_exact_at(self.at, buf)
                .map_err(io::Error::other)?;
            self.at = self.at.saturating_add(u64_of(length));
            Ok(length)
        }
    }

    impl Seek for Cursor {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            let target = match to {
                SeekFrom::Start(at) => Some(at),
                SeekFrom::End(by) => self.file.len().checked_add_signed(by),
                SeekFrom::Current(by) => self.at.checked_add_signed(by),
            };
            self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
            Ok(self.at)
        }
    }

    /// An image that another crate reads.
    pub(super) struct Foreign<R> {
        reader: Mutex<R>,
        size: u64,
        name: String,
    }

    impl<R> Foreign<R> {
        pub(super) fn new(reader: R, size: u64, name: String) -> Self {
            let reader = Mutex::new(reader);
            Self { reader, size, name }
        }
    }

    impl<R: Read + Seek + Send> ReadAt for Foreign<R> {
        fn len(&self) -> u64 {
            self.size
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            check_bounds(offset, buf.len(), self.size)?;
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            caught(|| {
                let seeked = reader.seek(SeekFrom::Start(offset));
                let read = seeked.and_then(|_| reader.read_exact(buf));
                read.map_err(|e| e.to_string())
            })
            .map_err(|reason| ReadError::Damaged {
                offset,
                reason: format!("{}: {reason}", self.name),
            })
        }
    }
}
