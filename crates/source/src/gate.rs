//! Which files an image may make us open.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // looks at the file system

use std::io;
use std::path::{Path, PathBuf};

use hexz_resolve::{Error, ErrorKind, OpenGate, Result};

use crate::identity::Identity;

/// The careful gate: a file that an image names may be opened only where it lies beside the
/// image or below that folder, or in a folder that the user allowed, with all links followed. A
/// recorded path that leads nowhere is tried again by its file name alone, but for the image
/// itself; one that leads elsewhere is refused, since another file of its name is not what it is.
///
/// An image is someone else's data: without this, a backing file of `/etc/shadow` would be read.
#[derive(Clone, Debug, Default)]
pub struct DefaultGate {
    allowed: Vec<PathBuf>,
}

impl DefaultGate {
    /// Allows the image's own folder and what is below it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows `folder` and what is below it as well.
    #[must_use]
    pub fn allow_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.allowed.push(folder.into());
        self
    }

    /// The folders whose files may be opened for an image at `by`, links followed: the one it
    /// was named in, the one it really lies in, and those that were allowed.
    fn folders(&self, by: &Path) -> Vec<PathBuf> {
        let real = by.canonicalize().ok();
        let real = real.as_deref().and_then(Path::parent);
        let mut folders: Vec<PathBuf> = Vec::new();
        let all = [folder_of(by)]
            .into_iter()
            .chain(real)
            .chain(self.allowed.iter().map(PathBuf::as_path));
        for folder in all.filter_map(|folder| folder.canonicalize().ok()) {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        folders
    }
}

impl OpenGate for DefaultGate {
    fn allow(&self, named: &Path, by: &Path) -> Result<PathBuf> {
        let folders = self.folders(by);
        let within = |path: &Path| folders.iter().any(|folder| path.starts_with(folder));
        // `join` takes an absolute path as it is.
        for path in folders.iter().map(|folder| folder.join(named)) {
            match path.canonicalize() {
                Ok(real) if within(&real) => return Ok(real),
                Ok(real) => return Err(elsewhere(named, by, &real)),
                Err(e) if is_nowhere(&e) => {}
                Err(e) => return Err(refused(named, by, &format!("which can't be followed: {e}"))),
            }
        }
        let image = Identity::of(by);
        let by_name = named.file_name().into_iter();
        let by_name = by_name.flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        let there = by_name.filter_map(|path| path.canonicalize().ok());
        let mut there = there.filter(|path| Identity::of(path) != image);
        match there.next() {
            Some(real) if within(&real) => Ok(real),
            Some(real) => Err(elsewhere(named, by, &real)),
            None => Err(refused(named, by, "which is neither there nor beside it")),
        }
    }
}

fn refused(named: &Path, by: &Path, why: &str) -> Error {
    let text = format!("{} names {}, {why}", by.display(), named.display());
    Error::new(ErrorKind::Io, "parent image").message(text)
}

fn elsewhere(named: &Path, by: &Path, real: &Path) -> Error {
    let place = if real == named {
        "which lies".to_owned()
    } else {
        format!("which leads to {}", real.display())
    };
    let hint = "give --base IMAGE, or allow its folder with --allow-backing DIR";
    let why = format!("{place} outside its folder and was not allowed: {hint}");
    refused(named, by, &why)
}

/// Whether there is no such file, as against one that can't be looked at.
fn is_nowhere(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename)
}

/// The folder in which an image was named.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir, write};
    use std::os::unix::fs::symlink;

    #[test]
    fn only_beside_below_or_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (inside, other) = (root.join("in"), root.join("other"));
        create_dir(&inside).unwrap();
        create_dir(inside.join("sub")).unwrap();
        create_dir(&other).unwrap();
        for file in ["in/child", "in/beside", "in/sub/below", "other/away"] {
            write(root.join(file), "x").unwrap();
        }
        symlink(other.join("away"), inside.join("link")).unwrap();
        let child = inside.join("child");
        let gate = DefaultGate::new();
        let allow = |gate: &DefaultGate, named: &str| gate.allow(Path::new(named), &child);

        assert_eq!(allow(&gate, "beside").unwrap(), inside.join("beside"));
        assert_eq!(allow(&gate, "sub/below").unwrap(), inside.join("sub/below"));
        let full = inside.join("sub/below");
        assert_eq!(allow(&gate, full.to_str().unwrap()).unwrap(), full);
        // A path from another machine: its file name beside the child.
        assert_eq!(
            allow(&gate, "/no/such/beside").unwrap(),
            inside.join("beside")
        );

        let error = allow(&gate, "/no/such/parent.hxz").unwrap_err();
        assert!(error.to_string().contains("/no/such/parent.hxz"));
        for named in ["../other/away", "link", "/etc/passwd", "..", "/"] {
            assert!(allow(&gate, named).is_err(), "{named}");
        }
        // What is named is there: no other file of its name takes its place, nor does the image.
        let away = other.join("away");
        write(inside.join("away"), "another").unwrap();
        let error = allow(&gate, away.to_str().unwrap()).unwrap_err();
        assert!(error.to_string().contains("--allow-backing"), "{error}");
        std::fs::remove_file(inside.join("away")).unwrap();
        assert!(allow(&gate, "/no/such/child").is_err());
        let gate = gate.allow_folder(&other);
        assert_eq!(allow(&gate, "link").unwrap(), other.join("away"));
        assert_eq!(allow(&gate, "/gone/away").unwrap(), other.join("away"));
        assert!(allow(&gate, "/etc/passwd").is_err());
    }
}
