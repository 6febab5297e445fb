//! Archives of hexz (`.hxz`): a disk in compressed blocks, of fixed or variable length, behind a
//! two-level index; blocks that a parent archive holds are left out. `docs/formats/hxz.md` has
//! the layouts.

mod compare;
mod decode;
mod header;
mod index;
mod notes;
mod open;
mod over_parent;
mod parents;

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use hexz_ondisk::read;
use hexz_resolve::{ByteRange, Error, ReadAt as _, Result};

use crate::cache::Cache;
use crate::file::RawFile;
use crate::layer::{Layer, Packed, Place, Visit};
use crate::num::{take_front, u64_of, usize_of};
use decode::Decoder;
use index::{Block, HashIndex, Kind, Page, PageEntry};
use notes::Notes;

pub(crate) use compare::{candidates, differing};
pub(crate) use header::Header;
pub use header::MAGIC;
pub(crate) use over_parent::OverParent;

/// Which of the two streams of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// The disk, or the files of a directory.
    Main,
    /// The memory of a machine, or the file of that name in a directory.
    Memory,
}

/// Reads the header of the archive in `file`, which lies at `path`.
pub(crate) fn read_header(file: &RawFile, path: &Path) -> Result<Header> {
    let length = usize_of(file.len()).min(header::HEADER_SIZE);
    let header = read(file, "hxz header", 0, length);
    header
        .and_then(|bytes| header::parse(&bytes, file.len()))
        .map_err(|e| {
            let name = path.display().to_string();
            Error::new(e.kind(), "archive").message(name).source(e)
        })
}

/// An open archive: reads as the disk it holds.
pub struct Archive {
    file: RawFile,
    /// Where it was opened, for messages.
    name: String,
    pages: Vec<PageEntry>,
    size: u64,
    decoder: Decoder,
    parents: Vec<Arc<Archive>>,
    /// All ancestors, each once, nearest first.
    lineage: Vec<Arc<Archive>>,
    /// Whether blocks of a parent are found by their hash alone (layout D).
    by_hash_only: bool,
    /// Tells this archive's entries in the caches from those of its parents.
    number: u64,
    block_cache: Arc<Cache<[u8]>>,
    page_cache: Arc<Cache<Page>>,
    notes: Notes,
    hashes: OnceLock<std::result::Result<HashIndex, String>>,
}

impl Archive {
    /// Bytes of the stream.
    pub(crate) const fn length(&self) -> u64 {
        self.size
    }

    /// Checks that the index reaches to the end of the disk, or a parent does.
    fn check_size(&self) -> Result<()> {
        let end = match self.pages.len().checked_sub(1) {
            Some(last) => self.page(last)?.end(),
            None => 0,
        };
        if end >= self.size || self.parents.iter().any(|parent| parent.size >= self.size) {
            return Ok(());
        }
        Err(Error::corrupt("hxz index")
            .expected(format_args!("blocks up to {}", self.size))
            .found(end))
    }

    /// A key of the caches that no other archive of the family uses: the place in the file, and
    /// the archive's number above it.
    fn key(&self, offset: u64) -> u64 {
        offset ^ self.number.rotate_right(8)
    }

    /// Page `at`, loaded and checked.
    fn page(&self, at: usize) -> Result<Arc<Page>> {
        let entry = self
            .pages
            .get(at)
            .ok_or_else(|| Error::corrupt("hxz index"))?;
        let key = self.key(entry.offset);
        if let Some(page) = self.page_cache.get(key) {
            // Two entries may name one page, and its blocks then lie elsewhere.
            if page
                .blocks
                .first()
                .is_some_and(|b| b.range.start() == entry.start)
            {
                return Ok(page);
            }
        }
        let next = self.pages.get(at.saturating_add(1)).map(|next| next.start);
        let page = index::read_page(&self.file, entry, next)?;
        self.page_cache
            .insert(key, Arc::clone(&page), page.weight());
        Ok(page)
    }

    /// The part of the disk that page `number` describes.
    fn page_range(&self, number: usize) -> ByteRange {
        let start = |number: usize| self.pages.get(number).map(|page| page.start);
        let end = start(number.saturating_add(1)).unwrap_or(self.size);
        ByteRange::new(start(number).unwrap_or(self.size), end)
    }

    /// The page that describes byte `at` of the disk.
    fn page_of(&self, at: u64) -> Option<usize> {
        self.pages
            .partition_point(|page| page.start <= at)
            .checked_sub(1)
    }

    /// The block that holds byte `at` of the disk; `None` where the index has none.
    fn block_of(&self, at: u64) -> Result<Option<Block>> {
        let Some(number) = self.page_of(at) else {
            return Ok(None);
        };
        let page = self.page(number)?;
        let from = page.blocks.partition_point(|block| block.range.end() <= at);
        Ok(page
            .blocks
            .get(from)
            .filter(|block| block.range.contains(at))
            .copied())
    }

