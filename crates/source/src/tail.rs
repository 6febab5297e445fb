//! What only the longer of two disks has.

use hexz_resolve::{ByteRange, Diagnostic, Diagnostics, RangeSet, ReadAt};

use crate::num::usize_of;
use crate::ranges::Ranges;

/// Bytes that are read at a time; a multiple of any block.
const PIECE: u64 = 4 << 20;

/// The blocks, of `block` bytes, in which `from` holds other bytes than zeros from `start` on,
/// where the other disk ends: it reads as zeros there, so that it does not matter which of the
/// two wrote zeros and which left a hole. What can't be read is among them, and `found` says so.
pub(crate) fn past_end(
    from: &dyn ReadAt,
    start: u64,
    block: u64,
    most: usize,
    found: &Diagnostics,
) -> Tail {
    let mut tail = Tail::default();
    let whole = ByteRange::new(start, from.len());
    let mut ranges = Ranges::new(most);
    let mut buf = Vec::new();
    for piece in from.data_in(whole).iter().flat_map(|data| cut(data, PIECE)) {
        buf.resize(usize_of(piece.len()), 0);
        let unreadable = from.read_exact_at(piece.start(), &mut buf).is_err();
        if !unreadable && is_zero(&buf) {
            continue;
        }
        for part in cut(piece, block) {
            buf.resize(usize_of(part.len()), 0);
            match from.read_exact_at(part.start(), &mut buf) {
                Ok(()) if is_zero(&buf) => continue,
                Ok(()) => {}
                Err(error) => {
                    tail.unreadable = true;
                    let text = format!("a block can't be read, and counts as changed: {error}");
                    let finding = Diagnostic::error("image-unreadable", text);
                    found.push(finding.at(part.start()));
                }
            }
            ranges.add(part.aligned_out(block));
        }
    }
    tail.changed = ranges.within(whole);
    tail
}

/// What [`past_end`] finds.
#[derive(Default)]
pub(crate) struct Tail {
    pub(crate) changed: RangeSet,
    pub(crate) unreadable: bool,
}

fn is_zero(bytes: &[u8]) -> bool {
    // In pieces without an early end, which the compiler makes fast.
    let mut pieces = bytes.chunks(1024);
    pieces.all(|piece| piece.iter().fold(0, |all, byte| all | byte) == 0)
}

/// `range` in pieces that end at multiples of `size`.
pub(crate) fn cut(range: ByteRange, size: u64) -> impl Iterator<Item = ByteRange> {
    let mut at = range.start();
    std::iter::from_fn(move || {
        let end = at.saturating_add(1).checked_next_multiple_of(size);
        let piece = ByteRange::new(at, end.unwrap_or(u64::MAX).min(range.end()));
        at = piece.end();
        (!piece.is_empty()).then_some(piece)
    })
}
