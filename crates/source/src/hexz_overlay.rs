//! The change source of a hexz overlay: a sparse data file, in which block N lies at byte
//! N × 4096, beside an index of the blocks that were written.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use hexz_resolve::{
    ByteRange, ChangeSet, ChangeSource, Diagnostic, Diagnostics, Limits, Loaded, OpenGate,
    Precision, RangeSet, ReadAt, ReadError, Result, check_bounds,
};

use crate::blockset::BlockSet;
use crate::file::RawFile;
use crate::meta::{BLOCK_SIZE, Index, meta_path, read_while};
use crate::num::{take_front, u64_of};
use crate::open::Given;

/// A hexz overlay, and the image it lies over where that is known. Without a base, the loaded
/// change set has no view of the disk, and its size is that of the data file.
#[derive(Clone, Debug)]
pub struct HexzOverlay {
    /// The data file; its index lies beside it (see [`meta_path`]).
    pub overlay: PathBuf,
    /// The disk before.
    pub base: Option<Given>,
}

impl ChangeSource for HexzOverlay {
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        let found = Diagnostics::new();
        let base = match &self.base {
            Some(base) => Some(base.open_disk(limits, gate, &found)?),
            None => None,
        };
        let loaded = self.load_over(base, limits, gate, &found)?;
        Ok(Loaded {
            base_name: self
                .base
                .as_ref()
                .map(|base| base.path.display().to_string()),
            ..loaded
        })
    }
}

impl HexzOverlay {
    /// Says when blocks were in so many pieces that what lies between some counts as changed too.
    /// Gives whether that is so.
    fn say_joined(
        &self,
        index: &Index,
        ranges: &RangeSet,
        disk_size: u64,
        found: &Diagnostics,
    ) -> bool {
        let unit = u64::from(BLOCK_SIZE);
        let listed = index.listed_on(disk_size);
        let between = ranges.units(unit).saturating_sub(listed);
        if between > 0 {
            let text = format!(
                "{}: the {listed} blocks that changed lie in so many pieces that {between} between \
                 them are looked at too, and count as listed",
                meta_path(&self.overlay).display()
            );
            found.push(Diagnostic::info("meta-joined", text));
        }
        between > 0
    }

    /// [`load`](ChangeSource::load) over a base that is open, whatever [`base`](Self::base) says.
    /// `found` has what was found when it was opened, which goes into the change set.
    ///
    /// # Errors
    /// When the data file or its index can't be read.
    pub fn load_over(
        &self,
        base: Option<Arc<dyn ReadAt>>,
        limits: &Limits,
        gate: &dyn OpenGate,
        found: &Diagnostics,
    ) -> Result<Loaded> {
        let data = RawFile::open(&self.overlay)?;
        let disk_size = data.len().max(base.as_ref().map_or(0, ReadAt::len));
        let path = meta_path(&self.overlay);
        let mut index = read_while(&path, Some(disk_size), &|| gate.check())?;
        if !index.found {
            let whole = ByteRange::new(0, data.len());
            found.push(if data.data_in(whole).is_empty() {
                let text = format!("{} is not there: no block was changed", path.display());
                Diagnostic::info("meta-missing", text)
            } else {
                index.precision = Precision::MayMiss;
                let text = format!(
                    "{} is not there, and the overlay holds data: which blocks changed is not known",
                    path.display()
                );
                Diagnostic::warning("meta-missing", text)
            });
        }
        for finding in index.diagnostics.drain(..) {
            found.push(finding);
        }
        let ranges = index.ranges(disk_size, limits.ranges);
        let short = ranges.clipped(ByteRange::new(data.len(), disk_size));
        if let Some(first) = short.iter().next() {
            found.push(
                Diagnostic::error(
                    "overlay-short",
                    format!(
                        "the overlay ends at byte {}, and {} bytes of blocks that its index lists \
                         lie behind: what was written there is lost",
                        data.len(),
                        short.len()
                    ),
                )
                .at(first.start()),
            );
        }
        let between = self.say_joined(&index, &ranges, disk_size, found);
        let precision = index.precision;
        let merged = base.as_ref().map(|base| {
            let reader = OverlayReader::new(Arc::clone(base), Arc::new(data), ranges.clone());
            let reader: Arc<dyn ReadAt> = Arc::new(match between {
                false => reader,
                true => reader.of_blocks(index.into_set()),
            });
            reader
        });
        Ok(Loaded {
            changes: ChangeSet {
                ranges,
                block_size: BLOCK_SIZE,
                candidates: false,
                precision,
                diagnostics: found.take(),
            },
            base,
            merged,
            overlay_name: Some(self.overlay.display().to_string()),
            base_name: None,
        })
    }
}

/// The disk after: the overlay where it was written and where the disk grew, else the base.
pub struct OverlayReader {
    base: Arc<dyn ReadAt>,
    overlay: Arc<dyn ReadAt>,
    /// What is read from the overlay.
    written: RangeSet,
    /// Where that holds more, since it was in too many pieces: the blocks that were written.
    blocks: Option<BlockSet>,
    len: u64,
}

