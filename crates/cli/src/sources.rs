//! From arguments to change sources and images.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hexz_resolve::engine::{Detection, Options};
use hexz_resolve::{ChangeSource, Diagnostics, JournalMode, Limits, Progress, ReadAt, Registry};
use hexz_source::meta::meta_path;
use hexz_source::{
    DefaultGate, ExtentList, Format, Given, HexzOverlay, Qcow2Overlay, TwoImages, VhdOverlay,
    detect,
};

use crate::args::{DiffArgs, EngineArgs, Journal};

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
    Options {
        registry,
        limits: Limits::default(),
        journal: match args.journal {
            Journal::Replay => JournalMode::Replay,
            Journal::Ignore => JournalMode::Ignore,
        },
        threads: args.threads,
        volume: args.volume.clone(),
        detection: Detection {
            formats: args.filesystem.iter().cloned().collect(),
            sector_size: args.sector_size,
            explain: false,
        },
        progress,
        cancel: None,
    }
}

/// What changes are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    List,
    TwoImages,
    Qcow2,
    Vhd,
    /// A hexz overlay: it alone needs a base to be given.
    Overlay,
}

impl Form {
    pub(crate) fn of(args: &DiffArgs) -> Self {
        if args.changes.is_some() {
            Self::List
        } else if args.other.is_some() {
            Self::TwoImages
        } else if args.snapshot.is_some() || args.overlay.as_deref().is_some_and(is_qcow2) {
            Self::Qcow2
        } else if args.overlay.as_deref().is_some_and(is_vhd) {
            Self::Vhd
        } else {
            Self::Overlay
        }
    }
}

fn is_qcow2(path: &Path) -> bool {
    says_itself(path, "qcow2") && matches!(detect(path), Ok(Format::Qcow2))
}

fn is_vhd(path: &Path) -> bool {
    says_itself(path, "vhd") && VhdOverlay::is_at(path)
}

/// Whether the first bytes of `path` may say what it is. Those of an overlay of hexz were written
/// by its guest, so where there is an index beside it the name must say so too: `vm.meta` may
/// belong to `vm.overlay` as well as to `vm.qcow2`.
fn says_itself(path: &Path, extension: &str) -> bool {
    let named = path
        .extension()
        .is_some_and(|of| of.eq_ignore_ascii_case(extension));
    named || !meta_path(path).exists()
}

/// Where the changes that were asked for come from.
pub(crate) fn changes(
    args: &DiffArgs,
    progress: Arc<dyn Progress>,
) -> Result<Box<dyn ChangeSource>> {
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
    let overlay = args.overlay.clone().context("an overlay is needed")?;
    exists(&overlay)?;
    if let Some(other) = &args.other {
        exists(other)?;
        let mut two = TwoImages::new(given(&overlay), given(other));
        two.progress = progress;
        return Ok(Box::new(two));
    }
    if Form::of(args) == Form::Qcow2 {
        return Ok(Box::new(Qcow2Overlay {
            base: args.base.as_ref().map(given),
            or_base: args.default_base.as_ref().map(given),
            snapshot: args.snapshot.clone(),
            progress,
            ..Qcow2Overlay::new(overlay)
        }));
    }
    if Form::of(args) == Form::Vhd {
        return Ok(Box::new(VhdOverlay {
            base: args.base.as_ref().map(given),
            or_base: args.default_base.as_ref().map(given),
            progress,
            ..VhdOverlay::new(overlay)
        }));
    }
    let base = args.any_base().map(given);
    Ok(Box::new(HexzOverlay { overlay, base }))
}

/// An image that was named, and how the arguments say to take it.
fn given(path: impl Into<PathBuf>, args: &EngineArgs) -> Given {
    Given {
        raw: args.raw,
        ..Given::from(path)
    }
}

/// That the arguments are of use for what `overlay` turned out to be.
pub(crate) fn check(args: &DiffArgs) -> Result<()> {
    if let (Some(overlay), Some(_)) = (&args.overlay, &args.snapshot) {
        exists(overlay)?;
        anyhow::ensure!(
            is_qcow2(overlay),
            "--snapshot is for qcow2 images, and {} is none",
            overlay.display()
        );
    }
    Ok(())
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
    given(path, args)
        .open(&Limits::default(), &gate(args), diagnostics)
        .with_context(|| format!("cannot open {}", path.display()))
}
