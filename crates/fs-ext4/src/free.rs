//! Free space, from the block bitmaps.

use hexz_ondisk::{read_what_can_be, to_usize};
use hexz_resolve::{ByteRange, Error, RangeSet, Result, Scan, UnitReader};

use crate::fs::Ext4;
use crate::geometry::Geometry;
use crate::ondisk::bg_flags;

/// One group whose free space is wanted. Holds all that the answer depends on beside the bitmap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Group {
    /// Byte of the bitmap; `None` for a group in which nothing was ever allocated.
    bitmap: Option<u64>,
    start: u64,
    blocks: u64,
}

impl Ext4 {
    /// The free ranges that share a byte with `wanted`.
    pub(crate) fn free_space(&self, wanted: &RangeSet, cx: &Scan<'_>) -> Result<Vec<ByteRange>> {
        let geometry = &*self.geometry;
        let mut groups = Vec::new();
        for (number, descriptor) in (0u64..).zip(&geometry.groups) {
            let (start, blocks) = (geometry.group_start(number), geometry.group_blocks(number));
            if geometry
                .blocks(start, blocks)
                .is_none_or(|range| !wanted.overlaps(range))
            {
                continue;
            }
            let never_used = geometry.has_checksummed_groups()
                && descriptor.bg_flags & bg_flags::BLOCK_UNINIT != 0;
            let bitmap = geometry
                .structure(descriptor.bg_block_bitmap, 1)
                .map(|r| r.start());
            match (never_used, bitmap) {
                (true, _) => groups.push(Group {
                    bitmap: None,
                    start,
                    blocks,
                }),
                (false, Some(_)) => groups.push(Group {
                    bitmap,
                    start,
                    blocks,
                }),
                // What is wrong with the descriptor was told when it was read.
                (false, None) => {}
            }
        }
        let mut out = Vec::new();
        let work = |group: &Group, reader: &UnitReader<'_>| free_in(geometry, group, reader);
        cx.units(
            "ext4-free",
            &self.reader,
            &groups,
            work,
            |_, ranges: &Vec<ByteRange>| {
                out.extend(ranges.iter().filter(|r| wanted.overlaps(**r)));
                Ok(())
            },
        )?;
        Ok(out)
    }
}

fn free_in(geometry: &Geometry, group: &Group, reader: &UnitReader<'_>) -> Result<Vec<ByteRange>> {
    let Some(bitmap) = group.bitmap else {
        return Ok(geometry
            .blocks(group.start, group.blocks)
            .into_iter()
            .collect());
    };
    let ratio = u64::from(geometry.sb.cluster_blocks);
    let clusters = group.blocks.div_ceil(ratio);
    let length = clusters.div_ceil(8).min(geometry.block());
    let mut bits = vec![0; to_usize(length).unwrap_or(0)];
    let mut lost = Vec::new();
    let mut note = |range: ByteRange, error: Error| {
        lost.push(range);
        reader.tolerate(error.layer("ext4"))
    };
    read_what_can_be(reader, "block bitmap", bitmap, &mut bits, &mut note)?;
    for range in lost {
        // What is not known to be free is not told as free.
        let at = |offset: u64| to_usize(offset.saturating_sub(bitmap)).unwrap_or(usize::MAX);
        if let Some(bits) = bits.get_mut(at(range.start())..at(range.end())) {
            bits.fill(0xFF);
        }
    }
    let end = group.start.saturating_add(group.blocks);
    let mut free = RangeSet::new();
    let mut put = |from: u64, to: u64| {
        let start = group.start.saturating_add(from.saturating_mul(ratio));
        let to = group
            .start
            .saturating_add(to.saturating_mul(ratio))
            .min(end);
        if let Some(range) = geometry.blocks(start, to.saturating_sub(start)) {
            free.insert(range);
        }
    };
    for (n, byte) in (0u64..).zip(&bits) {
        let base = n.saturating_mul(8);
        match byte {
            0xFF => {}
            0 => put(base, base.saturating_add(8).min(clusters)),
            bits => {
                for bit in (0..8u64).filter(|bit| bits >> bit & 1 == 0) {
                    let cluster = base.saturating_add(bit);
                    if cluster < clusters {
                        put(cluster, cluster.saturating_add(1));
                    }
                }
            }
        }
    }
    Ok(free.iter().collect())
}
