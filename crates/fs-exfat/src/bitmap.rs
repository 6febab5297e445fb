//! The allocation bitmap: a bit a cluster, set where it is in use.

use hexz_clusters::{Heap, Known, Steps};
use hexz_ondisk::{read_what_can_be, to_usize};
use hexz_resolve::{ByteRange, RangeSet, Result, Scan, UnitReader};

use crate::fs::ExfatFs;
use crate::system::Stream;

/// Bytes of a bitmap that are read together: one unit of a scan.
const PIECE: u64 = 64 << 10;

/// A piece of the bitmap. A unit holds all that its result depends on beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Piece {
    bytes: ByteRange,
    heap: Heap,
    /// Cluster of the first bit.
    first: u32,
}

/// The clusters of a stream, as bytes of the volume.
pub(crate) fn extents(exfat: &ExfatFs, known: &Known, stream: &Stream) -> Vec<ByteRange> {
    let mut steps = Steps::of(&known.table);
    let chain = known.table.chain(stream.first_cluster, &mut steps);
    let mut left = exfat.volume.heap.clusters_for(stream.data_length);
    let mut found = Vec::new();
    for run in chain.runs {
        let count = u32::try_from(left).unwrap_or(u32::MAX);
        let end = run.start.saturating_add(count).min(run.end);
        left = left.saturating_sub(u64::from(end.saturating_sub(run.start)));
        found.push(exfat.volume.heap.bytes_of(run.start..end));
    }
    found.retain(|range| !range.is_empty());
    found
}

/// The free clusters that share a byte with `wanted`.
pub(crate) fn free(
    exfat: &ExfatFs,
    known: &Known,
    wanted: &RangeSet,
    cx: &Scan<'_>,
) -> Result<Vec<ByteRange>> {
    let which = usize::from(exfat.boot.active());
    let [first, second] = exfat.system.bitmaps;
    let chosen = if which == 1 {
        second.or(first)
    } else {
        first.or(second)
    };
    let Some(stream) = chosen else {
        return Ok(Vec::new());
    };
    let pieces = pieces(exfat, known, &stream, wanted);
    let mut free = RangeSet::new();
    let mut found = Vec::new();
    cx.units(
        "allocation bitmap",
        &exfat.volume.reader,
        &pieces,
        free_in,
        |_, ranges| {
            found.extend(ranges.iter().filter(|range| wanted.overlaps(**range)));
            Ok(())
        },
    )?;
    // Those of neighbouring pieces are one.
    found.into_iter().for_each(|range| free.insert(range));
    Ok(free.iter().collect())
}

/// The pieces of the bitmap that tell of wanted clusters.
fn pieces(exfat: &ExfatFs, known: &Known, stream: &Stream, wanted: &RangeSet) -> Vec<Piece> {
    let heap = exfat.volume.heap;
    let mut pieces = Vec::new();
    let mut first = Heap::FIRST;
    let mut left = stream.data_length;
    for extent in extents(exfat, known, stream) {
        let end = extent.start().saturating_add(left.min(extent.len()));
        left = left.saturating_sub(extent.len());
        let mut at = extent.start();
        while at < end.min(exfat.volume.reader.len()) {
            let length = PIECE.min(end.saturating_sub(at));
            let bits = u32::try_from(length.saturating_mul(8)).unwrap_or(u32::MAX);
            let next = first.saturating_add(bits).min(heap.end());
            if wanted.overlaps(heap.bytes_of(first..next)) {
                pieces.push(Piece {
                    bytes: ByteRange::new(at, at.saturating_add(length)),
                    heap,
                    first,
                });
            }
            at = at.saturating_add(length);
            first = next;
        }
    }
    pieces
}

fn free_in(piece: &Piece, reader: &UnitReader<'_>) -> Result<Vec<ByteRange>> {
    let mut bytes = vec![0; to_usize(piece.bytes.len()).unwrap_or_default()];
    let start = piece.bytes.start();
    let mut lost = RangeSet::new();
    read_what_can_be(
        reader,
        "allocation bitmap",
        start,
        &mut bytes,
        &mut |range, error| {
            lost.insert(range);
            reader.tolerate(error)
        },
    )?;
    // Of clusters whose bits are lost nothing is known, and so not that they are free.
    for (place, byte) in (start..).zip(&mut bytes) {
        if !lost.is_empty() && lost.contains(place) {
            *byte = 0xFF;
        }
    }
    let mut found = Vec::new();
    let mut open: Option<u32> = None;
    let mut cluster = piece.first;
    for byte in bytes {
        if matches!((byte, open), (0xFF, None)) || (byte == 0 && open.is_some()) {
            cluster = cluster.saturating_add(8);
            continue;
        }
        for bit in 0..8u32 {
            let used = byte.checked_shr(bit).is_none_or(|b| b & 1 == 1);
            match (used, open) {
                (false, None) => open = Some(cluster),
                (true, Some(from)) => {
                    found.push(piece.heap.bytes_of(from..cluster));
                    open = None;
                }
                _ => {}
            }
            cluster = cluster.saturating_add(1);
        }
    }
    found.extend(open.map(|from| piece.heap.bytes_of(from..cluster)));
    found.retain(|range| !range.is_empty());
    Ok(found)
}
