//! The change source of a differencing disk: what it holds itself.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{
    ChangeSet, ChangeSource, Diagnostic, Diagnostics, Limits, Loaded, OpenGate, Precision,
    Progress, Result, Silent,
};

use super::ondisk::{DiskType, SECTOR};
use super::{Vhd, footers};
use crate::chain::Chain;
use crate::file::RawFile;
use crate::image::{Format, Given, Opened};
use crate::two_images::TwoImages;

/// A VHD that is differencing, over its parent; or one that is dynamic, over nothing.
pub struct VhdOverlay {
    /// The image.
    pub path: PathBuf,
    /// Takes the place of the parent that a differencing disk names. A dynamic disk hides all
    /// that is behind it, so it is compared with this one.
    pub base: Option<Given>,
    /// The disk before, where the image names no parent and `base` is not given.
    pub or_base: Option<Given>,
    /// Told of the bytes compared.
    pub progress: Arc<dyn Progress>,
}

impl VhdOverlay {
    /// What the image at `path` changed, in silence.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            base: None,
            or_base: None,
            progress: Arc::new(Silent),
        }
    }

    /// Whether the image at `path` is a VHD that holds some of its blocks only.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        disk_type(path).is_some_and(|of| of != DiskType::Fixed)
    }
}

fn disk_type(path: &Path) -> Option<DiskType> {
    let file = RawFile::open(path).ok()?;
    // One that is damaged is told so when it is loaded.
    (Format::of(&file) == Format::Vhd).then(|| {
        let found = footers::find(&file);
        found.map_or(DiskType::Dynamic, |found| found.footer.disk_type)
    })
}

impl ChangeSource for VhdOverlay {
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        if let Some(base) = self.base.as_ref().or(self.or_base.as_ref())
            && disk_type(&self.path) != Some(DiskType::Differencing)
        {
            let mut two = TwoImages::new(base.clone(), &self.path);
            two.progress = Arc::clone(&self.progress);
            return two.load(limits, gate);
        }
        let found = Diagnostics::new();
        let mut chain = Chain::new(limits, gate, &found);
        let file = RawFile::open(&self.path)?;
        let top = Vhd::open(file, &self.path, &mut chain, self.base.as_ref())?;
        let ranges = top.allocated(|piece, error| {
            let text = format!(
                "a block can't be read, and counts as changed: {}",
                error.chain()
            );
            found.push(Diagnostic::error("image-unreadable", text).at(piece.start()));
        });
        let parent = top.parent();
        let base_name = self.base.as_ref().map(|given| given.path.clone());
        let base_name = base_name.or_else(|| parent.map(|parent| parent.real.clone()));
        Ok(Loaded {
            changes: ChangeSet {
                ranges,
                block_size: u32::try_from(SECTOR).unwrap_or(u32::MAX),
                // A sector may have been written with what it held before.
                precision: Precision::Over,
                diagnostics: found.take(),
            },
            base: parent.map(Opened::reader),
            merged: Some(Arc::new(top)),
            overlay_name: Some(self.path.display().to_string()),
            base_name: base_name.map(|path| path.display().to_string()),
        })
    }
}

impl fmt::Debug for VhdOverlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VhdOverlay")
            .field("path", &self.path)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}