impl OverlayReader {
    /// `overlay` over `base` in the ranges that were `written`. What lies behind the end of the
    /// base is read from the overlay: there the disk grew, and holes of the data file are zeros
    /// that the guest saw.
    #[must_use]
    pub fn new(base: Arc<dyn ReadAt>, overlay: Arc<dyn ReadAt>, written: RangeSet) -> Self {
        let len = base.len().max(overlay.len());
        let grown = RangeSet::from(ByteRange::new(base.len(), len));
        Self {
            written: written.clipped(ByteRange::new(0, len)).union(&grown),
            blocks: None,
            base,
            overlay,
            len,
        }
    }

    /// The same, where what was written holds more than `blocks`, which is read from the overlay.
    fn of_blocks(self, blocks: BlockSet) -> Self {
        Self {
            blocks: Some(blocks),
            ..self
        }
    }

    /// What of `range` is read from the overlay, rising.
    fn written_in(&self, range: ByteRange) -> RangeSet {
        let coarse = self.written.clipped(range);
        let Some(blocks) = &self.blocks else {
            return coarse;
        };
        let unit = u64::from(BLOCK_SIZE);
        let first = range.start().checked_div(unit).unwrap_or(0);
        let numbers = ByteRange::new(first, range.end().div_ceil(unit));
        let bytes = |run: ByteRange| {
            let end = run.end().saturating_mul(unit);
            ByteRange::new(run.start().saturating_mul(unit), end)
        };
        let exact: RangeSet = blocks.runs_within(numbers).map(bytes).collect();
        let grown = coarse.clipped(ByteRange::new(self.base.len(), self.len));
        exact.clipped(range).union(&grown)
    }
}

impl fmt::Debug for OverlayReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverlayReader")
            .field("len", &self.len)
            .field("written", &self.written.len())
            .finish_non_exhaustive()
    }
}

impl ReadAt for OverlayReader {
    fn len(&self) -> u64 {
        self.len
    }

    fn sector_size(&self) -> Option<u64> {
        self.base.sector_size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len)?;
        let end = offset.saturating_add(u64_of(buf.len()));
        let mut rest = buf;
        let mut at = offset;
        for piece in &self.written_in(ByteRange::new(offset, end)) {
            let before = take_front(&mut rest, piece.start().saturating_sub(at));
            read_some(&*self.base, at, before)?;
            read_some(
                &*self.overlay,
                piece.start(),
                take_front(&mut rest, piece.len()),
            )?;
            at = piece.end();
        }
        read_some(&*self.base, at, rest)
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        // Each file is asked once: there may be very many pieces, and of a short one it is not
        // looked up whether it is a hole.
        let range = RangeSet::from(range).clipped(ByteRange::new(0, self.len));
        let Some(window) = range.bounds() else {
            return range;
        };
        let written = self.written.clipped(window);
        // What the data file lacks is unknown, and so may be anything.
        let lost = written.clipped(ByteRange::new(self.overlay.len(), u64::MAX));
        let data = match written.is_empty() {
            true => RangeSet::new(),
            false => self.overlay.data_in(window).intersection(&written),
        };
        let below = range.difference(&written);
        let base = match &self.blocks {
            // What lies between the blocks is read from the base.
            Some(_) => self.base.data_in(window),
            None if below.is_empty() => below,
            None => self.base.data_in(window).intersection(&below),
        };
        data.union(&lost).union(&base)
    }
}

