//! Whether two paths lead to one file.
#![allow(clippy::disallowed_methods)] // follows links

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Tells whether two paths lead to one file, also by links of both kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    File {
        device: u64,
        inode: u64,
    },
    BlockDevice(u64),
    /// Of a path that leads nowhere.
    Nothing(PathBuf),
}

impl Identity {
    pub(crate) fn of(path: &Path) -> Self {
        match std::fs::metadata(path) {
            Ok(data) if data.file_type().is_block_device() => Self::BlockDevice(data.rdev()),
            Ok(data) => Self::File {
                device: data.dev(),
                inode: data.ino(),
            },
            Err(_) => Self::Nothing(path.to_owned()),
        }
    }
}
