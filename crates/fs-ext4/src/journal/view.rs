//! The volume as it reads once the journal is replayed. Nothing is written: a rewritten block is
//! read from the place in the log where its new content lies.

use std::fmt;
use std::sync::Arc;

use hexz_ondisk::to_usize;
use hexz_resolve::{ByteRange, RangeSet, ReadAt, ReadError, check_bounds};

use super::ondisk::JBD2_MAGIC_NUMBER;

/// Where the new content of a block is.
#[derive(Clone)]
pub(crate) enum Content {
    /// At this byte of the volume.
    At(u64),
    /// There, with the magic taken out of its first four bytes.
    Escaped(u64),
    /// In memory, one block long.
    Bytes(Arc<[u8]>),
}

/// The volume with some blocks rewritten.
pub(crate) struct View {
    volume: Arc<dyn ReadAt>,
    block_size: u64,
    /// By block, each once.
    blocks: Vec<(u64, Content)>,
    ranges: RangeSet,
}

impl View {
    /// `volume` with `blocks` rewritten; the last content given for a block holds.
    pub(crate) fn new(
        volume: Arc<dyn ReadAt>,
        block_size: u32,
        mut blocks: Vec<(u64, Content)>,
    ) -> Self {
        let block_size = u64::from(block_size);
        // Stable, so the last of the equals is the last given.
        blocks.reverse();
        blocks.sort_by_key(|(block, _)| *block);
        blocks.dedup_by_key(|(block, _)| *block);
        let ranges = blocks
            .iter()
            .filter_map(|(block, _)| ByteRange::at(block.checked_mul(block_size)?, block_size))
            .collect();
        Self {
            volume,
            block_size,
            blocks,
            ranges,
        }
    }

    /// The ranges that do not read as they lie.
    pub(crate) fn ranges(&self) -> &RangeSet {
        &self.ranges
    }

    /// Fills `buf`, which lies within one rewritten block, from byte `skip` of it.
    fn read_content(&self, content: &Content, skip: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        match content {
            Content::At(at) => self.volume.read_exact_at(at.saturating_add(skip), buf),
            Content::Escaped(at) => {
                self.volume.read_exact_at(at.saturating_add(skip), buf)?;
                let magic = JBD2_MAGIC_NUMBER.to_be_bytes();
                let from = to_usize(skip).and_then(|skip| magic.get(skip..));
                for (byte, original) in buf.iter_mut().zip(from.unwrap_or_default()) {
                    *byte = *original;
                }
                Ok(())
            }
            Content::Bytes(bytes) => bytes.read_exact_at(skip, buf),
        }
    }
}

impl ReadAt for View {
    fn len(&self) -> u64 {
        self.volume.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len())?;
        let mut at = offset;
        let mut rest = buf;
        let first = offset.checked_div(self.block_size).unwrap_or(0);
        let mut next = self.blocks.partition_point(|(block, _)| *block < first);
        while !rest.is_empty() {
            let rewritten = self.blocks.get(next);
            let start =
                rewritten.map_or(u64::MAX, |(block, _)| block.saturating_mul(self.block_size));
            let (end, content) = match rewritten {
                Some((_, content)) if start <= at => {
                    next = next.saturating_add(1);
                    (start.saturating_add(self.block_size), Some(content))
                }
                _ => (start, None),
            };
            let length = to_usize(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_mut(length.min(rest.len()));
            match content {
                Some(content) => self.read_content(content, at.saturating_sub(start), now)?,
                None => self.volume.read_exact_at(at, now)?,
            }
            at = end;
            rest = later;
        }
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let rewritten = self.ranges.clipped(range);
        self.volume
            .data_in(range)
            .union(&rewritten.clipped(ByteRange::new(0, self.len())))
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_read_is_a_slice_of_the_whole() {
        let bytes: Vec<u8> = (0..16u8).flat_map(|n| [n; 8]).collect();
        let volume: Arc<dyn ReadAt> = Arc::new(bytes.clone());
        let view = View::new(
            volume,
            8,
            vec![
                (9, Content::At(0)),
                (3, Content::Escaped(40)),
                (2, Content::Bytes(Arc::from([99; 8]))),
                (9, Content::At(8)),
            ],
        );
        let mut whole = bytes;
        whole[72..80].fill(1);
        whole[24..32].fill(5);
        whole[24..28].copy_from_slice(&[0xC0, 0x3B, 0x39, 0x98]);
        whole[16..24].fill(99);
        for from in 0..whole.len() {
            for to in from..=whole.len() {
                let mut buf = vec![0; to - from];
                view.read_exact_at(from as u64, &mut buf).unwrap();
                assert_eq!(buf, whole[from..to], "{from}..{to}");
            }
        }
        assert!(view.read_exact_at(120, &mut [0; 9]).is_err());
        let ranges = [ByteRange::new(16, 32), ByteRange::new(72, 80)];
        assert_eq!(view.ranges().as_slice(), ranges);
    }

    #[test]
    fn a_rewritten_hole_is_data() {
        struct Hole;
        impl ReadAt for Hole {
            fn len(&self) -> u64 {
                64
            }
            fn read_exact_at(&self, _: u64, buf: &mut [u8]) -> Result<(), ReadError> {
                buf.fill(0);
                Ok(())
            }
            fn data_in(&self, _: ByteRange) -> RangeSet {
                RangeSet::new()
            }
        }
        let view = View::new(Arc::new(Hole), 8, vec![(1, Content::At(0))]);
        let data = view.data_in(ByteRange::new(0, 12));
        assert_eq!(data.as_slice(), [ByteRange::new(8, 12)]);
    }
}
