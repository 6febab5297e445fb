//! Opening a disk image by its content.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hexz_ondisk::read;
use hexz_resolve::{
    ByteRange, Diagnostic, Diagnostics, Error, Limits, OpenGate, RangeSet, ReadAt, ReadError,
    Result,
};

use crate::chain::{Chain, Identity, canonical};
use crate::file::RawFile;
use crate::num::{take_front, usize_of};
use crate::qcow2::{self, Options, Qcow2};
use crate::vhd::{self, Vhd};
use crate::{foreign, hxz};

/// How an image holds its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Byte by byte: a file or block device.
    Raw,
    /// A hexz archive.
    Hxz,
    /// An image of qemu, versions 2 and 3.
    Qcow2,
    /// An image of Virtual PC: fixed, dynamic or differencing. qemu calls it `vpc`.
    Vhd,
    /// An image of VMware; read with the feature `vmdk`.
    Vmdk,
    /// An image of Hyper-V; read with the feature `vhdx`.
    Vhdx,
}

impl Format {
    /// The word the report uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Hxz => "hxz",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Vmdk => "vmdk",
            Self::Vhdx => "vhdx",
        }
    }

    pub(crate) fn of(file: &dyn ReadAt) -> Self {
        // A disk whose first sector is bad is a disk: who needs that sector says that it is.
        let start = read(file, "image", 0, usize_of(file.len().min(64))).unwrap_or_default();
        let begins = |magic: &[u8]| start.starts_with(magic);
        if begins(hxz::MAGIC) {
            Self::Hxz
        } else if begins(&qcow2::MAGIC) {
            Self::Qcow2
        } else if begins(b"vhdxfile") {
            Self::Vhdx
        } else if begins(b"KDMV") || begins(b"COWD") || begins(b"# Disk DescriptorFile") {
            Self::Vmdk
        } else if vhd::recognised(file, &start) {
            Self::Vhd
        } else {
            Self::Raw
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The format of the image at `path`, by its content.
///
/// # Errors
/// `Io`, naming the path.
pub fn detect(path: &Path) -> Result<Format> {
    Ok(Format::of(&RawFile::open(path)?))
}

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
    /// With the path of the file that can't be used, and why.
    pub fn open(
        &self,
        limits: &Limits,
        gate: &dyn OpenGate,
        diagnostics: &Diagnostics,
    ) -> Result<Arc<dyn ReadAt>> {
        let mut chain = Chain::new(limits, gate, diagnostics);
        Ok(Opened::open(self, &mut chain)?.reader())
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

/// An open image whose format is still known, for what only images of one format can do.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) image: Image,
    pub(crate) format: Format,
    /// Links followed.
    pub(crate) real: PathBuf,
    /// Where it was opened: what it names is looked for from there.
    path: PathBuf,
    identity: Identity,
}

#[derive(Clone)]
pub(crate) enum Image {
    Hxz(Arc<hxz::Archive>),
    Qcow2(Arc<Qcow2>),
    Vhd(Arc<Vhd>),
    Other(Arc<dyn ReadAt>),
}

impl Opened {
    /// Opens what the user named.
    pub(crate) fn open(given: &Given, chain: &mut Chain<'_>) -> Result<Self> {
        let file = RawFile::open(&given.path)?;
        if given.raw {
            chain.check(&given.path)?;
            return Ok(Self::new(
                Image::Other(Arc::new(file)),
                Format::Raw,
                &given.path,
            ));
        }
        let format = Format::of(&file);
        Self::from_file(file, &given.path, format, chain)
    }

    /// Opens the image in `file`, which lies at `path` and is of `format`.
    pub(crate) fn from_file(
        file: RawFile,
        path: &Path,
        format: Format,
        chain: &mut Chain<'_>,
    ) -> Result<Self> {
        chain.check(path)?;
        let image = match format {
            Format::Raw => {
                if let Some(kind) = unread_container(&file) {
                    chain.diagnostics.push(Diagnostic::warning(
                        "image-container",
                        format!(
                            "{} begins like {kind}, which can't be read: taken as raw; convert \
                             it with qemu-img",
                            path.display()
                        ),
                    ));
                }
                if let Some(why) = vhd::unfit(&file) {
                    let why = why.chain();
                    chain.diagnostics.push(Diagnostic::warning(
                        "image-container",
                        format!("{} ends like a VHD: {why}; taken as raw", path.display()),
                    ));
                }
                Image::Other(Arc::new(file))
            }
            Format::Hxz => {
                let (limits, gate) = (chain.limits, chain.gate);
                let archive = hxz::Archive::open(file, path, limits, gate, chain.diagnostics)?;
                Image::Hxz(Arc::new(archive))
            }
            Format::Qcow2 => Image::Qcow2(Arc::new(Qcow2::open(
                file,
                path,
                chain,
                Options::default(),
            )?)),
            Format::Vhd => Image::Vhd(Arc::new(Vhd::open(file, path, chain, None)?)),
            Format::Vmdk | Format::Vhdx => Image::Other(foreign::open(format, file, path, chain)?),
        };
        Ok(Self::new(image, format, path))
    }

    fn new(image: Image, format: Format, path: &Path) -> Self {
        Self {
            image,
            format,
            real: canonical(path),
            path: path.to_owned(),
            identity: Identity::of(path),
        }
    }

    /// Whether both are one file, read in one way, over what is one disk in turn.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        if self.format != other.format || self.identity != other.identity {
            return false;
        }
        match (&self.image, &other.image) {
            (Image::Qcow2(a), Image::Qcow2(b)) => a.stands_on_same(b),
            // What it names depends on where it was opened.
            _ => self.format == Format::Raw || self.path == other.path,
        }
    }

    /// The image, as what reads.
    pub(crate) fn reader(&self) -> Arc<dyn ReadAt> {
        match &self.image {
            Image::Hxz(archive) => Arc::<hxz::Archive>::clone(archive),
            Image::Qcow2(image) => Arc::<Qcow2>::clone(image),
            Image::Vhd(image) => Arc::<Vhd>::clone(image),
            Image::Other(image) => Arc::clone(image),
        }
    }

    /// Fills `out` for an image that stands on this one: what this one does not reach, being
    /// shorter, is zeros there.
    pub(crate) fn read_padded(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let mut rest = out;
        let front = take_front(&mut rest, self.len().saturating_sub(offset));
        if !front.is_empty() {
            self.read_exact_at(offset, front)?;
        }
        rest.fill(0);
        Ok(())
    }

    fn as_dyn(&self) -> &dyn ReadAt {
        match &self.image {
            Image::Hxz(archive) => &**archive,
            Image::Qcow2(image) => &**image,
            Image::Vhd(image) => &**image,
            Image::Other(image) => &**image,
        }
    }
}