    /// Fills `out` with `piece` of the disk, which lies in `block`.
    fn read_piece(&self, block: Option<&Block>, piece: ByteRange, out: &mut [u8]) -> Result<()> {
        match block.map(|block| (block, block.kind)) {
            Some((_, Kind::Sparse)) => out.fill(0),
            Some((block, Kind::Stored { offset, .. })) => {
                self.read_stored(block, offset, piece, out)?;
            }
            Some((block, Kind::Parent)) => self.read_from_parent(Some(block), piece, out)?,
            None => self.read_from_parent(None, piece, out)?,
        }
        Ok(())
    }

    /// Fills `out` with the disk's bytes from `offset` on, for an archive that this one is a parent
    /// of.
    pub(crate) fn read_range(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let range = ByteRange::at(offset, u64_of(out.len())).unwrap_or_default();
        let mut rest = out;
        let mut outcome = Ok(());
        let _ = self.pieces(range, &mut |piece, place| {
            let out = take_front(&mut rest, piece.len());
            outcome = match place {
                Place::Zero => {
                    out.fill(0);
                    Ok(())
                }
                Place::Damaged(error) => {
                    Err(Error::corrupt("parent archive").message(error.chain()))
                }
                _ => self
                    .block_of(piece.start())
                    .and_then(|block| self.read_piece(block.as_ref(), piece, out)),
            };
            match outcome {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        outcome.map_err(|error| self.named(error))
    }

    /// An error of this archive, for who reads it as a parent.
    fn named(&self, error: Error) -> Error {
        Error::new(error.kind(), "parent archive")
            .message(self.name.clone())
            .source(error)
    }

    fn read_stored(
        &self,
        block: &Block,
        offset: u64,
        piece: ByteRange,
        out: &mut [u8],
    ) -> Result<()> {
        let key = self.key(offset);
        let length = usize_of(block.range.len());
        let skip = usize_of(piece.start().saturating_sub(block.range.start()));
        if self.notes.zeros(block, offset)? {
            out.fill(0);
            return Ok(());
        }
        let from = |bytes: &[u8], out: &mut [u8]| {
            let end = skip.checked_add(out.len());
            let bytes = end.and_then(|end| bytes.get(skip..end));
            let bytes = bytes.ok_or_else(|| Error::corrupt("hxz block").at(offset))?;
            out.copy_from_slice(bytes);
            Ok(())
        };
        if let Some(bytes) = self
            .block_cache
            .get(key)
            .filter(|b| <[u8]>::len(b) == length)
        {
            return from(&bytes, out);
        }
        if !self.decoder.plausible(block) {
            return Err(Error::corrupt("hxz block")
                .at(offset)
                .message(format!("too short to hold {length} bytes")));
        }
        // A long read in order takes whole blocks: they go where they are wanted, and leave the
        // cache to those that are read piece by piece.
        if out.len() == length {
            let outcome = self.decoder.decode(&self.file, block, out);
            self.notes.keep(block, offset, out, &outcome);
            return outcome;
        }
        let mut bytes = vec![0; length];
        let outcome = self.decoder.decode(&self.file, block, &mut bytes);
        self.notes.keep(block, offset, &bytes, &outcome);
        outcome?;
        from(&bytes, out)?;
        self.block_cache.insert(key, Arc::from(bytes), length);
        Ok(())
    }
}

impl Layer for Archive {
    fn size(&self) -> u64 {
        self.size
    }

    fn unit(&self) -> u64 {
        512
    }

    /// What a parent holds is told like what is stored: which of them has it is known only when it
    /// is read.
    fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let held = |piece: ByteRange| Place::Packed {
            file: 0,
            offset: piece.start(),
            length: 0,
        };
        let mut at = range.start();
        let first = self.page_of(at).unwrap_or(0);
        for number in first..self.pages.len() {
            let Some(part) = self
                .page_range(number)
                .intersection(&ByteRange::new(at, range.end()))
            else {
                break;
            };
            let page = match self.page(number) {
                Ok(page) => page,
                Err(error) => {
                    visit(part, Place::damaged(error))?;
                    at = part.end();
                    continue;
                }
            };
            let from = page.blocks.partition_point(|block| block.range.end() <= at);
            for block in page.blocks.iter().skip(from) {
                let Some(piece) = block.range.intersection(&ByteRange::new(at, range.end())) else {
                    break;
                };
                match block.kind {
                    Kind::Sparse => visit(piece, Place::Zero)?,
                    _ => visit(piece, held(piece))?,
                }
                at = piece.end();
            }
        }
        let rest = ByteRange::new(at, range.end());
        match rest.is_empty() {
            true => ControlFlow::Continue(()),
            false => visit(rest, held(rest)),
        }
    }

    fn file(&self, _: usize) -> Option<&RawFile> {
        None
    }

    fn read_packed(&self, _: Packed, piece: ByteRange, out: &mut [u8]) -> Result<()> {
        let block = self.block_of(piece.start())?;
        self.read_piece(block.as_ref(), piece, out)
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("name", &self.name)
            .field("size", &self.size)
            .field("parents", &self.parents)
            .finish_non_exhaustive()
    }
}
