//! Opening a disk image: one file, what it stands on, and so on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_resolve::{Diagnostic, Diagnostics, Error, Limits, OpenGate, ReadAt, Result};

use crate::chain::Chain;
use crate::file::RawFile;
use crate::format::{Format, no_image};
use crate::image::{Image, Own};
use crate::opening::{Opened, Opening, Parent, ParentFormat};
use crate::{directory, hxz, mounted, parallels, qcow2, qed, vdi, vhd, vhdx, vmdk};

/// A disk image that the user named, and how to take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a raw disk, whatever it begins with: the first bytes of a raw disk are its
    /// guest's, who may have written those of a container there. Else its first bytes decide.
    pub raw: bool,
}

impl<P: Into<PathBuf>> From<P> for Given {
    fn from(path: P) -> Self {
        let path = path.into();
        Self { path, raw: false }
    }
}

impl Given {
    /// Opens it. Parents and backing files that it names are opened as `gate` allows; what is
    /// odd goes to `diagnostics`. What is of no known format is taken as raw.
    ///
    /// # Errors
    /// With the path of the file that can't be used, and why; also where it is no image of a disk
    /// (a text, a compressed file) and was not said to be raw.
    pub fn open(
        &self,
        limits: &Limits,
        gate: &dyn OpenGate,
        diagnostics: &Diagnostics,
    ) -> Result<Arc<dyn ReadAt>> {
        let mut chain = Chain::new(limits, gate, diagnostics);
        Ok(open(self, &mut chain)?)
    }
}

impl Given {
    /// As [`open`](Self::open), for what lies over a disk or counts in its bytes: the files of an
    /// archive of a directory lie on none.
    ///
    /// # Errors
    /// As [`open`](Self::open), and for such an archive.
    pub fn open_disk(
        &self,
        limits: &Limits,
        gate: &dyn OpenGate,
        diagnostics: &Diagnostics,
    ) -> Result<Arc<dyn ReadAt>> {
        let image = open(self, &mut Chain::new(limits, gate, diagnostics))?;
        if image.layer.directory().is_some() {
            let name = self.path.display();
            let text = format!("{name} is an archive of a directory, and no disk");
            return Err(Error::unsupported("image", text));
        }
        Ok(image)
    }
}

/// Opens the disk image at `path`, which the user named, whatever its format (see
/// [`Given::open`]).
///
/// # Errors
/// With the path of the file that can't be used, and why.
pub fn open_image(
    path: &Path,
    limits: &Limits,
    gate: &dyn OpenGate,
    diagnostics: &Diagnostics,
) -> Result<Arc<dyn ReadAt>> {
    Given::from(path).open(limits, gate, diagnostics)
}

/// How to open the image on top of a chain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Top<'a> {
    /// Takes the place of the parent that the image names.
    pub(crate) base: Option<&'a Given>,
    /// The internal snapshot to read, by name or id, in place of the active state.
    pub(crate) snapshot: Option<&'a str>,
}

/// Opens what the user named.
pub(crate) fn open(given: &Given, chain: &mut Chain<'_>) -> Result<Arc<Image>> {
    let file = RawFile::open(&given.path)?;
    if given.raw {
        mounted::check(&given.path, chain.diagnostics);
        return from_file(file, &given.path, Format::Raw, chain, Top::default());
    }
    let format = Format::of(&file);
    if format == Format::Raw {
        if let Some(what) = no_image(&file) {
            let hint = "or say --raw if it is a disk all the same";
            let text = format!("{} {what}; {hint}", given.path.display());
            return Err(Error::unsupported("image", text));
        }
        mounted::check(&given.path, chain.diagnostics);
        if let Some(why) = vhd::unfit(&file) {
            let why = why.chain();
            chain.diagnostics.push(Diagnostic::warning(
                "image-container",
                format!(
                    "{} ends like a VHD: {why}; taken as raw",
                    given.path.display()
                ),
            ));
        }
    }
    from_file(file, &given.path, format, chain, Top::default())
}