impl ReadAt for Opened {
    fn len(&self) -> u64 {
        self.as_dyn().len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.as_dyn().read_exact_at(offset, buf)
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        self.as_dyn().data_in(range)
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.real.display())
    }
}

/// What an image that we take as raw begins like, where that is some container.
fn unread_container(file: &dyn ReadAt) -> Option<&'static str> {
    let start = read(file, "image", 0, usize_of(file.len().min(128))).ok()?;
    let kinds: [(usize, &[u8], &str); 4] = [
        (64, &[0x7F, 0x10, 0xDA, 0xBE], "a VDI"),
        (0, b"QED\0", "a QED image"),
        (0, b"EVF\x09\x0D\x0A\xFF\0", "an EWF (E01) image"),
        (0, b"WithoutFreeSpace", "a Parallels image"),
    ];
    let begins = |at: usize, magic: &[u8]| start.get(at..).is_some_and(|s| s.starts_with(magic));
    let found = kinds.iter().find(|(at, magic, _)| begins(*at, magic));
    found.map(|(.., kind)| *kind)
}

/// The error for a format that this build can't read.
#[cfg_attr(all(feature = "vmdk", feature = "vhdx"), allow(dead_code))]
pub(crate) fn not_built(format: Format, path: &Path) -> Error {
    Error::unsupported(
        "image",
        format!(
            "{} is of format {format}: this build can't read it (feature `{format}`)",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DefaultGate;

    #[test]
    fn a_disk_with_a_bad_first_sector_is_a_raw_disk() {
        let disk =
            hexz_testkit::Faulty::failing(Arc::new(vec![0; 4096]), ByteRange::new(0, 512).into());
        assert_eq!(Format::of(&disk), Format::Raw);
        assert_eq!(unread_container(&disk), None);
    }

    #[test]
    fn a_container_that_is_not_read_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        for (bytes, codes) in [
            (b"QED\0 and more".to_vec(), 1),
            ([vec![0; 64], vec![0x7F, 0x10, 0xDA, 0xBE]].concat(), 1),
            (vec![0; 4096], 0),
            (vec![], 0),
        ] {
            std::fs::write(&path, &bytes).unwrap();
            let found = Diagnostics::new();
            let image = open_image(&path, &Limits::default(), &DefaultGate::new(), &found);
            assert_eq!(ReadAt::len(&*image.unwrap()), ReadAt::len(&bytes));
            assert_eq!(found.take().len(), codes);
        }
    }
}
