//! Free space, from `$Bitmap`.

use hexz_resolve::{ByteRange, Claim, Error, RangeSet, Result, Scan};

use crate::bytes::Content;
use crate::fs::Ntfs;
use crate::ondisk::{Geometry, size, wide};

/// Bytes of the bitmap in a unit.
const UNIT: u64 = 64 << 10;

/// A part of the bitmap: a unit of the scan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Part {
    geometry: Geometry,
    /// First byte of the bitmap.
    from: u64,
    /// The bitmap, as far as it holds this part.
    content: Content,
}

impl Ntfs {
    /// Clusters that the bitmap says are free and that are wanted.
    pub(crate) fn free_claims(
        &self,
        wanted: &RangeSet,
        cx: &Scan<'_>,
        put: &mut dyn FnMut(Claim) -> Result<()>,
    ) -> Result<()> {
        let geometry = self.mft.geometry;
        let Some(bitmap) = &self.bitmap else {
            return Ok(());
        };
        let bytes = geometry.clusters.div_ceil(8).min(bitmap.size);
        let mut parts = Vec::new();
        let mut from = 0u64;
        while from < bytes {
            let to = from.saturating_add(UNIT).min(bytes);
            if wanted.overlaps(clusters(&geometry, from, to)) {
                parts.push(Part {
                    geometry,
                    from,
                    content: bitmap.part(ByteRange::new(from, to)),
                });
            }
            from = to;
        }
        cx.units(
            "ntfs-free",
            &self.reader,
            &parts,
            |part, reader| {
                let length = size(part.content.size.saturating_sub(part.from));
                let mut bad = Vec::new();
                let mut lost = |range, error: Error| {
                    bad.push(range);
                    reader.tolerate(error.layer("ntfs"))
                };
                let content = &part.content;
                let mut bits = content.read_what_can_be(reader, part.from, length, &mut lost)?;
                for range in bad {
                    // What is not known to be free is not told as free.
                    let at = |offset: u64| size(offset.saturating_sub(part.from)).min(length);
                    if let Some(bits) = bits.get_mut(at(range.start())..at(range.end())) {
                        bits.fill(0xFF);
                    }
                }
                let all = clusters(&part.geometry, part.from, part.content.size);
                let mut free = Vec::new();
                for range in wanted.overlapping(all) {
                    let range = range.aligned_out(part.geometry.cluster);
                    free_in(&bits, &part.geometry, all, range, &mut free);
                }
                Ok(free)
            },
            |_, free| free.iter().try_for_each(|range| put(Claim::free(*range))),
        )
    }
}

/// The clusters that some bytes of the bitmap tell of, on the volume.
fn clusters(geometry: &Geometry, from: u64, to: u64) -> ByteRange {
    let first = from.saturating_mul(8);
    let end = to.saturating_mul(8).min(geometry.clusters);
    geometry.bytes(first, end.saturating_sub(first))
}

/// Adds the free clusters of `range`, which is of whole clusters, as few ranges.
fn free_in(
    bits: &[u8],
    geometry: &Geometry,
    all: ByteRange,
    range: ByteRange,
    out: &mut Vec<ByteRange>,
) {
    let Some(range) = range.intersection(&all) else {
        return;
    };
    let index = |offset: u64| {
        offset
            .saturating_sub(all.start())
            .checked_div(geometry.cluster)
            .unwrap_or(0)
    };
    let (mut bit, end) = (index(range.start()), index(range.end()));
    let first = all.start().checked_div(geometry.cluster).unwrap_or(0);
    while bit < end {
        let byte = bits.get(size(bit >> 3)).copied().unwrap_or(0xFF);
        // Whole bytes at a time where all bits are the same.
        let aligned = bit & 7 == 0 && end.saturating_sub(bit) >= 8;
        let step = if aligned && (byte == 0 || byte == 0xFF) {
            8
        } else {
            1
        };
        let used = byte
            .checked_shr(u32::try_from(bit & 7).unwrap_or(0))
            .unwrap_or(1)
            & 1
            != 0;
        if !used {
            let free = geometry.bytes(first.saturating_add(bit), step);
            match out.last_mut() {
                Some(last) if last.end() == free.start() => {
                    *last = ByteRange::new(last.start(), free.end());
                }
                _ => out.push(free),
            }
        }
        bit = bit.saturating_add(step);
    }
    debug_assert!(wide(bits.len()).saturating_mul(8) >= end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_bits_are_free_clusters() {
        let geometry = Geometry {
            sector: 512,
            sectors: 90,
            cluster: 1024,
            clusters: 45,
            record: 1024,
            mft_lcn: 4,
            mftmirr_lcn: 2,
            volume_serial_number: 0,
        };
        let bits = [0b1111_0001, 0, 0xFF, 0b0111_1111, 0, 0];
        let all = clusters(&geometry, 0, 6);
        assert_eq!(all, ByteRange::new(0, 45 << 10));
        let mut free = Vec::new();
        free_in(&bits, &geometry, all, all, &mut free);
        let expected = [1..4, 8..16, 31..45].map(|r| ByteRange::new(r.start << 10, r.end << 10));
        assert_eq!(free, expected);
        let mut free = Vec::new();
        free_in(
            &bits,
            &geometry,
            all,
            ByteRange::new(10 << 10, 12 << 10),
            &mut free,
        );
        assert_eq!(free, [ByteRange::new(10 << 10, 12 << 10)]);
    }
}
