//! What a file that is given as a change is, and how its changes are read.
#![allow(clippy::disallowed_methods)] // looks at what lies beside a file

use std::path::{Path, PathBuf};

use hexz_resolve::{ChangeSource, Error, Result, read_vec};

use crate::directory::WriteLayer;
use crate::file::RawFile;
use crate::format::Format;
use crate::hexz_overlay::HexzOverlay;
use crate::hxz::OverParent;
use crate::meta::meta_path;
use crate::open::Given;
use crate::overlay::ImageOverlay;
use crate::qcow2;
use crate::snapshot_store::{self, SnapshotStore};
use crate::two_images::TwoImages;
use crate::undo;

/// What changes are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A data file of hexz with an index beside it: it needs a base to be given.
    HexzOverlay,
    /// An image that knows what it stands on, or that holds only some of its blocks.
    Image,
    /// An archive, which may stand on another one: its parent is the disk before.
    Archive,
    /// The store of a dm-snapshot: it needs its origin to be given.
    SnapshotStore,
    /// The folder that a writable mount of hexz 0.8 writes to: changed files whole, of a disk the
    /// file `main`.
    WriteLayer,
}

/// How to read them.
#[derive(Clone, Debug, Default)]
pub struct ChangesOptions {
    /// The disk before.
    pub base: Option<Given>,
    /// The disk before, for what names none itself.
    pub or_base: Option<Given>,
    /// An internal snapshot of the image, by name or id, that is the disk before.
    pub snapshot: Option<String>,
    /// A persistent bitmap of the image, which says what changed.
    pub bitmap: Option<String>,
}

/// What the file at `path` is as a change: an image by its first bytes, else an overlay of hexz.
/// The first bytes of an overlay were written by its guest, so where there is an index beside it
/// the name must say so too: `vm.meta` may belong to `vm.overlay` as well as to `vm.qcow2`.
///
/// # Errors
/// Naming the path, where it can't be opened.
pub fn kind_of(path: &Path) -> Result<Kind> {
    if path.is_dir() {
        return Ok(Kind::WriteLayer);
    }
    let file = RawFile::open(path)?;
    let format = Format::of(&file);
    if format == Format::Raw && !meta_path(path).exists() && snapshot_store::is_one(&file) {
        return Ok(Kind::SnapshotStore);
    }
    let extensions: &[&str] = match format {
        Format::Raw => return Ok(Kind::HexzOverlay),
        Format::Hxz => &["hxz"],
        Format::Qcow2 => &["qcow2", "qcow"],
        Format::Vhd => &["vhd", "avhd", "vpc"],
        Format::Vhdx => &["vhdx", "avhdx"],
        Format::Vmdk => &["vmdk"],
        Format::Vdi => &["vdi"],
        Format::Parallels => &["hds", "hdd", "parallels"],
        Format::Qed => &["qed"],
    };
    let extension = path.extension().unwrap_or_default();
    let named = extensions
        .iter()
        .any(|of| extension.eq_ignore_ascii_case(of));
    Ok(match named || !meta_path(path).exists() {
        true if format == Format::Hxz => Kind::Archive,
        true => Kind::Image,
        false => Kind::HexzOverlay,
    })
}

/// The changes that the file at `path` holds: those of an image over what it stands on, or of a
/// hexz overlay over its base.
///
/// # Errors
/// Naming the path, where it can't be opened or is neither, with what was probably meant.
pub fn open_changes(path: &Path, options: ChangesOptions) -> Result<Box<dyn ChangeSource>> {
    let (path, kind) = (PathBuf::from(path), kind_of(path)?);
    if kind == Kind::WriteLayer {
        let base = options.base.or(options.or_base);
        return Ok(Box::new(write_layer(&path, base)?));
    }
    if kind == Kind::SnapshotStore {
        let Some(base) = options.base.or(options.or_base) else {
            let text = format!(
                "{} is the store of a snapshot (dm-snapshot, LVM): give its origin, --base IMAGE",
                path.display()
            );
            return Err(Error::unsupported("change set", text));
        };
        return Ok(Box::new(SnapshotStore { path, base }));
    }
    if kind == Kind::Image {
        return Ok(Box::new(ImageOverlay {
            base: options.base,
            or_base: options.or_base,
            snapshot: options.snapshot,
            bitmap: options.bitmap,
            path,
        }));
    }
    if options.snapshot.is_some() || options.bitmap.is_some() {
        let text = format!(
            "{}: only qcow2 images have internal snapshots and bitmaps",
            path.display()
        );
        return Err(Error::unsupported("change set", text));
    }
    if kind == Kind::Archive {
        let Some(base) = options.base else {
            let or_base = options.or_base;
            return Ok(Box::new(OverParent { path, or_base }));
        };
        check_archive(&path, &base)?;
        return Ok(Box::new(TwoImages::new(base, path)));
    }
    let base = options.base.or(options.or_base);
    check_overlay(&path, base.as_ref())?;
    Ok(Box::new(HexzOverlay {
        overlay: path,
        base,
    }))
}

