//! The changed-block index of a hexz overlay: little-endian `u64` block numbers, without header,
//! version or block size. It is an append-only log: not sorted, numbers may come twice. A write
//! that was cut short leaves a torn tail, and what is appended later lands misaligned.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // opens the index

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use hexz_resolve::{
    ByteRange, Diagnostic, Error, ErrorKind, Precision, RangeSet, ReadAt as _, Result,
};

use crate::blockset::{BlockSet, Stop};
use crate::num::u64_of;
use crate::ranges::Ranges;

/// Bytes of one block.
pub const BLOCK_SIZE: u32 = 4096;

const WHAT: &str = "overlay index";
const ENTRY: usize = 8;
const CHUNK: u64 = 1 << 20;
/// Entries that are sorted at a time.
const BATCH: usize = 2 << 20;

/// Where the index of the overlay at `overlay` lies: its extension replaced by `.meta`.
#[must_use]
pub fn meta_path(overlay: &Path) -> PathBuf {
    overlay.with_extension("meta")
}

/// The blocks that an index lists.
#[derive(Clone, Debug)]
pub struct Index {
    /// Whether there was an index at all. Without one, no block was changed.
    pub found: bool,
    blocks: BlockSet,
    /// Entries, each time a block is listed.
    pub entries: u64,
    /// How far the list can be trusted.
    pub precision: Precision,
    /// What was odd about it.
    pub diagnostics: Vec<Diagnostic>,
}

impl Index {
    fn empty(found: bool) -> Self {
        Self {
            found,
            blocks: BlockSet::default(),
            entries: 0,
            precision: Precision::Over,
            diagnostics: Vec::new(),
        }
    }

    /// The set of them.
    pub(crate) fn into_set(self) -> BlockSet {
        self.blocks
    }

    /// Number of distinct blocks listed, wherever they lie.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.blocks.count()
    }

    /// Number of those that lie on a disk of `disk_size` bytes, if only in part.
    pub(crate) fn listed_on(&self, disk_size: u64) -> u64 {
        let past = self.blocks.from(disk_size.div_ceil(u64::from(BLOCK_SIZE)));
        self.count().saturating_sub(u64_of(past.count()))
    }

    /// The distinct block numbers listed, rising.
    pub fn blocks(&self) -> impl Iterator<Item = u64> + '_ {
        self.blocks.iter()
    }

    /// The bytes of the listed blocks that lie on a disk of `disk_size` bytes, the last block cut
    /// at its end. More than `most` ranges are joined with what is between them.
    #[must_use]
    pub fn ranges(&self, disk_size: u64, most: usize) -> RangeSet {
        let unit = u64::from(BLOCK_SIZE);
        let mut ranges = Ranges::new(most);
        let end = disk_size.div_ceil(unit);
        for run in self.blocks.runs().take_while(|run| run.start() < end) {
            // Within the disk, so that neither is past 64 bits by much.
            let end = run.end().saturating_mul(unit).min(disk_size);
            ranges.add(ByteRange::new(run.start().saturating_mul(unit), end));
        }
        ranges.within(ByteRange::new(0, disk_size))
    }

    /// Says which listed blocks lie wholly past the end of a disk of `disk_size` bytes. They stay
    /// in the list of blocks, and are no change of the disk.
    fn check_end(&mut self, disk_size: u64) {
        let end = disk_size.div_ceil(u64::from(BLOCK_SIZE));
        let mut past = self.blocks.from(end);
        if let Some(first) = past.next() {
            let count = u64_of(past.count()).saturating_add(1);
            let more = match count {
                1 => String::new(),
                more => format!(", and {} more", more.saturating_sub(1)),
            };
            self.diagnostics.push(Diagnostic::warning(
                "meta-index-past-end",
                format!(
                    "the index lists block {first}{more} past the end of the disk of {disk_size} \
                     bytes ({end} blocks); listed, but no change of the disk"
                ),
            ));
        }
    }
}

