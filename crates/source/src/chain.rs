//! Images that stand on images: how deep, and never on themselves.
#![allow(clippy::disallowed_methods)] // follows links

use std::path::{Path, PathBuf};

use hexz_resolve::{Diagnostic, Diagnostics, Error, Limits, OpenGate, Result};

use crate::gate::folder_of;
use crate::identity::Identity;

/// What is known of the images that are being opened, from the one the user named down.
pub(crate) struct Chain<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) gate: &'a dyn OpenGate,
    pub(crate) diagnostics: &'a Diagnostics,
    files: Vec<Identity>,
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
            files: Vec::new(),
        }
    }

    /// Begins with what the image at `path` stands on.
    pub(crate) fn enter(&mut self, path: &Path) -> Result<()> {
        self.check(path)?;
        if u64::from(self.limits.parents) < crate::num::u64_of(self.files.len()) {
            return Err(Error::limit(
                "backing chain",
                format!("more than {} images deep", self.limits.parents),
            ));
        }
        self.files.push(Identity::of(path));
        Ok(())
    }

    /// That the file at `path` is none of the images being opened.
    pub(crate) fn check(&self, path: &Path) -> Result<()> {
        if !self.files.contains(&Identity::of(path)) {
            return Ok(());
        }
        let message = format!("{} stands on itself", path.display());
        Err(Error::corrupt("backing chain").message(message))
    }

    pub(crate) fn leave(&mut self) {
        self.files.pop();
    }

    /// The file to open for `named`, which stands in the image at `by`. Where it is another than
    /// the one of that name, that is said.
    pub(crate) fn allow(&self, named: &Path, by: &Path) -> Result<PathBuf> {
        let path = self.gate.allow(named, by)?;
        if Identity::of(&folder_of(by).join(named)) != Identity::of(&path) {
            self.diagnostics.push(Diagnostic::warning(
                "other-file-taken",
                format!(
                    "{} names {}, which is not there: {} was taken",
                    by.display(),
                    named.display(),
                    path.display()
                ),
            ));
        }
        Ok(path)
    }

    /// The cache budget of the image that is being opened: half of what the one above it has.
    pub(crate) fn cache_bytes(&self) -> usize {
        let depth = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.limits.cache_bytes.checked_shr(depth).unwrap_or(0)
    }
}

/// `path` with links followed, to tell whether two are the same.
pub(crate) fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
