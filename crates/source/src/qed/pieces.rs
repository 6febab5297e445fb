//! From a place on the disk to where its bytes are: tables of two levels, of one size.

use std::ops::ControlFlow;

use hexz_resolve::{ByteRange, Error, ReadAt as _, Result};

use super::ondisk::Header;
use crate::file::RawFile;
use crate::layer::{Layer, Place, Visit, by_block};
use crate::table::Tables;

/// An entry of either level for what was never written.
const UNALLOCATED: u64 = 0;
/// An entry of the second level for a cluster that reads as zeros.
const ZERO: u64 = 1;

/// An open image: the clusters that this file has.
pub(super) struct Qed {
    file: RawFile,
    header: Header,
    tables: Tables,
}

impl Qed {
    pub(super) fn load(file: RawFile, header: Header, cache_bytes: usize) -> Result<Self> {
        let tables = Tables::new("qed table", 8, cache_bytes);
        let entries = header.table_bytes >> 3;
        tables.check(header.l1_table_offset, entries, file.len())?;
        let image = Self {
            file,
            header,
            tables,
        };
        image.check_count()?;
        Ok(image)
    }

    /// Many more tables than fit into the file are one and the same, which would be walked over
    /// and over.
    fn check_count(&self) -> Result<()> {
        let l1 = self.header.l1_table_offset;
        let last = self.header.image_size.div_ceil(self.span().max(1));
        let (mut number, mut used) = (0u64, 0u64);
        while number < last {
            let (count, entry) = self.tables.run(&self.file, l1, number, last)?;
            number = number.saturating_add(count);
            used = used.saturating_add(if entry == UNALLOCATED { 0 } else { count });
        }
        let most = self
            .file
            .len()
            .div_ceil(self.header.table_bytes.max(1))
            .saturating_mul(2);
        if used <= most {
            return Ok(());
        }
        let error = Error::corrupt("qed table").at(l1);
        Err(error
            .expected(format_args!("at most {most} tables in the file"))
            .found(used))
    }

    /// Bytes of the disk that a table of the second level covers.
    fn span(&self) -> u64 {
        self.header.covers(self.header.cluster_size)
    }

    /// Where an entry leads to, when that is the start of a cluster of the file.
    fn cluster(&self, entry: u64) -> Result<u64> {
        let aligned = entry & self.header.cluster_size.saturating_sub(1) == 0;
        if aligned && entry < self.file.len() {
            return Ok(entry);
        }
        let error = Error::corrupt("qed table");
        Err(error.expected("a cluster within the file").found(entry))
    }

    /// The clusters of the table at `table`, which begins with the disk's byte `start`.
    fn clusters(&self, table: u64, number: u64, last: u64) -> (u64, Place) {
        match self.tables.run(&self.file, table, number, last) {
            Err(error) => (1, Place::damaged(error)),
            Ok((count, UNALLOCATED)) => (count, Place::Below),
            Ok((count, ZERO)) => (count, Place::Zero),
            Ok((_, entry)) => match self.cluster(entry) {
                Ok(offset) => (1, Place::At { file: 0, offset }),
                Err(error) => {
                    let at = table.saturating_add(number.saturating_mul(8));
                    (1, Place::damaged(error.at(at)))
                }
            },
        }
    }
}

impl Layer for Qed {
    fn size(&self) -> u64 {
        self.header.image_size
    }

    fn unit(&self) -> u64 {
        self.header.cluster_size
    }

    fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let span = self.span().max(1);
        let l1 = self.header.l1_table_offset;
        let last = range.end().div_ceil(span);
        let mut at = range.start();
        while at < range.end() {
            let number = at.checked_div(span).unwrap_or(0);
            let start = number.saturating_mul(span);
            let end = start.saturating_add(span).min(range.end());
            match self.tables.run(&self.file, l1, number, last) {
                Err(error) => visit(ByteRange::new(at, end), Place::damaged(error))?,
                Ok((count, UNALLOCATED)) => {
                    let end = start.saturating_add(count.saturating_mul(span));
                    let piece = ByteRange::new(at, end.min(range.end()));
                    visit(piece, Place::Below)?;
                    at = piece.end();
                    continue;
                }
                Ok((_, entry)) => match self.cluster(entry) {
                    Err(error) => {
                        let place = Place::damaged(error.at(l1.saturating_add(number << 3)));
                        visit(ByteRange::new(at, end), place)?;
                    }
                    Ok(table) => {
                        let inside =
                            ByteRange::new(at.saturating_sub(start), end.saturating_sub(start));
                        let runs = |number, last| self.clusters(table, number, last);
                        let mut moved = |piece: ByteRange, place| {
                            visit(piece.moved_up(start).unwrap_or(piece), place)
                        };
                        by_block(inside, self.header.cluster_size, runs, &mut moved)?;
                    }
                },
            }
            at = end;
        }
        ControlFlow::Continue(())
    }

    fn file(&self, number: usize) -> Option<&RawFile> {
        (number == 0).then_some(&self.file)
    }
}