/// Opens the image in `file`, which lies at `path` and is of `format`, and what it stands on, as
/// far as the gate of `chain` allows.
pub(crate) fn from_file(
    file: RawFile,
    path: &Path,
    format: Format,
    chain: &mut Chain<'_>,
    top: Top<'_>,
) -> Result<Arc<Image>> {
    chain.check(path)?;
    let most_ranges = chain.limits.ranges;
    let image = |layer, below| Arc::new(Image::new(layer, below, format, path, most_ranges));
    match format {
        Format::Raw => return Ok(image(Own::Disk(Box::new(file)), None)),
        Format::Hxz => {
            if let Some(files) = directory::open(&file, path, chain)? {
                return Ok(image(Own::Files(Box::new(files)), None));
            }
            let (limits, gate) = (chain.limits, chain.gate);
            let archive = hxz::Archive::open(file, path, limits, gate, chain.diagnostics)?;
            return Ok(image(Own::Archive(Box::new(archive)), None));
        }
        _ => {}
    }
    // The whole chain shares the budget, of which its top image is to have most.
    let cache_bytes = chain.cache_bytes() >> 1;
    chain.enter(path)?;
    let opening = Opening {
        path,
        snapshot: top.snapshot,
        cache_bytes,
        chain,
    };
    let opened = match format {
        Format::Raw | Format::Hxz => Ok(Opened::alone(file)),
        Format::Qcow2 => qcow2::open(file, &opening),
        Format::Vhd => vhd::open(file, &opening),
        Format::Vmdk => vmdk::open(file, &opening),
        Format::Vhdx => vhdx::open(file, &opening),
        Format::Vdi => vdi::open(file, &opening),
        Format::Parallels => parallels::open(file, &opening),
        Format::Qed => qed::open(file, &opening),
    };
    let opened = opened.map_err(|e| {
        let name = path.display().to_string();
        Error::new(e.kind(), format.structure())
            .message(name)
            .source(e)
    })?;
    let below = match (opened.parent, top.base) {
        (None, _) => None,
        (Some(parent), Some(base)) => {
            let base = open(base, chain)?;
            if let Err(other) = check_id(&base, &parent) {
                let text = format!("{}: {}", path.display(), other.chain());
                let finding = Diagnostic::warning("other-parent", text);
                chain.diagnostics.push(finding);
            }
            Some(base)
        }
        (Some(parent), None) => Some(open_parent(parent, path, chain)?),
    };
    chain.leave();
    Ok(image(Own::Disk(opened.layer), below))
}

fn open_parent(parent: Parent, by: &Path, chain: &mut Chain<'_>) -> Result<Arc<Image>> {
    if let ParentFormat::Other(format) = &parent.format {
        let text = format!("{} has a backing file of format {format}", by.display());
        return Err(Error::unsupported("backing file", text));
    }
    let mut refused = None;
    for name in &parent.names {
        let path = match name {
            Ok(name) => chain.allow(name, by),
            Err(error) => Err(Error::new(error.kind(), "parent image").message(format!(
                "{}: {}",
                by.display(),
                error.chain()
            ))),
        };
        match path {
            Ok(path) => {
                let file = RawFile::open_regular(&path)?;
                // What the image says goes before what the content looks like: the content of a
                // raw disk is its guest's.
                let format = match parent.format {
                    ParentFormat::Known(format) => format,
                    _ => Format::of(&file),
                };
                let image = from_file(file, &path, format, chain, Top::default())?;
                check_id(&image, &parent)?;
                return Ok(image);
            }
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    let text = format!("{} names no parent, and has one", by.display());
    let unnamed = || Error::corrupt("parent image").message(text);
    Err(refused.unwrap_or_else(unnamed))
}

/// Checks that `image` is the one that the child of `parent` means.
fn check_id(image: &Image, parent: &Parent) -> Result<()> {
    let Some(found) = image.layer.id() else {
        return Ok(());
    };
    let known = parent.format.admits(image.format);
    if !known || parent.ids.is_empty() || parent.ids.contains(&found) {
        return Ok(());
    }
    let message = format!("{} is the parent of others", image.real.display());
    let expected: Vec<&str> = parent.ids.iter().map(|id| id.0.as_str()).collect();
    let error = Error::corrupt("parent image").message(message);
    Err(error.expected(expected.join(" or ")).found(found))
}
