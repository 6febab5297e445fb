//! What lies on the disk, as `docs/adding-a-filesystem.md` specifies it.

use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{ByteRange, Error, FileKey, FileKind, ReadAt, Result};

/// First eight bytes of the volume.
pub(crate) const MAGIC: &[u8] = b"toyfs\r\n\x1a";
/// Bytes of a block.
pub(crate) const BLOCK: u32 = 512;
/// Bytes of an inode.
pub(crate) const INODE: u64 = 64;
/// Bytes of a directory entry.
pub(crate) const ENTRY: usize = 64;
/// Number of the root directory.
pub(crate) const ROOT: u64 = 1;
/// Blocks of the largest directory.
pub(crate) const MAX_DIRECTORY: u32 = 1024;

/// `count` blocks from block `first` on, as bytes of the volume. Numbers of 32 bits cannot leave
/// the 64 bits of an offset.
pub(crate) fn blocks(first: u32, count: u32) -> ByteRange {
    let start = u64::from(first).saturating_mul(u64::from(BLOCK));
    let length = u64::from(count).saturating_mul(u64::from(BLOCK));
    ByteRange::new(start, start.saturating_add(length))
}

/// Block 0.
#[derive(Clone, Debug)]
pub(crate) struct Superblock {
    /// Blocks of the filesystem.
    pub(crate) s_blocks: u32,
    /// Inodes in the table.
    pub(crate) s_inodes: u32,
    /// First block of the bitmap.
    pub(crate) s_bitmap: u32,
    /// First block of the inode table.
    pub(crate) s_table: u32,
    /// When it was made, in seconds from 1970.
    pub(crate) made: u64,
    /// Its name, up to the first NUL.
    pub(crate) label: Vec<u8>,
}

impl Superblock {
    /// Reads and checks block 0.
    pub(crate) fn read(volume: &dyn ReadAt) -> Result<Self> {
        let bytes = read(volume, "superblock", 0, 64)?;
        Self::parse(&Fields::new("superblock", 0, &bytes))
    }

    /// The fields, when they agree with each other.
    pub(crate) fn parse(fields: &Fields<'_>) -> Result<Self> {
        if fields.bytes(0, MAGIC.len())? != MAGIC {
            return Err(fields.corrupt(0).message("no toyfs magic"));
        }
        let version = fields.le32(8)?;
        if version != 1 {
            let text = format!("version {version}");
            return Err(Error::unsupported("superblock", text).at(fields.offset_of(8)));
        }
        let label = fields.bytes(40, 24)?;
        let superblock = Self {
            s_blocks: fields.le32(12)?,
            s_inodes: fields.le32(16)?,
            s_bitmap: fields.le32(20)?,
            s_table: fields.le32(24)?,
            made: fields.le64(32)?,
            label: label.split(|b| *b == 0).next().unwrap_or_default().to_vec(),
        };
        let size = superblock.size();
        for (at, range) in [(20, superblock.bitmap()), (24, superblock.table())] {
            if range.end() > size || range.start() < u64::from(BLOCK) {
                return Err(fields
                    .corrupt(at)
                    .expected(format_args!("blocks within {size} bytes"))
                    .found(format_args!("{range:?}")));
            }
        }
        Ok(superblock)
    }

    /// Bytes of the filesystem.
    pub(crate) fn size(&self) -> u64 {
        blocks(0, self.s_blocks).end()
    }

    /// The bitmap: a bit a block, in whole blocks.
    pub(crate) fn bitmap(&self) -> ByteRange {
        let bits = BLOCK.saturating_mul(8);
        blocks(self.s_bitmap, self.s_blocks.div_ceil(bits))
    }

    /// The inode table, in whole blocks.
    pub(crate) fn table(&self) -> ByteRange {
        let start = blocks(self.s_table, 0).start();
        let length = u64::from(self.s_inodes).saturating_mul(INODE);
        ByteRange::new(start, start.saturating_add(length)).aligned_out(u64::from(BLOCK))
    }

    /// Where the record of inode `number` lies, when there is such an inode.
    pub(crate) fn record(&self, number: u64) -> Option<ByteRange> {
        let index = number.checked_sub(1)?;
        let there = index < u64::from(self.s_inodes);
        let start = self
            .table()
            .start()
            .checked_add(index.checked_mul(INODE)?)?;
        ByteRange::at(start, INODE).filter(|_| there)
    }
}

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub(crate) key: FileKey,
    pub(crate) generation: u64,
    pub(crate) kind: FileKind,
    /// Type and permissions, as Unix has them; 0 for an inode that is not in use.
    pub(crate) i_mode: u16,
    /// Directory entries that name it.
    pub(crate) i_links: u16,
    /// Bytes of its content.
    pub(crate) i_size: u32,
    /// Owner.
    pub(crate) i_uid: u32,
    /// Last change of content, in seconds from 1970.
    pub(crate) i_mtime: u64,
    /// Its blocks, as bytes of the volume.
    pub(crate) extent: ByteRange,
}

impl Inode {
    /// The inode in a record; `None` where it is not in use.
    pub(crate) fn parse(
        superblock: &Superblock,
        number: u64,
        fields: &Fields<'_>,
    ) -> Result<Option<Self>> {
        let i_mode = fields.le16(0)?;
        if i_mode == 0 {
            return Ok(None);
        }
        let kind = FileKind::from_mode(i_mode)
            .filter(|kind| matches!(kind, FileKind::File | FileKind::Directory))
            .ok_or_else(|| fields.corrupt(0).found(format_args!("mode {i_mode:#o}")))?;
        let (i_first, i_count) = (fields.le32(12)?, fields.le32(16)?);
        let extent = blocks(i_first, i_count);
        if extent.end() > superblock.size() || (i_count > 0 && i_first == 0) {
            return Err(fields.corrupt(12).found(format_args!("extent {extent:?}")));
        }
        if kind == FileKind::Directory && i_count > MAX_DIRECTORY {
            return Err(fields.corrupt(16).found(format_args!("{i_count} blocks")));
        }
        Ok(Some(Self {
            key: FileKey::new(number),
            generation: u64::from(fields.le32(4)?),
            kind,
            i_mode,
            i_links: fields.le16(2)?,
            i_size: fields.le32(8)?,
            i_uid: fields.le32(20)?,
            i_mtime: fields.le64(24)?,
            extent,
        }))
    }
}

/// Inodes that are read together: one unit of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slice {
    /// Number of the first.
    pub(crate) first: u64,
    /// Their records.
    pub(crate) range: ByteRange,
}

impl Slice {
    /// The table in slices of at most `unit` bytes, as far as `volume` reaches. So the number of
    /// slices is bounded by what is there, whatever the superblock says.
    pub(crate) fn all(superblock: &Superblock, volume: &dyn ReadAt, unit: usize) -> Vec<Self> {
        let table = superblock.table();
        let end = table.end().min(volume.len());
        let records = u64::try_from(unit).unwrap_or(INODE).max(INODE) / INODE;
        let step = records.saturating_mul(INODE);
        let starts = (0..).map(|n: u64| table.start().saturating_add(n.saturating_mul(step)));
        starts
            .take_while(|start| *start < end)
            .zip((1..).step_by(to_usize(records).unwrap_or(1)))
            .map(|(start, first)| Self {
                first,
                range: ByteRange::new(start, start.saturating_add(step).min(end)),
            })
            .collect()
    }
}
