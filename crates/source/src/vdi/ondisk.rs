//! The header of a VDI; all numbers are little-endian. It is documented by the program that
//! writes it: `VDIHEADER1PLUS` of VirtualBox (src/VBox/Storage/VDICore.h), and qemu's
//! block/vdi.c.

use hexz_ondisk::{Fields, Guid, read};
use hexz_resolve::{Error, ReadAt, Result};

/// `u32Signature`, behind 64 bytes of text.
pub(crate) const MAGIC: [u8; 4] = [0x7F, 0x10, 0xDA, 0xBE];
pub(crate) const MAGIC_AT: usize = 64;

/// Bytes of the header of version 1.1, with the text in front.
const HEADER: usize = 456;
/// Major 1, minor 1: since VirtualBox 1.4 (2007).
const VERSION: u32 = 0x0001_0001;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImageType {
    Dynamic,
    Fixed,
    Differencing,
    /// Undo images, which were never released, and what is not known.
    Other(u32),
}

#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) image_type: ImageType,
    /// Where the block map lies.
    pub(super) off_blocks: u64,
    /// Where the blocks begin.
    pub(super) off_data: u64,
    pub(super) disk_size: u64,
    pub(super) block_size: u64,
    /// Bytes in front of each block in the file.
    pub(super) block_extra: u64,
    /// Entries of the block map.
    pub(super) blocks: u64,
    pub(super) uuid_create: Guid,
    /// `uuidCreate` of the parent of a differencing image.
    pub(super) uuid_link: Guid,
}

impl Header {
    pub(super) fn read(file: &dyn ReadAt) -> Result<Self> {
        let bytes = read(file, "vdi header", 0, HEADER)?;
        let f = Fields::new("vdi header", 0, &bytes);
        let version = f.le32(68)?;
        if version != VERSION {
            let text = format!("version {}.{}", version >> 16, version & 0xFFFF);
            return Err(Error::unsupported("vdi header", text).at(68));
        }
        let header = Self {
            image_type: match f.le32(76)? {
                1 => ImageType::Dynamic,
                2 => ImageType::Fixed,
                4 => ImageType::Differencing,
                other => ImageType::Other(other),
            },
            off_blocks: u64::from(f.le32(340)?),
            off_data: u64::from(f.le32(344)?),
            disk_size: f.le64(368)?,
            block_size: u64::from(f.le32(376)?),
            block_extra: u64::from(f.le32(380)?),
            blocks: u64::from(f.le32(384)?),
            uuid_create: Guid::from_mixed(f.array(392)?),
            uuid_link: Guid::from_mixed(f.array(424)?),
        };
        if !header.block_size.is_power_of_two() || header.block_size < 512 {
            let error = f.corrupt(376).expected("a power of two, 512 or more");
            return Err(error.found(header.block_size));
        }
        let needed = header.disk_size.div_ceil(header.block_size);
        if header.blocks < needed {
            let error = f.corrupt(384).expected(format_args!("{needed} blocks"));
            return Err(error.found(header.blocks));
        }
        Ok(header)
    }
}
