//! The blocks of the journal, wherever they lie on the volume.

use std::sync::Arc;

use hexz_ondisk::{Fields, read_into, to_usize};
use hexz_resolve::{ByteRange, Error, RangeSet, ReadAt, Result};

/// How far ahead the log is read, once two blocks were asked for that follow each other. Of a
/// journal with nothing to replay one block is read.
const WINDOW: u64 = 1 << 20;

/// Blocks of the journal that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    /// First block, within the journal.
    pub(crate) logical: u64,
    /// First block, within the filesystem.
    pub(crate) physical: u64,
    /// Number of blocks.
    pub(crate) length: u64,
}

/// Reads blocks of the journal, mostly one after the other.
pub(crate) struct Log {
    volume: Arc<dyn ReadAt>,
    block_size: u64,
    runs: Vec<Run>,
    own: RangeSet,
    window: Vec<u8>,
    /// Byte of the volume that `window` starts at.
    window_at: u64,
}

impl Log {
    /// A journal in `runs`, in any order.
    ///
    /// # Errors
    /// Two runs that share a block, or lie past the end: a log is never longer than its volume.
    pub(crate) fn new(
        volume: Arc<dyn ReadAt>,
        block_size: u32,
        mut runs: Vec<Run>,
    ) -> Result<Self> {
        let block_size = u64::from(block_size);
        runs.sort_unstable();
        let mut own = RangeSet::new();
        let mut bytes = 0u64;
        for run in &runs {
            let range = run
                .physical
                .checked_mul(block_size)
                .zip(run.length.checked_mul(block_size))
                .and_then(|(start, length)| ByteRange::at(start, length));
            let Some(range) = range else {
                return Err(Error::corrupt("journal map")
                    .expected("blocks of the volume")
                    .found(format_args!("{run:?}")));
            };
            bytes = bytes.saturating_add(range.len());
            own.insert(range);
        }
        if own.len() != bytes {
            return Err(Error::corrupt("journal map")
                .expected("each block once")
                .found(format_args!("{} of {bytes} bytes", own.len())));
        }
        Ok(Self {
            volume,
            block_size,
            runs,
            own,
            window: Vec::new(),
            window_at: 0,
        })
    }

    /// The bytes of the volume that the journal takes up.
    pub(crate) fn own(&self) -> &RangeSet {
        &self.own
    }

    /// The byte of the volume at which block `index` lies, and how many bytes of the journal
    /// follow it there.
    fn place(&self, index: u32) -> Result<(u64, u64)> {
        let index = u64::from(index);
        let after = self.runs.partition_point(|r| r.logical <= index);
        let found = after.checked_sub(1).and_then(|n| self.runs.get(n));
        found
            .and_then(|run| {
                let skip = index.checked_sub(run.logical)?;
                let left = run.length.checked_sub(skip).filter(|left| *left > 0)?;
                let at = run
                    .physical
                    .checked_add(skip)?
                    .checked_mul(self.block_size)?;
                Some((at, left.saturating_mul(self.block_size)))
            })
            .ok_or_else(|| {
                Error::corrupt("journal map")
                    .expected(format_args!("a place for block {index} of the journal"))
                    .found("a hole")
            })
    }

    /// The byte of the volume at which block `index` lies.
    pub(crate) fn byte_of(&self, index: u32) -> Result<u64> {
        self.place(index).map(|(at, _)| at)
    }

    /// Block `index` of the journal.
    pub(crate) fn block(&mut self, index: u32) -> Result<Fields<'_>> {
        const WHAT: &str = "journal block";
        let (at, left) = self.place(index)?;
        if !self.holds(at) {
            let there = self.volume.len().saturating_sub(at);
            let window = match self.window_in_volume() {
                Some(before) if before.end() == at && !before.is_empty() => {
                    WINDOW.max(self.block_size)
                }
                _ => self.block_size,
            };
            let ahead = left.min(window).min(there);
            self.fill(at, ahead)
                .or_else(|_| self.fill(at, self.block_size))?;
        }
        let from = at.checked_sub(self.window_at).and_then(to_usize);
        let length = to_usize(self.block_size);
        from.zip(length)
            .and_then(|(from, length)| self.window.get(from..from.checked_add(length)?))
            .map(|bytes| Fields::new(WHAT, at, bytes))
            .ok_or_else(|| Error::corrupt(WHAT).at(at))
    }

    /// Where the window lies.
    fn window_in_volume(&self) -> Option<ByteRange> {
        let length = u64::try_from(self.window.len()).ok()?;
        ByteRange::at(self.window_at, length)
    }

    fn holds(&self, at: u64) -> bool {
        let wanted = ByteRange::at(at, self.block_size);
        self.window_in_volume()
            .zip(wanted)
            .is_some_and(|(window, wanted)| window.intersection(&wanted) == Some(wanted))
    }

    fn fill(&mut self, at: u64, length: u64) -> Result<()> {
        let mut window = std::mem::take(&mut self.window);
        // At most the window's length, or one block.
        window.resize(to_usize(length.max(self.block_size)).unwrap_or(0), 0);
        read_into(&self.volume, "journal block", at, &mut window)?;
        self.window = window;
        self.window_at = at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(logical: u64, physical: u64, length: u64) -> Run {
        Run {
            logical,
            physical,
            length,
        }
    }

    fn volume() -> Arc<dyn ReadAt> {
        let bytes: Vec<u8> = (0..32u8).flat_map(|n| [n; 1024]).collect();
        Arc::new(bytes)
    }

    #[test]
    fn blocks_come_from_where_the_map_says() {
        let mut log = Log::new(volume(), 1024, vec![run(4, 2, 2), run(0, 10, 4)]).unwrap();
        let first = |log: &mut Log, n| log.block(n).map(|b| b.u8(0).unwrap());
        assert_eq!(first(&mut log, 0).unwrap(), 10);
        assert_eq!(first(&mut log, 3).unwrap(), 13);
        assert_eq!(first(&mut log, 5).unwrap(), 3);
        assert_eq!(first(&mut log, 1).unwrap(), 11);
        assert!(first(&mut log, 6).is_err());
        assert_eq!(log.byte_of(5).unwrap(), 3072);
    }

    #[test]
    fn a_hole_is_an_error_and_a_window_ends_with_the_volume() {
        let mut log = Log::new(volume(), 1024, vec![run(1, 30, 9)]).unwrap();
        assert!(log.block(0).is_err());
        assert!(log.block(2).is_ok());
        assert!(log.block(3).is_err());
    }

    #[test]
    fn a_block_that_is_mapped_twice_is_refused() {
        assert!(Log::new(volume(), 1024, vec![run(0, 4, 4), run(4, 7, 4)]).is_err());
        assert!(Log::new(volume(), 1024, vec![run(0, u64::MAX / 1024, 2)]).is_err());
    }
}
