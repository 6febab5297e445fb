//! Images that stand on images: how deep, and never on themselves.
#![allow(clippy::disallowed_methods)] // follows links

use std::path::{Path, PathBuf};

use hexz_resolve::{Diagnostics, Error, Limits, OpenGate, Result};

/// What is known of the images that are being opened, from the one the user named down.
pub(crate) struct Chain<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) gate: &'a dyn OpenGate,
    pub(crate) diagnostics: &'a Diagnostics,
    path: Vec<PathBuf>,
}

impl<'a> Chain<'a> {
    pub(crate) fn new(
        limits: &'a Limits,
        gate: &'a dyn OpenGate,
        diagnostics: &'a Diagnostics,
    ) -> Self {
        Self {
            limits,
            gate,
            diagnostics,
            path: Vec::new(),
        }
    }

    /// Begins with what the image at `path` stands on.
    pub(crate) fn enter(&mut self, path: &Path) -> Result<()> {
        let real = canonical(path);
        if self.path.contains(&real) {
            return Err(Error::corrupt("backing chain")
                .message(format!("{} stands on itself", path.display())));
        }
        if u64::from(self.limits.parents) < crate::num::u64_of(self.path.len()) {
            return Err(Error::limit(
                "backing chain",
                format!("more than {} images deep", self.limits.parents),
            ));
        }
        self.path.push(real);
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.path.pop();
    }

    /// The cache budget of the image that is being opened: half of what the one above it has.
    pub(crate) fn cache_bytes(&self) -> usize {
        let depth = u32::try_from(self.path.len()).unwrap_or(u32::MAX);
        self.limits.cache_bytes.checked_shr(depth).unwrap_or(0)
    }
}

/// `path` with links followed, to tell whether two are the same.
pub(crate) fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
