//! The disk as its guest knows it: where volumes are mounted, and what they are called.

use std::sync::Arc;

use hexz_report::{Mount, Places, mounts};
use hexz_resolve::engine::{OpenDisk, OpenedVolume, Options, open};
use hexz_resolve::report::VolumeRecord;
use hexz_resolve::{FileKind, FileSet, Loaded, ReadAt, Result, View};

/// So much of an fstab is read.
const LONGEST: u64 = 256 << 10;

/// Directories that a guest may take for its root: that of the volume, and what distributions call
/// their root subvolume.
const ROOTS: [&[&[u8]]; 4] = [&[], &[b"@"], &[b"@rootfs"], &[b"root"]];

/// Where the guest mounts each volume of `disk`, by volume. Nothing where no fstab is found.
pub(crate) fn mounts_of(
    disk: &Arc<dyn ReadAt>,
    options: &Options<'_>,
) -> Vec<(String, Vec<Mount>)> {
    let whole = every_volume(options);
    let Ok(opened) = open(disk, View::Merged, &whole) else {
        return Vec::new();
    };
    found(&opened)
}

/// Where the volumes of a diff are.
pub(crate) fn places(
    loaded: &Loaded,
    volumes: &[VolumeRecord],
    options: &Options<'_>,
    volume_paths: bool,
) -> Places {
    let mounts = match loaded.merged.as_ref().or(loaded.base.as_ref()) {
        Some(disk) if volumes.len() > 1 => mounts_of(disk, options),
        _ => Vec::new(),
    };
    Places::new(volumes, mounts, volume_paths)
}

fn found(opened: &OpenDisk<'_>) -> Vec<(String, Vec<Mount>)> {
    let records: Vec<_> = opened.volumes().map(|v| v.record()).collect();
    for (index, volume) in opened.volumes().enumerate() {
        for root in ROOTS {
            let path: Vec<&[u8]> = [root, &[b"etc", b"fstab"]].concat();
            if let Some(text) = contents(&volume, &path) {
                let below = root
                    .iter()
                    .flat_map(|name| [b"/", *name].concat())
                    .collect();
                let all = mounts(&text, (index, below), &records);
                let names = records.iter().map(|r| r.volume.clone());
                return names.zip(all).collect();
            }
        }
    }
    Vec::new()
}

/// `options`, with the volume that was asked for by the name that the engine knows.
pub(crate) fn narrowed<'o>(disk: &Arc<dyn ReadAt>, mut options: Options<'o>) -> Options<'o> {
    if let Some(asked) = options.volume.take() {
        options.volume = Some(volume_named(disk, &asked, &options));
    }
    options
}

/// The name of the volume that `asked` means: its name, its label, its UUID, or where the guest
/// mounts it. `asked` itself where nothing fits: the engine then says which there are.
fn volume_named(disk: &Arc<dyn ReadAt>, asked: &str, options: &Options<'_>) -> String {
    let whole = every_volume(options);
    let Ok(opened) = open(disk, View::Merged, &whole) else {
        return asked.to_owned();
    };
    let records: Vec<_> = opened.volumes().map(|v| v.record()).collect();
    if records.iter().any(|r| r.volume == asked) {
        return asked.to_owned();
    }
    let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
    let by_name = records.iter().find(|r| {
        r.label.as_deref() == Some(asked.as_bytes())
            || r.name.as_deref() == Some(asked)
            || r.uuid.as_deref().map(plain) == Some(plain(asked))
    });
    if let Some(record) = by_name {
        return record.volume.clone();
    }
    let mounted = found(&opened).into_iter().find(|(_, mounts)| {
        let mut points = mounts.iter().map(|m| &*m.at);
        asked.starts_with('/') && points.any(|at| at == asked.as_bytes())
    });
    mounted.map_or_else(|| asked.to_owned(), |(name, _)| name)
}

fn every_volume<'o>(options: &Options<'o>) -> Options<'o> {
    Options {
        volume: None,
        ..options.clone()
    }
}

/// The bytes of a small file, by the names that lead to it. Links are not followed.
fn contents(volume: &OpenedVolume<'_>, path: &[&[u8]]) -> Option<Vec<u8>> {
    let filesystem = volume.filesystem()?;
    let mut at = filesystem.root();
    for name in path {
        let directory: FileSet = [at].into_iter().collect();
        let entries = volume.entries(&directory).result.ok()?;
        at = entries.iter().find(|e| e.name.as_bytes() == *name)?.child;
    }
    let file: FileSet = [at].into_iter().collect();
    let attributes = volume.attributes(&file).result.ok()?;
    let size = attributes
        .iter()
        .find(|a| a.kind == FileKind::File)?
        .size
        .min(LONGEST);
    let read = |scan: &hexz_resolve::Scan<'_>| -> Result<Vec<u8>> {
        let content = filesystem.content(at, None, scan)?;
        hexz_resolve::read_vec(&*content, 0, usize::try_from(size).unwrap_or_default())
            .map_err(|e| hexz_resolve::Error::io("fstab", std::io::Error::other(e.to_string())))
    };
    volume.scan(read).result.ok()
}