/// What a write layer holds, against the archive that was mounted.
fn write_layer(folder: &Path, base: Option<Given>) -> Result<WriteLayer> {
    let Some(base) = base else {
        let text = format!(
            "{} is a directory: if it is a write layer of hexz, give the archive it was mounted \
             over, --base ARCHIVE",
            folder.display()
        );
        return Err(Error::unsupported("write layer", text));
    };
    Ok(WriteLayer {
        folder: folder.to_owned(),
        base,
    })
}

/// What the image at `path` keeps beside its disk, in words: internal snapshots and bitmaps.
///
/// # Errors
/// Naming the path, where it can't be read.
pub fn kept_in(path: &Path) -> Result<Vec<String>> {
    let file = RawFile::open(path)?;
    if Format::of(&file) != Format::Qcow2 {
        return Ok(Vec::new());
    }
    let name = path.display().to_string();
    qcow2::kept(&file).map_err(|e| Error::new(e.kind(), "qcow2 image").message(name).source(e))
}

/// Finds arguments that were given in another order, or one file for another.
///
/// # Errors
/// With what was probably meant.
fn check_overlay(overlay: &Path, base: Option<&Given>) -> Result<()> {
    let swapped = |text: String| Err(Error::unsupported("change set", text));
    let name = overlay.display();
    check_data(overlay)?;
    let file = RawFile::open(overlay)?;
    if !has_index(overlay) && read_vec(&file, 0, undo::MAGIC.len()).is_ok_and(|m| m == undo::MAGIC)
    {
        return swapped(format!(
            "{name} is an undo file of e2fsprogs, which is a list: with the disk that was changed, \
             `hexz diff --files --changes {name} --merged DISK`"
        ));
    }
    let Some(base) = base else {
        return Ok(());
    };
    match !has_index(overlay) && has_index(&base.path) {
        true => swapped(exchanged(overlay, &base.path)),
        false => Ok(()),
    }
}

/// That `path` is not the index of an overlay.
fn check_data(path: &Path) -> Result<()> {
    if path.extension().is_none_or(|of| of != "meta") {
        return Ok(());
    }
    let (name, data) = (path.display(), path.with_extension("overlay"));
    let data = data.display();
    let text = format!("{name} is the index of an overlay, and not its data: give {data}");
    Err(Error::unsupported("change set", text))
}

/// Finds an overlay that was given for a whole disk: what it does not hold would be zeros, and all
/// files deleted.
///
/// # Errors
/// With what was probably meant. [`Given::raw`] says that it is a disk.
pub fn check_two_images(before: &Given, after: &Given) -> Result<()> {
    let overlay = |given: &Given| -> Result<bool> {
        if given.raw {
            return Ok(false);
        }
        check_data(&given.path)?;
        Ok(has_index(&given.path) && Format::of(&RawFile::open(&given.path)?) == Format::Raw)
    };
    let [a, b] = [&before.path, &after.path];
    let meant = match (overlay(before)?, overlay(after)?) {
        (false, false) => return Ok(()),
        (true, false) => exchanged(b, a),
        (false, true) => exchanged(a, b),
        (true, true) => format!(
            "indexes lie beside {} and {}: of two overlays each is compared with its base.",
            a.display(),
            b.display()
        ),
    };
    let text = format!("{meant} Or say --raw, if both are whole disks");
    Err(Error::unsupported("images to compare", text))
}

fn has_index(path: &Path) -> bool {
    meta_path(path).is_file() && meta_path(path) != path
}

/// What to say where `base` is an overlay, and `overlay` none.
fn exchanged(overlay: &Path, base: &Path) -> String {
    let index = meta_path(base);
    let (name, base, index) = (overlay.display(), base.display(), index.display());
    format!(
        "an index lies beside {base} ({index}) and none beside {name}: did you mean \
         `hexz diff --files {base} --base {name}`?"
    )
}

/// Finds an archive that was given for an overlay. It may be compared with another archive.
///
/// # Errors
/// With what was probably meant.
fn check_archive(archive: &Path, base: &Given) -> Result<()> {
    if !base.raw && Format::of(&RawFile::open(&base.path)?) == Format::Hxz {
        return Ok(());
    }
    let (name, other) = (archive.display(), base.path.display());
    let text = match has_index(&base.path) {
        true => exchanged(archive, &base.path),
        false => format!(
            "{name} is an archive, and no overlay: two images are compared by \
             `hexz diff --files {other} {name}`"
        ),
    };
    Err(Error::unsupported("change set", text))
}
