//! From arguments to change sources and images.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hexz_resolve::engine::{Detection, Options};
use hexz_resolve::{
    ChangeSource, Diagnostics, Disks, JournalMode, Limits, Progress, ReadAt, Registry,
};
use hexz_source::{ChangesOptions, DefaultGate, ExtentList, Given, TwoImages};

use crate::args::DiffArgs;
use crate::engine_args::{EngineArgs, Journal};
use crate::scratch::Temporary;

/// What images may name.
pub(crate) fn gate(args: &EngineArgs) -> DefaultGate {
    args.allow_backing
        .iter()
        .fold(DefaultGate::new(), DefaultGate::allow_folder)
}

/// How to run the engine.
pub(crate) fn options<'a>(
    registry: &'a Registry,
    args: &EngineArgs,
    progress: &'a dyn Progress,
) -> Options<'a> {
    let mut limits = Limits::default();
    if let Some(bytes) = args.memory {
        limits.memory = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    Options {
        registry,
        limits,
        journal: match args.journal {
            Journal::Replay => JournalMode::Replay,
            Journal::Ignore => JournalMode::Ignore,
        },
        threads: args.threads,
        volume: args.volume.clone(),
        disks: Disks::default(),
        detection: Detection {
            formats: args.filesystem.iter().cloned().collect(),
            sector_size: args.sector_size,
            explain: false,
        },
        memo: None,
        progress,
        scratch: Some(Arc::new(Temporary)),
        cancel: None,
    }
}

/// What changes are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    List,
    TwoImages,
    /// An image that knows its base itself, or holds all of its disk.
    Image,
    /// A hexz overlay: it alone needs a base to be given.
    Overlay,
}

impl Form {
    pub(crate) fn of(args: &DiffArgs) -> Result<Self> {
        if args.changes.is_some() {
            return Ok(Self::List);
        }
        if args.other.is_some() {
            return Ok(Self::TwoImages);
        }
        let overlay = args.overlay.as_ref().context("an overlay is needed")?;
        exists(overlay)?;
        Ok(match hexz_source::kind_of(overlay)? {
            hexz_source::Kind::Image
            | hexz_source::Kind::Archive
            | hexz_source::Kind::SnapshotStore
            | hexz_source::Kind::WriteLayer => Self::Image,
            hexz_source::Kind::HexzOverlay => {
                anyhow::ensure!(
                    args.snapshot.is_none() && args.bitmap.is_none(),
                    "--snapshot and --bitmap are for qcow2 images, and {} is none",
                    overlay.display()
                );
                Self::Overlay
            }
        })
    }
}

/// Where the changes that were asked for come from.
pub(crate) fn changes(args: &DiffArgs) -> Result<Box<dyn ChangeSource>> {
    let given = |path: &PathBuf| given(path, &args.engine);
    if let Some(file) = &args.changes {
        return Ok(Box::new(ExtentList {
            file: file.clone(),
            format: args.changes_format.map(Into::into),
            unit: args.unit,
            base: args.any_base().map(given),
            merged: args.merged.as_ref().map(given),
        }));
    }
    let overlay = args.overlay.as_ref().context("an overlay is needed")?;
    exists(overlay)?;
    if let Some(other) = &args.other {
        exists(other)?;
        let (before, after) = (given(overlay), given(other));
        hexz_source::check_two_images(&before, &after)?;
        return Ok(Box::new(TwoImages::new(before, after)));
    }
    let options = ChangesOptions {
        base: args.base.as_ref().map(given),
        or_base: args.default_base.as_ref().map(given),
        snapshot: args.snapshot.clone(),
        bitmap: args.bitmap.clone(),
    };
    Ok(hexz_source::open_changes(overlay, options)?)
}

/// An image that was named, and how the arguments say to take it.
pub(crate) fn given(path: impl Into<PathBuf>, args: &EngineArgs) -> Given {
    Given {
        raw: args.raw,
        ..Given::from(path)
    }
}

/// That a file is there at all, said in its own words.
pub(crate) fn exists(path: &Path) -> Result<()> {
    std::fs::metadata(path)
        .map(|_| ())
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Opens an image that the user named.
pub(crate) fn image(
    path: &Path,
    args: &EngineArgs,
    diagnostics: &Diagnostics,
) -> Result<Arc<dyn ReadAt>> {
    exists(path)?;
    Ok(given(path, args).open(&Limits::default(), &gate(args), diagnostics)?)
}
