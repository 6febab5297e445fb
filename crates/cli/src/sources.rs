//! From arguments to change sources and images.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hexz_resolve::engine::Options;
use hexz_resolve::{ChangeSource, Diagnostics, JournalMode, Limits, Progress, ReadAt, Registry};
use hexz_source::{
    DefaultGate, ExtentList, Format, HexzOverlay, Qcow2Overlay, TwoImages, VhdOverlay, detect,
    open_image,
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
        progress,
        cancel: None,
    }
}

/// Where the changes that were asked for come from.
pub(crate) fn changes(
    args: &DiffArgs,
    progress: Arc<dyn Progress>,
) -> Result<Box<dyn ChangeSource>> {
    if let Some(file) = &args.changes {
        return Ok(Box::new(ExtentList {
            file: file.clone(),
            format: args.changes_format.map(Into::into),
            unit: args.unit,
            base: args.base.clone(),
            merged: args.merged.clone(),
        }));
    }
    let overlay = args.overlay.clone().context("an overlay is needed")?;
    exists(&overlay)?;
    if let Some(other) = &args.other {
        exists(other)?;
        let mut two = TwoImages::new(overlay, other);
        two.progress = progress;
        return Ok(Box::new(two));
    }
    if is_qcow2(&overlay) {
        return Ok(Box::new(Qcow2Overlay {
            path: overlay,
            base: args.base.clone(),
            snapshot: args.snapshot.clone(),
        }));
    }
    if VhdOverlay::is_at(&overlay) {
        return Ok(Box::new(VhdOverlay {
            path: overlay,
            base: args.base.clone(),
            progress,
        }));
    }
    Ok(Box::new(HexzOverlay {
        overlay,
        base: args.base.clone(),
    }))
}

/// Whether `path` is an image that says itself what it holds and what it stands on: it needs no
/// base to name files.
pub(crate) fn is_self_contained(path: &Path) -> bool {
    is_qcow2(path) || VhdOverlay::is_at(path)
}

fn is_qcow2(path: &Path) -> bool {
    matches!(detect(path), Ok(Format::Qcow2))
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
    open_image(path, &Limits::default(), &gate(args), diagnostics)
        .with_context(|| format!("cannot open {}", path.display()))
}