/// Reads, unless there is nothing to read.
fn read_some(from: &dyn ReadAt, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
    if buf.is_empty() {
        return Ok(());
    }
    from.read_exact_at(offset, buf)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // They make files.

    use super::*;
    use crate::DefaultGate;
    use hexz_resolve::{Precision, read_vec};
    use std::fs::write;

    const BLOCK: usize = BLOCK_SIZE as usize;

    fn loaded(base: &[u8], overlay: &[u8], blocks: &[u64]) -> Loaded {
        let dir = tempfile::tempdir().unwrap();
        let log: Vec<u8> = blocks.iter().flat_map(|b| b.to_le_bytes()).collect();
        write(dir.path().join("base.img"), base).unwrap();
        write(dir.path().join("vm.overlay"), overlay).unwrap();
        write(dir.path().join("vm.meta"), log).unwrap();
        HexzOverlay {
            overlay: dir.path().join("vm.overlay"),
            base: Some(dir.path().join("base.img").into()),
        }
        .load(&Limits::default(), &DefaultGate::new())
        .unwrap()
    }

    #[test]
    fn listed_blocks_come_from_the_overlay_and_all_else_from_the_base() {
        let base = vec![1; 5 * BLOCK];
        let mut overlay = vec![0; 4 * BLOCK];
        overlay[BLOCK..2 * BLOCK].fill(2);
        overlay[3 * BLOCK..].fill(3);
        let loaded = loaded(&base, &overlay, &[3, 1]);
        assert!(loaded.changes.diagnostics.is_empty());
        assert_eq!(loaded.changes.precision, Precision::Over);
        assert_eq!(loaded.changes.blocks(), 2);
        let merged = loaded.merged.unwrap();
        let bytes = read_vec(&*merged, 0, 5 * BLOCK).unwrap();
        let expected = [1, 2, 1, 3, 1].map(|b| vec![b; BLOCK]).concat();
        assert!(bytes == expected);
        let across = read_vec(&*merged, BLOCK as u64 - 1, 3).unwrap();
        assert_eq!(across, [1, 2, 2]);
        assert!(merged.read_exact_at(5 * BLOCK as u64, &mut [0]).is_err());
    }

    #[test]
    fn what_lies_between_many_pieces_is_still_that_of_the_base() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path().join("base.img"), vec![1; 40 * BLOCK]).unwrap();
        write(dir.path().join("vm.overlay"), vec![2; 41 * BLOCK]).unwrap();
        let log = (0..20u64).flat_map(|n| (n * 2).to_le_bytes());
        write(dir.path().join("vm.meta"), log.collect::<Vec<u8>>()).unwrap();
        let source = HexzOverlay {
            overlay: dir.path().join("vm.overlay"),
            base: Some(dir.path().join("base.img").into()),
        };
        let few = Limits::default().with(|limits| limits.ranges = 4);
        let loaded = source.load(&few, &DefaultGate::new()).unwrap();
        assert!(loaded.changes.ranges.runs() <= 4);
        let [finding] = &loaded.changes.diagnostics[..] else {
            panic!("{:?}", loaded.changes.diagnostics)
        };
        assert_eq!(finding.code, "meta-joined");
        assert!(finding.message.contains("the 20 blocks"), "{finding:?}");
        let merged = loaded.merged.unwrap();
        for (block, expected) in (0..40).map(|n| (n, 2 - n % 2)).chain([(40, 2)]) {
            let at = block * BLOCK as u64;
            let bytes = read_vec(&*merged, at, BLOCK).unwrap();
            assert!(bytes.iter().all(|b| u64::from(*b) == expected), "{block}");
        }
        let across = read_vec(&*merged, BLOCK as u64 - 1, BLOCK + 2).unwrap();
        assert_eq!((across[0], across[1], across[BLOCK + 1]), (2, 1, 2));
        assert!(read_vec(&*merged, 40 * BLOCK as u64 - 1, 2).unwrap() == [1, 2]);
        let all = ByteRange::new(0, merged.len());
        assert_eq!(merged.data_in(all).len(), merged.len());
    }

    #[test]
    fn a_grown_disk_ends_with_the_overlay() {
        let mut overlay = vec![0; 4 * BLOCK];
        overlay[3 * BLOCK..].fill(3);
        let loaded = loaded(&[1; BLOCK + 100], &overlay, &[3]);
        let merged = loaded.merged.unwrap();
        assert_eq!(merged.len(), 4 * BLOCK as u64);
        let bytes = read_vec(&*merged, 0, 4 * BLOCK).unwrap();
        assert_eq!(&bytes[BLOCK + 99..BLOCK + 101], [1, 0]);
        assert_eq!(&bytes[3 * BLOCK - 1..3 * BLOCK + 1], [0, 3]);
    }

    #[test]
    fn a_block_that_the_overlay_lacks_is_an_error_never_zeros() {
        let loaded = loaded(&vec![1; 4 * BLOCK], &[2; BLOCK + 10], &[0, 1, 2]);
        let [finding] = &loaded.changes.diagnostics[..] else {
            panic!("{:?}", loaded.changes.diagnostics)
        };
        assert_eq!(finding.code, "overlay-short");
        assert_eq!(finding.offset, Some(BLOCK as u64 + 10));
        let merged = loaded.merged.unwrap();
        assert!(read_vec(&*merged, 0, BLOCK + 10).is_ok());
        assert!(read_vec(&*merged, 0, BLOCK + 11).is_err());
        assert!(read_vec(&*merged, 2 * BLOCK as u64, 1).is_err());
        assert!(read_vec(&*merged, 3 * BLOCK as u64, BLOCK).is_ok());
        let all = ByteRange::new(0, merged.len());
        assert_eq!(merged.data_in(all).len(), merged.len());
    }

    #[test]
    fn without_a_base_there_is_no_view() {
        let dir = tempfile::tempdir().unwrap();
        let overlay = dir.path().join("vm.overlay");
        let source = |overlay: PathBuf| HexzOverlay {
            overlay,
            base: None,
        };
        let load = |s: HexzOverlay| s.load(&Limits::default(), &DefaultGate::new());
        let missing = load(source(overlay.clone())).err().unwrap();
        assert!(missing.to_string().contains("vm.overlay"));
        write(&overlay, [0; 100]).unwrap();
        let loaded = load(source(overlay)).unwrap();
        assert!(loaded.merged.is_none() && loaded.base.is_none());
        assert!(loaded.changes.ranges.is_empty());
        assert_eq!(loaded.changes.diagnostics[0].code, "meta-missing");
    }
}
