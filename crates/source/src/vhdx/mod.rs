//! VHDX images, read-only, without a parent and with nothing left in the log.
//! `docs/formats/qcow2.md` has what is read.

mod layout;

use std::path::Path;

use hexz_ondisk::read;
use hexz_resolve::{
    ByteRange, Error, ErrorKind, RangeSet, ReadAt, ReadError, Result, check_bounds,
};

use crate::file::RawFile;
use crate::holes::{DataIn, Place};
use crate::num::{take_front, u64_of, usize_of};
use layout::{Layout, MIB};

/// Entries that are read at a time.
const ENTRIES: u64 = 8192;

/// An open image: reads as the disk it holds.
pub(crate) struct Vhdx {
    file: RawFile,
    name: String,
    layout: Layout,
}

impl Vhdx {
    /// Opens the image in `file`, which lies at `path`.
    pub(crate) fn open(file: RawFile, path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        match Layout::read(&file) {
            Ok(layout) => Ok(Self { file, name, layout }),
            Err(e) => Err(Error::new(e.kind(), "vhdx image").message(name).source(e)),
        }
    }

    /// Calls `each` with the pieces of `range` in their order.
    fn walk(
        &self,
        range: ByteRange,
        mut each: impl FnMut(ByteRange, Place) -> Result<()>,
    ) -> Result<()> {
        let size = self.layout.block_size;
        let mut at = range.start();
        while at < range.end() {
            let block = at.checked_div(size).unwrap_or(0);
            let last = range.end().div_ceil(size.max(1));
            for (n, entry) in (block..last).zip(self.entries(block, last)?) {
                let start = n.saturating_mul(size);
                let end = start.saturating_add(size).min(range.end());
                let into = at.saturating_sub(start);
                each(ByteRange::new(at, end), place(entry, into))?;
                at = end;
            }
        }
        Ok(())
    }

    /// Some of the entries of the payload blocks from `first` to before `last`; one at least.
    fn entries(&self, first: u64, last: u64) -> Result<Vec<u64>> {
        let ratio = self.layout.chunk_ratio;
        let (chunk, into) = (first.checked_div(ratio), first.checked_rem(ratio));
        // After each chunk is the entry of its sector bitmap.
        let index = first.saturating_add(chunk.unwrap_or(0));
        let in_chunk = ratio.saturating_sub(into.unwrap_or(0));
        let count = last.saturating_sub(first).min(in_chunk).clamp(1, ENTRIES);
        let bytes = read(
            &self.file,
            "vhdx block allocation table",
            self.layout.bat.saturating_add(index.saturating_mul(8)),
            usize_of(count.saturating_mul(8)),
        )?;
        let entries = bytes.as_chunks().0.iter();
        Ok(entries.map(|entry| u64::from_le_bytes(*entry)).collect())
    }

    fn damaged(&self, offset: u64, reason: &str) -> ReadError {
        ReadError::Damaged {
            offset,
            reason: format!("{}: {reason}", self.name),
        }
    }
}

/// Where byte `into` of the payload block with this entry lies.
fn place(entry: u64, into: u64) -> Place {
    match entry & 7 {
        // Not present, undefined, zero, unmapped: there is no parent to hold it.
        0..=3 => Place::Hole,
        6 => Place::At((entry & !(MIB - 1)).saturating_add(into)),
        // Partially present is for children; the others mean nothing.
        _ => Place::Bad(entry),
    }
}

impl ReadAt for Vhdx {
    fn len(&self) -> u64 {
        self.layout.disk_size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len())?;
        let range = ByteRange::new(offset, offset.saturating_add(u64_of(buf.len())));
        let mut rest = buf;
        self.walk(range, |piece, place| {
            let out = take_front(&mut rest, piece.len());
            match place {
                Place::Hole => out.fill(0),
                Place::At(host) => self
                    .file
                    .read_exact_at(host, out)
                    .map_err(|e| Error::io("vhdx block", e))?,
                Place::Packed(entry) | Place::Bad(entry) => {
                    let wrong = Error::corrupt("vhdx block allocation table");
                    return Err(wrong.message("an entry of no known kind").found(entry));
                }
            }
            Ok(())
        })
        .map_err(|e| self.damaged(offset, &e.chain()))
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let Some(range) = range.intersection(&ByteRange::new(0, self.len())) else {
            return RangeSet::new();
        };
        let mut data = DataIn::new(range);
        // What the table doesn't tell may be data.
        let _ = self.walk(range, |piece, place| match data.add(piece, place) {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Limit, "vhdx block allocation table")),
        });
        data.finish()
    }
}
