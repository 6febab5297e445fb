//! Snapshots that lie beside their origin on one disk: a logical volume and the store of what
//! differs in its snapshot.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use hexz_resolve::engine::{OpenedVolume, Options, open};
use hexz_resolve::{Diagnostic, Diagnostics, Limits, Loaded, ReadAt, Registry, Silent, View};
use hexz_source::Exceptions;

use crate::args::DiffArgs;
use crate::sources;

/// A change that lies on the disk itself.
pub(crate) struct OnDisk {
    pub(crate) loaded: Loaded,
    /// The volume that changed.
    pub(crate) volume: String,
}

/// The snapshot that `--volume` names, where one disk is given alone and it names one.
pub(crate) fn named(registry: &Registry, args: &DiffArgs) -> Result<Option<OnDisk>> {
    let alone = args.other.is_none() && args.base.is_none() && args.changes.is_none();
    let (Some(path), Some(asked), true) = (&args.overlay, &args.engine.volume, alone) else {
        return Ok(None);
    };
    // A volume group and a logical volume in it.
    if !asked.contains('/') || path.is_dir() || hexz_source::meta::meta_path(path).exists() {
        return Ok(None);
    }
    let found = Diagnostics::new();
    let disk = sources::image(path, &args.engine, &found)?;
    let options = Options {
        volume: None,
        ..sources::options(registry, &args.engine, &Silent)
    };
    let opened = open(&disk, View::Merged, &options)?;
    let volume = |name: &str| opened.volumes().find(|volume| volume.name() == name);
    let Some((store, origin)) = volume(asked).and_then(|v| Some((v, v.snapshot_of()?))) else {
        return Ok(None);
    };
    let origin = volume(origin).with_context(|| format!("{asked}: its origin is not there"))?;
    let exceptions = Exceptions::read(&*store.device(), &Limits::default())
        .with_context(|| format!("cannot read the snapshot {asked}"))?;
    let text = format!(
        "base is {} as it lies on the disk, after is its snapshot {asked}: what was written to {0} \
         since the snapshot was taken shows the other way round",
        origin.name()
    );
    if !args.format.any() {
        eprintln!("hexz: note: {}", hexz_report::escaped(text.as_bytes()));
    }
    found.push(Diagnostic::info("snapshot-and-origin", text));
    let name = path.display().to_string();
    Ok(Some(OnDisk {
        volume: origin.name().to_owned(),
        loaded: loaded(&disk, exceptions, (store, origin), name, &found),
    }))
}

/// The disk, and the disk as if the origin read as its snapshot does.
fn loaded(
    disk: &Arc<dyn ReadAt>,
    mut exceptions: Exceptions,
    (store, origin): (OpenedVolume<'_>, OpenedVolume<'_>),
    name: String,
    found: &Diagnostics,
) -> Loaded {
    let end = origin.map().len();
    let pieces = std::mem::take(&mut exceptions.pieces);
    for (range, at) in pieces {
        if range.start() >= end {
            let text = format!("it has chunks past the end of {}", origin.name());
            exceptions.damaged.get_or_insert(text);
        }
        let mut kept = at;
        for part in origin.map().to_device(range) {
            exceptions.pieces.push((part, kept));
            kept = kept.saturating_add(part.len());
        }
    }
    let overlay = format!("{name} {}", store.name());
    exceptions.loaded(Arc::clone(disk), store.device(), (name, overlay), found)
}
