//! A disk, wherever its bytes come from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{Diagnostics, ReadAt, Result};
use hexz_source::Given;

use crate::Settings;

/// A disk: an image at a path, or bytes that can be read.
///
/// Paths are those of raw disks, block devices, `.hxz` archives and the images of virtual machines;
/// the first bytes decide, unless the image is said to be [`raw`](Image::raw).
#[derive(Clone)]
pub struct Image(Inner);

#[derive(Clone)]
enum Inner {
    Path(Given),
    Reader {
        name: Option<String>,
        disk: Arc<dyn ReadAt>,
    },
}

impl Image {
    /// The raw disk at `path`, whatever it begins with: the first bytes of a raw disk are its
    /// guest's, who may have written those of a container there.
    #[must_use]
    pub fn raw(path: impl Into<PathBuf>) -> Self {
        Self(Inner::Path(Given {
            path: path.into(),
            raw: true,
        }))
    }

    /// A disk that is read through `disk`.
    #[must_use]
    pub fn reader(disk: impl ReadAt + 'static) -> Self {
        Self::from(Arc::new(disk) as Arc<dyn ReadAt>)
    }

    /// The same disk; the report calls it `name`.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        match self.0 {
            Inner::Reader { disk, .. } => Self(Inner::Reader {
                name: Some(name.into()),
                disk,
            }),
            Inner::Path(_) => self,
        }
    }

    /// What the report calls it.
    pub(crate) fn name(&self) -> Option<String> {
        match &self.0 {
            Inner::Path(given) => Some(given.path.display().to_string()),
            Inner::Reader { name, .. } => name.clone(),
        }
    }

    /// The path, where it is one.
    pub(crate) fn given(&self) -> Option<&Given> {
        match &self.0 {
            Inner::Path(given) => Some(given),
            Inner::Reader { .. } => None,
        }
    }

    /// Opens it; what is odd goes to `findings`.
    pub(crate) fn open(
        &self,
        settings: &Settings,
        findings: &Diagnostics,
    ) -> Result<Arc<dyn ReadAt>> {
        match &self.0 {
            Inner::Path(given) => given.open(&settings.limits, &*settings.gate, findings),
            Inner::Reader { disk, .. } => Ok(Arc::clone(disk)),
        }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Path(given) => f.debug_tuple("Image").field(given).finish(),
            Inner::Reader { name, disk } => f
                .debug_struct("Image")
                .field("name", name)
                .field("size", &disk.len())
                .finish_non_exhaustive(),
        }
    }
}

impl From<Arc<dyn ReadAt>> for Image {
    fn from(disk: Arc<dyn ReadAt>) -> Self {
        Self(Inner::Reader { name: None, disk })
    }
}

impl From<PathBuf> for Image {
    fn from(path: PathBuf) -> Self {
        Self(Inner::Path(Given::from(path)))
    }
}

impl From<&PathBuf> for Image {
    fn from(path: &PathBuf) -> Self {
        Self::from(path.clone())
    }
}

impl From<&Path> for Image {
    fn from(path: &Path) -> Self {
        Self::from(path.to_owned())
    }
}

impl From<&str> for Image {
    fn from(path: &str) -> Self {
        Self::from(PathBuf::from(path))
    }
}

impl From<String> for Image {
    fn from(path: String) -> Self {
        Self::from(PathBuf::from(path))
    }
}
