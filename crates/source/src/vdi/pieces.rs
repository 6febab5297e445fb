//! From a place on the disk to where its bytes are: the block map.

use std::ops::ControlFlow;

use hexz_resolve::{ByteRange, Error, ReadAt as _, Result};

use super::ondisk::Header;
use crate::file::RawFile;
use crate::layer::{ImageId, Layer, Place, Visit, by_block};
use crate::table::Tables;

/// The entry of a block that was never written.
const FREE: u64 = 0xFFFF_FFFF;
/// The entry of a block that was discarded.
const ZERO: u64 = 0xFFFF_FFFE;

/// An open image: the blocks that this file has.
pub(super) struct Vdi {
    file: RawFile,
    header: Header,
    map: Tables,
}

impl Vdi {
    pub(super) fn load(file: RawFile, header: Header, cache_bytes: usize) -> Result<Self> {
        let map = Tables::new("vdi block map", 4, cache_bytes);
        let blocks = header.disk_size.div_ceil(header.block_size);
        map.check(header.off_blocks, blocks, file.len())?;
        Ok(Self { file, header, map })
    }

    /// How many blocks from `number` on have the place of the first.
    fn blocks(&self, number: u64, last: u64) -> (u64, Place) {
        let at = self.header.off_blocks;
        match self.map.run(&self.file, at, number, last) {
            Err(error) => (1, Place::damaged(error)),
            Ok((count, FREE)) => (count, Place::Below),
            Ok((count, ZERO)) => (count, Place::Zero),
            Ok((_, entry)) => (1, self.block(number, entry)),
        }
    }

    fn block(&self, number: u64, entry: u64) -> Place {
        let header = &self.header;
        let each = header.block_size.saturating_add(header.block_extra);
        let start = entry
            .checked_mul(each)
            .and_then(|at| at.checked_add(header.off_data))
            .and_then(|at| at.checked_add(header.block_extra));
        // The last block may be cut at the end of the disk.
        match start.filter(|start| *start < self.file.len()) {
            Some(offset) => Place::At { file: 0, offset },
            None => {
                let at = header.off_blocks.saturating_add(number.saturating_mul(4));
                let error = Error::corrupt("vdi block map").at(at);
                Place::damaged(error.expected("a block within the file").found(entry))
            }
        }
    }
}

impl Layer for Vdi {
    fn size(&self) -> u64 {
        self.header.disk_size
    }

    fn unit(&self) -> u64 {
        self.header.block_size
    }

    fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let runs = |number, last| self.blocks(number, last);
        by_block(range, self.header.block_size, runs, visit)
    }

    fn file(&self, number: usize) -> Option<&RawFile> {
        (number == 0).then_some(&self.file)
    }

    fn id(&self) -> Option<ImageId> {
        Some(ImageId(self.header.uuid_create.to_string()))
    }
}
