//! Opening files, and reading them raw.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is where files are opened

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use hexz_resolve::{ByteRange, Error, Limits, RangeSet, ReadAt, ReadError, Result, check_bounds};

use crate::ranges::Ranges;

/// A file or block device, read as it lies. Knows its holes, where the system tells them.
#[derive(Debug)]
pub struct RawFile {
    file: File,
    len: u64,
}

impl RawFile {
    /// Opens what the user named: a file, or a block device (read-only).
    ///
    /// # Errors
    /// `Io`, naming the path, when it can't be opened or is neither.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_checked(path, true)
    }

    /// Opens what an image named and a gate let through: a regular file, nothing else. A pipe
    /// would block us, a device is not ours to touch.
    ///
    /// # Errors
    /// `Io`, naming the path.
    pub fn open_regular(path: &Path) -> Result<Self> {
        Self::open_checked(path, false)
    }

    fn open_checked(path: &Path, devices: bool) -> Result<Self> {
        let failed = |e: io::Error| Error::io("image", e).message(path.display().to_string());
        let refused = |kind: std::fs::FileType| {
            let what = match (kind.is_dir(), devices) {
                (true, _) => "a directory: give the image that lies in it",
                (false, true) => "not a file or block device",
                (false, false) => "not a regular file",
            };
            Error::io("image", what).message(path.display().to_string())
        };
        // Before opening: to open a pipe for reading waits for its writer.
        let allowed = |kind: std::fs::FileType| kind.is_file() || devices && kind.is_block_device();
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        if !allowed(kind) {
            return Err(refused(kind));
        }
        let mut file = File::open(path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        if !allowed(kind) {
            return Err(refused(kind));
        }
        // A block device says length 0 in its metadata.
        let len = file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { file, len })
    }

    /// Bytes of a logical sector of a block device; `None` for a file.
    #[cfg(target_os = "linux")]
    fn device_sector_size(&self) -> Option<u64> {
        rustix::fs::ioctl_blksszget(&self.file).ok().map(u64::from)
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, reason = "the form of the one above")]
    fn device_sector_size(&self) -> Option<u64> {
        None
    }

    /// Where the next data at or after `at` starts, or the next hole: `None` when there is none,
    /// an error when the system can't tell.
    fn seek(&self, whence: rustix::fs::SeekFrom) -> io::Result<Option<u64>> {
        match rustix::fs::seek(&self.file, whence) {
            Ok(found) => Ok(Some(found)),
            Err(rustix::io::Errno::NXIO) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

impl ReadAt for RawFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn sector_size(&self) -> Option<u64> {
        self.device_sector_size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len)?;
        self.file
            .read_exact_at(buf, offset)
            .map_err(|source| ReadError::Io { offset, source })
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        use rustix::fs::SeekFrom::{Data, Hole};
        let Some(range) = range.intersection(&ByteRange::new(0, self.len)) else {
            return RangeSet::new();
        };
        let mut data = Ranges::new(Limits::default().ranges);
        let mut at = range.start();
        while at < range.end() {
            let start = match self.seek(Data(at)) {
                Ok(Some(start)) if start < range.end() => start.max(at),
                Ok(_) => break,
                // Not told: all that is left may be data.
                Err(_) => {
                    data.add(ByteRange::new(at, range.end()));
                    break;
                }
            };
            let end = match self.seek(Hole(start)) {
                Ok(Some(end)) if end > start => end.min(range.end()),
                _ => range.end(),
            };
            data.add(ByteRange::new(start, end));
            at = end;
        }
        data.within(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_told_and_the_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        let file = File::create(&path).unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_all_at(&[7; 4096], 4 << 20).unwrap();
        let raw = RawFile::open(&path).unwrap();
        assert_eq!(raw.len(), 8 << 20);
        let data = raw.data_in(ByteRange::new(0, u64::MAX));
        assert!(data.overlaps(ByteRange::new(4 << 20, (4 << 20) + 4096)));
        assert!(data.bounds().unwrap().end() <= 8 << 20);
        let mut buf = [1; 16];
        raw.read_exact_at(0, &mut buf).unwrap();
        assert_eq!(buf, [0; 16]);
        assert!(raw.read_exact_at((8 << 20) - 8, &mut buf).is_err());
    }

    #[test]
    fn directories_and_pipes_are_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let error = RawFile::open(dir.path()).unwrap_err();
        assert!(error.chain().contains("a directory"));
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        assert!(RawFile::open(&pipe).is_err());
        assert!(RawFile::open_regular(Path::new("/dev/null")).is_err());
        let missing = RawFile::open(&dir.path().join("absent")).unwrap_err();
        assert!(missing.to_string().contains("absent"));
    }
}