/// Reads the index at `path`. Where the size of the disk is known, blocks past its end are
/// diagnosed. Read in pieces: memory grows with the distinct blocks, not with the file.
///
/// # Errors
/// `Io`, naming the path, when it is there and can't be read.
pub fn read_index(path: &Path, disk_size: Option<u64>) -> Result<Index> {
    read_while(path, disk_size, &|| Ok(()))
}

/// The same, as long as `check` gives no error.
pub(crate) fn read_while(
    path: &Path,
    disk_size: Option<u64>,
    check: &dyn Fn() -> Result<()>,
) -> Result<Index> {
    let name = path.display();
    let failed = |e: io::Error| Error::io(WHAT, e).message(name.to_string());
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Err(failed(io::Error::other("not a regular file"))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Index::empty(false)),
        Err(e) => return Err(failed(e)),
    }
    let file = File::open(path).map_err(failed)?;
    let read = collect(file, &|| check().is_ok());
    let mut index = read.map_err(|unread| match unread {
        Unread::Io(error) => failed(error),
        Unread::Asked => Error::new(ErrorKind::Cancelled, WHAT),
        Unread::TooMany(count) => {
            let text = format!("{name}: {count} distinct blocks, scattered too widely");
            Error::limit(WHAT, text)
        }
    })?;
    if let Some(size) = disk_size {
        index.check_end(size);
    }
    Ok(index)
}

/// Whether the data file of an overlay holds no data: no block of it was ever written.
///
/// # Errors
/// When it can't be asked.
pub fn holds_nothing(overlay: &Path) -> Result<bool> {
    let data = crate::file::RawFile::open(overlay)?;
    Ok(data.data_in(ByteRange::new(0, data.len())).is_empty())
}

/// Why an index can't be read.
#[derive(Debug)]
enum Unread {
    Io(io::Error),
    /// After so many distinct blocks.
    TooMany(u64),
    /// Someone asked to stop.
    Asked,
}

