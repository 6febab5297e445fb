//! The target folder. Each call is about one name in one open directory, and follows no link, so
//! nothing outside of it can be reached whatever an image names.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RawMode};
use rustix::io::Errno;

use crate::name::Name;

/// An open directory below which files are written.
#[derive(Debug)]
pub struct Folder(OwnedFd);

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::CLOEXEC)
    .union(OFlags::RDONLY);

/// Bytes of a path that one call takes: `PATH_MAX` is 4096.
const LONGEST: usize = 4000;

impl Folder {
    /// Opens the folder that the user named, and makes it when it is not there.
    ///
    /// # Errors
    /// When it can't be made or opened.
    pub fn create(path: &Path) -> Result<Self, Errno> {
        match rustix::fs::mkdir(path, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        rustix::fs::open(path, DIRECTORY, Mode::empty()).map(Self)
    }

    /// Whether nothing is in it.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn is_empty(&self) -> Result<bool, Errno> {
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let name = entry?;
            let name = name.file_name().to_bytes();
            if name != b"." && name != b".." {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens a directory in it.
    ///
    /// # Errors
    /// When there is none; a link to one is none.
    pub fn open(&self, name: &Name) -> Result<Self, Errno> {
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.0, name.as_os(), flags, Mode::empty()).map(Self)
    }

    /// Opens the directory at `path` below it. No name on the way may be a link.
    ///
    /// # Errors
    /// When there is none.
    pub fn descend(&self, path: &[Name]) -> Result<Self, Errno> {
        let mut here = Self(self.0.try_clone().map_err(|_| Errno::MFILE)?);
        let mut rest = path;
        while !rest.is_empty() {
            let mut together = Vec::new();
            let mut count = 0_usize;
            for name in rest {
                let length = together.len().saturating_add(name.as_bytes().len());
                if count > 0 && length >= LONGEST {
                    break;
                }
                together.extend_from_slice(name.as_bytes());
                together.push(b'/');
                count = count.saturating_add(1);
            }
            let (now, later) = rest.split_at(count);
            here = here.several(&together, now)?;
            rest = later;
        }
        Ok(here)
    }

    /// Opens some directories within each other: in one call where the system can refuse links.
    #[cfg(target_os = "linux")]
    fn several(&self, together: &[u8], names: &[Name]) -> Result<Self, Errno> {
        use rustix::fs::ResolveFlags;
        let safe = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.0, together, DIRECTORY, Mode::empty(), safe) {
            // Before Linux 5.6, or where a sandbox forbids the call.
            Err(Errno::NOSYS | Errno::PERM) => self.each(names),
            opened => opened.map(Self),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn several(&self, _: &[u8], names: &[Name]) -> Result<Self, Errno> {
        self.each(names)
    }

    fn each(&self, names: &[Name]) -> Result<Self, Errno> {
        let mut here = Self(self.0.try_clone().map_err(|_| Errno::MFILE)?);
        for name in names {
            here = here.open(name)?;
        }
        Ok(here)
    }

    /// Makes a directory in it that its owner may write to.
    pub(crate) fn make_directory(&self, name: &Name) -> Result<(), Errno> {
        rustix::fs::mkdirat(&self.0, name.as_os(), Mode::from_raw_mode(0o777))
    }

    /// Makes a file in it, open for writing. Nothing may stand there.
    ///
    /// # Errors
    /// When something does, or it can't be made.
    pub fn make_file(&self, name: &Name, mode: u32) -> Result<OwnedFd, Errno> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0, name.as_os(), flags, raw(mode))
    }

    /// Writes a file in it; with `force` in the place of one that is there.
    ///
    /// # Errors
    /// When something stands there, or it can't be written.
    pub fn write(&self, name: &Name, bytes: &[u8], force: bool) -> Result<(), Errno> {
        if force && self.has(name) {
            self.remove(name)?;
        }
        let file = self.make_file(name, 0o666)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let wrote = rustix::io::write(&file, rest)?;
            rest = rest.get(wrote..).unwrap_or_default();
        }
        Ok(())
    }

    /// Makes a symlink. Where it leads is not looked at.
    pub(crate) fn make_link(&self, name: &Name, target: &[u8]) -> Result<(), Errno> {
        rustix::fs::symlinkat(target, &self.0, name.as_os())
    }

    /// Gives the file `of` in `from` one more name.
    pub(crate) fn make_name(&self, name: &Name, from: &Self, of: &Name) -> Result<(), Errno> {
        let flags = AtFlags::empty();
        rustix::fs::linkat(&from.0, of.as_os(), &self.0, name.as_os(), flags)
    }

    /// Makes a device, a fifo or a socket.
    pub(crate) fn make_node(
        &self,
        name: &Name,
        kind: rustix::fs::FileType,
        mode: u32,
        device: u64,
    ) -> Result<(), Errno> {
        rustix::fs::mknodat(&self.0, name.as_os(), kind, raw(mode), device)
    }

    /// Takes away what is no directory.
    pub(crate) fn remove(&self, name: &Name) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.0, name.as_os(), AtFlags::empty())
    }

    /// Whether anything stands at `name`.
    pub(crate) fn has(&self, name: &Name) -> bool {
        rustix::fs::statat(&self.0, name.as_os(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.0
    }

    /// Whether two names that differ in case only are one here.
    ///
    /// # Errors
    /// When nothing can be written to it.
    pub(crate) fn folds_case(&self) -> Result<bool, Errno> {
        let probe = |name: &str| Name::new(name.as_bytes()).map_err(|_| Errno::INVAL);
        let (made, other) = (probe(".hexz-case")?, probe(".HEXZ-CASE")?);
        if self.has(&made) {
            return Ok(self.has(&other));
        }
        drop(self.make_file(&made, 0o600)?);
        let folds = self.has(&other);
        self.remove(&made)?;
        Ok(folds)
    }
}

pub(crate) fn raw(mode: u32) -> Mode {
    Mode::from_raw_mode(RawMode::from(mode & 0o7777))
}
