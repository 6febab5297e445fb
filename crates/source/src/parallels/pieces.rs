//! From a place on the disk to where its bytes are: the block allocation table.

use std::ops::ControlFlow;

use hexz_resolve::{ByteRange, Error, ReadAt as _, Result};

use super::ondisk::{HEADER, Header, SECTOR};
use crate::file::RawFile;
use crate::layer::{Layer, Place, Visit, by_block};
use crate::num::u64_of;
use crate::table::Tables;

/// An open image: the clusters that this file has.
pub(super) struct Parallels {
    file: RawFile,
    header: Header,
    table: Tables,
}

impl Parallels {
    pub(super) fn load(file: RawFile, header: Header, cache_bytes: usize) -> Result<Self> {
        let table = Tables::new("parallels block allocation table", 4, cache_bytes);
        let clusters = header.disk_size.div_ceil(header.cluster);
        table.check(u64_of(HEADER), clusters, file.len())?;
        Ok(Self {
            file,
            header,
            table,
        })
    }

    fn clusters(&self, number: u64, last: u64) -> (u64, Place) {
        let at = u64_of(HEADER);
        match self.table.run(&self.file, at, number, last) {
            Err(error) => (1, Place::damaged(error)),
            Ok((count, 0)) => (count, Place::Below),
            Ok((_, entry)) => {
                let start = entry.checked_mul(self.header.entry_unit);
                let within = start.filter(|start| *start < self.file.len());
                let place = within.map(|offset| Place::At { file: 0, offset });
                let outside = || {
                    let at = at.saturating_add(number.saturating_mul(4));
                    let error = Error::corrupt("parallels block allocation table").at(at);
                    Place::damaged(error.expected("a cluster within the file").found(entry))
                };
                (1, place.unwrap_or_else(outside))
            }
        }
    }
}

impl Layer for Parallels {
    fn size(&self) -> u64 {
        self.header.disk_size
    }

    fn unit(&self) -> u64 {
        match self.header.cluster.is_power_of_two() {
            true => self.header.cluster,
            false => SECTOR,
        }
    }

    fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let runs = |number, last| self.clusters(number, last);
        by_block(range, self.header.cluster, runs, visit)
    }

    fn file(&self, number: usize) -> Option<&RawFile> {
        (number == 0).then_some(&self.file)
    }
}
