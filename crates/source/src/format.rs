//! What a file is, by its content.

use std::fmt;
use std::path::Path;

use hexz_ondisk::read;
use hexz_resolve::{ReadAt, Result};

use crate::file::RawFile;
use crate::num::usize_of;
use crate::{hxz, parallels, qcow2, qed, vdi, vhd};

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
    /// An image of VMware.
    Vmdk,
    /// An image of Hyper-V.
    Vhdx,
    /// An image of VirtualBox: dynamic, fixed or differencing.
    Vdi,
    /// An image of Parallels ("expanding").
    Parallels,
    /// An image of qemu, for some releases.
    Qed,
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
            Self::Vdi => "vdi",
            Self::Parallels => "parallels",
            Self::Qed => "qed",
        }
    }

    /// What errors call an image of it.
    pub(crate) const fn structure(self) -> &'static str {
        match self {
            Self::Raw => "image",
            Self::Hxz => "archive",
            Self::Qcow2 => "qcow2 image",
            Self::Vhd => "vhd image",
            Self::Vmdk => "vmdk image",
            Self::Vhdx => "vhdx image",
            Self::Vdi => "vdi image",
            Self::Parallels => "parallels image",
            Self::Qed => "qed image",
        }
    }

    /// The format that qemu calls `name`.
    pub(crate) fn named_by_qemu(name: &str) -> Option<Self> {
        Some(match name {
            "raw" | "file" | "host_device" => Self::Raw,
            "qcow2" => Self::Qcow2,
            "vmdk" => Self::Vmdk,
            "vhdx" => Self::Vhdx,
            "vpc" => Self::Vhd,
            "vdi" => Self::Vdi,
            "parallels" => Self::Parallels,
            "qed" => Self::Qed,
            _ => return None,
        })
    }

    pub(crate) fn of(file: &dyn ReadAt) -> Self {
        // A disk whose first sector is bad is a disk: who needs that sector says that it is.
        let start = read(file, "image", 0, usize_of(file.len().min(128))).unwrap_or_default();
        let begins = |magic: &[u8]| start.starts_with(magic);
        if begins(hxz::MAGIC) {
            Self::Hxz
        } else if begins(&qcow2::MAGIC) {
            Self::Qcow2
        } else if begins(b"vhdxfile") {
            Self::Vhdx
        } else if begins(b"KDMV") || begins(b"COWD") || begins(b"# Disk DescriptorFile") {
            Self::Vmdk
        } else if start
            .get(vdi::MAGIC_AT..)
            .is_some_and(|at| at.starts_with(&vdi::MAGIC))
        {
            Self::Vdi
        } else if parallels::MAGICS.iter().any(|magic| begins(magic)) {
            Self::Parallels
        } else if begins(&qed::MAGIC) {
            Self::Qed
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

/// What a file is that is no image of a disk, and what to do.
pub(crate) fn no_image(file: &dyn ReadAt) -> Option<&'static str> {
    if file.is_empty() {
        return Some("is empty (0 bytes)");
    }
    let start = read(file, "image", 0, usize_of(file.len().min(512))).ok()?;
    let kinds: [(&[u8], &str); 6] = [
        (
            b"\x1F\x8B\x08",
            "is compressed with gzip: decompress it first, with `gzip -d`",
        ),
        (
            b"\x28\xB5\x2F\xFD",
            "is compressed with zstd: decompress it first, with `zstd -d`",
        ),
        (
            b"\xFD7zXZ\0",
            "is compressed with xz: decompress it first, with `xz -d`",
        ),
        (
            b"BZh",
            "is compressed with bzip2: decompress it first, with `bzip2 -d`",
        ),
        (
            b"EVF\x09\x0D\x0A\xFF\0",
            "is an EWF (E01) image: convert it to raw first, with `ewfexport`",
        ),
        (b"PK\x03\x04", "is a zip archive: unpack it first"),
    ];
    let found = kinds.iter().find(|(magic, _)| start.starts_with(magic));
    let found = found.map(|(_, text)| *text);
    // A disk is of whole sectors, whatever it begins with.
    let text = || is_text(&start) && !file.len().is_multiple_of(512);
    found.or_else(|| text().then_some("is a text, and no image of a disk"))
}

/// Whether a file that begins like this is one of lines of text. A disk begins with boot code, a
/// table or zeros.
fn is_text(start: &[u8]) -> bool {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character may be cut at the end.
        Err(error) if error.error_len().is_none() => {
            let whole = start.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    text.contains('\n') && text.chars().all(plain)
}

/// Whether a raw disk is one that LUKS encrypts as a whole.
pub(crate) fn is_luks(file: &dyn ReadAt) -> bool {
    read(file, "image", 0, 6).is_ok_and(|start| start == *b"LUKS\xBA\xBE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexz_resolve::ByteRange;
    use std::sync::Arc;

    #[test]
    fn a_disk_with_a_bad_first_sector_is_a_raw_disk() {
        let disk =
            hexz_testkit::Faulty::failing(Arc::new(vec![0; 4096]), ByteRange::new(0, 512).into());
        assert_eq!(Format::of(&disk), Format::Raw);
        assert_eq!(no_image(&disk), None);
    }

    #[test]
    fn what_is_no_image_is_known() {
        for (bytes, says) in [
            (b"".to_vec(), "0 bytes"),
            (b"\x1F\x8B\x08\0\0".to_vec(), "gzip"),
            (b"one\ntwo\n".to_vec(), "a text"),
            ("é\n".repeat(301).into_bytes(), "a text"),
        ] {
            assert!(
                no_image(&bytes).is_some_and(|text| text.contains(says)),
                "{says}"
            );
        }
        for bytes in [
            vec![0; 512],
            vec![b'\n'; 3],
            vec![b'\n'; 512],
            b"abc".to_vec(),
        ] {
            assert_eq!(
                no_image(&bytes).is_some(),
                bytes == vec![b'\n'; 3],
                "{bytes:?}"
            );
        }
    }
}
