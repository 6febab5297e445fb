//! Which files an image may make us open.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // looks at the file system

use std::path::{Path, PathBuf};

use hexz_resolve::{Error, OpenGate, Result};

/// The careful gate: a file that an image names may be opened only where it lies beside the
/// image or below that folder, or in a folder that the user allowed, with all links followed. A
/// recorded path that leads nowhere, or elsewhere, is tried again by its file name alone.
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
        let named = by.parent().map(|folder| {
            if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            }
        });
        let real = by.canonicalize().ok();
        let real = real.as_deref().and_then(Path::parent);
        let mut folders: Vec<PathBuf> = Vec::new();
        let all = named
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
        let mut refused = None;
        let by_name = named.file_name().map(Path::new);
        // `join` takes an absolute path as it is.
        for candidate in [Some(named), by_name].into_iter().flatten() {
            for path in folders.iter().map(|folder| folder.join(candidate)) {
                match path.canonicalize() {
                    Ok(real) if within(&real) => return Ok(real),
                    Ok(real) => {
                        refused.get_or_insert(real);
                    }
                    Err(_) => {}
                }
            }
        }
        let problem = match refused {
            Some(real) if real == named => format!(
                "{} names {}, which lies outside its folder and was not allowed",
                by.display(),
                named.display()
            ),
            Some(real) => format!(
                "{} names {}, which leads to {} outside its folder and was not allowed",
                by.display(),
                named.display(),
                real.display()
            ),
            None => format!(
                "{} needs {}, which is neither there nor beside it",
                by.display(),
                named.display()
            ),
        };
        Err(Error::new(hexz_resolve::ErrorKind::Io, "parent image").message(problem))
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
        let gate = gate.allow_folder(&other);
        assert_eq!(allow(&gate, "link").unwrap(), other.join("away"));
        assert_eq!(allow(&gate, "/gone/away").unwrap(), other.join("away"));
        assert!(allow(&gate, "/etc/passwd").is_err());
    }
}