/// Reads an index from a stream.
fn collect(mut from: impl Read, goes_on: &dyn Fn() -> bool) -> Result<Index, Unread> {
    let mut index = Index::empty(true);
    let mut chunk = Vec::new();
    let mut batch = Vec::new();
    loop {
        if !goes_on() {
            return Err(Unread::Asked);
        }
        chunk.clear();
        // `read_to_end` fills the chunk up, so that only the last one can be torn.
        let got = from.by_ref().take(CHUNK).read_to_end(&mut chunk);
        let got = got.map_err(Unread::Io)?;
        let entries = chunk.chunks_exact(ENTRY);
        let torn = entries.remainder().len();
        for entry in entries {
            let block = entry.try_into().map_or(u64::MAX, u64::from_le_bytes);
            index.entries = index.entries.saturating_add(1);
            if batch.last() != Some(&block) {
                batch.push(block);
            }
        }
        let ended = u64_of(got) < CHUNK;
        if ended || batch.len() >= BATCH {
            let added = index.blocks.add(&mut batch, goes_on);
            added.map_err(|stop| match stop {
                Stop::TooMany => Unread::TooMany(index.count()),
                Stop::Asked => Unread::Asked,
            })?;
        }
        if torn > 0 {
            let offset = index.entries.saturating_mul(u64_of(ENTRY));
            index.precision = Precision::MayMiss;
            index.diagnostics.push(
                Diagnostic::warning(
                    "meta-torn-tail",
                    format!(
                        "the index ends in {torn} bytes that are no whole entry: a write was cut \
                         short, and changed blocks may be missing from it"
                    ),
                )
                .at(offset),
            );
        }
        if ended {
            return Ok(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(blocks: &[u64]) -> Vec<u8> {
        blocks.iter().flat_map(|b| b.to_le_bytes()).collect()
    }

    #[test]
    fn unsorted_and_double_entries_count_once() {
        let index = collect(&log(&[9, 2, 3, 9, 2, 1_000_000])[..], &|| true).unwrap();
        assert_eq!(index.blocks().collect::<Vec<_>>(), [2, 3, 9, 1_000_000]);
        assert_eq!((index.count(), index.entries), (4, 6));
        assert_eq!(index.precision, Precision::Over);
        let bytes = index.ranges(10 * 4096 - 100, 100);
        let expected = [(2 * 4096, 4 * 4096), (9 * 4096, 10 * 4096 - 100)];
        let expected = expected.map(|(s, e)| ByteRange::new(s, e));
        assert_eq!(bytes.as_slice(), expected);
    }

    #[test]
    fn a_torn_tail_is_said_and_the_rest_is_kept() {
        let mut bytes = log(&[5, 6]);
        bytes.extend([1, 2, 3]);
        let index = collect(&bytes[..], &|| true).unwrap();
        assert_eq!(index.blocks().collect::<Vec<_>>(), [5, 6]);
        assert_eq!(index.precision, Precision::MayMiss);
        assert_eq!(index.diagnostics[0].code, "meta-torn-tail");
        assert_eq!(index.diagnostics[0].offset, Some(16));
        let only_torn = collect(&[1u8, 2][..], &|| true).unwrap();
        assert_eq!(only_torn.count(), 0);
        assert_eq!(only_torn.precision, Precision::MayMiss);
    }

    #[test]
    fn blocks_past_the_end_are_listed_and_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.meta");
        let listed = [1, 10, 11, u64::MAX - 1, u64::MAX, u64::MAX / 4096];
        std::fs::write(&path, log(&listed)).unwrap();
        let index = read_index(&path, Some(10 * 4096 + 1)).unwrap();
        assert_eq!(index.count(), 6);
        assert_eq!(index.blocks().last(), Some(u64::MAX));
        let bytes = index.ranges(10 * 4096 + 1, 100);
        assert_eq!(bytes.len(), 4096 + 1, "block 10 has one byte on the disk");
        let [finding] = &index.diagnostics[..] else {
            panic!("{:?}", index.diagnostics)
        };
        assert_eq!(finding.code, "meta-index-past-end");
        assert!(finding.message.contains("block 11, and 3 more"));
        assert!(read_index(&path, None).unwrap().diagnostics.is_empty());
    }

    #[test]
    fn only_the_last_number_there_is() {
        let mut index = collect(&log(&[u64::MAX])[..], &|| true).unwrap();
        index.check_end(4096);
        assert_eq!(index.count(), 1);
        assert!(
            index.diagnostics[0]
                .message
                .contains("18446744073709551615 past")
        );
        assert!(index.ranges(u64::MAX, 100).is_empty());
    }

    #[test]
    fn no_index_is_no_change_and_a_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let index = read_index(&dir.path().join("none.meta"), None).unwrap();
        assert!(!index.found);
        assert_eq!(index.count(), 0);
        assert!(read_index(dir.path(), None).is_err());
    }

    #[test]
    fn a_long_log_of_few_blocks_stays_small() {
        // 64 MiB of log, five blocks: what is kept is one run.
        let one = log(&[3, 1, 2, 5, 4]);
        let log = one.repeat((64 << 20) / one.len());
        let index = collect(&log[..], &|| true).unwrap();
        assert_eq!(index.count(), 5);
        assert_eq!(index.blocks.runs().count(), 1);
    }

    #[test]
    fn reading_ends_when_that_is_asked() {
        let log = log(&(0..1 << 20).rev().collect::<Vec<_>>());
        let left = std::cell::Cell::new(3);
        let goes_on = || left.replace(left.get().max(1) - 1) > 0;
        assert!(matches!(collect(&log[..], &goes_on), Err(Unread::Asked)));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.meta");
        std::fs::write(&path, &log).unwrap();
        let no = || Err(Error::new(ErrorKind::Cancelled, "run"));
        let error = read_while(&path, None, &no).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }

    #[test]
    fn the_index_lies_beside_its_overlay() {
        let path = |p: &str| meta_path(Path::new(p));
        assert_eq!(path("a/vm-state.overlay"), Path::new("a/vm-state.meta"));
        assert_eq!(path("plain"), Path::new("plain.meta"));
        assert_eq!(path("x.y.z"), Path::new("x.y.meta"));
    }
}
