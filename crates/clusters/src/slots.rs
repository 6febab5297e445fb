//! The entries of a directory, as they lie one after the other.

use hexz_ondisk::{read_what_can_be, to_usize};
use hexz_resolve::{ByteRange, Error, RangeSet, ReadAt, Result};

use crate::ENTRY;
use crate::format::Slot;

/// Bytes that are read together.
const PIECE: u64 = 256 << 10;

/// Hands each entry in `extents` to `each`, until it says `false`; `None` stands for entries that
/// can't be read, of which `lost` is told. An extent that reaches past the end of the volume is
/// lost from there on.
pub(crate) fn each_slot(
    reader: &dyn ReadAt,
    extents: &[ByteRange],
    lost: &mut dyn FnMut(Error),
    each: &mut dyn FnMut(Option<Slot<'_>>) -> Result<bool>,
) -> Result<()> {
    let mut offset = 0u32;
    let mut buffer = Vec::new();
    for extent in extents {
        let end = extent.end().min(reader.len());
        let mut at = extent.start();
        while at < end {
            let length = PIECE.min(end.saturating_sub(at));
            buffer.resize(to_usize(length).unwrap_or_default(), 0);
            let mut bad = RangeSet::new();
            read_what_can_be(reader, "directory", at, &mut buffer, &mut |range, error| {
                bad.insert(range);
                lost(error);
                Ok(())
            })?;
            for (place, bytes) in (at..).step_by(ENTRY).zip(buffer.chunks_exact(ENTRY)) {
                let here = place..place.saturating_add(32);
                let sound = bad.is_empty() || !bad.overlaps(ByteRange::new(here.start, here.end));
                let slot = bytes.try_into().ok().filter(|_| sound);
                let slot = slot.map(|bytes| Slot {
                    offset,
                    place,
                    bytes,
                });
                if !each(slot)? {
                    return Ok(());
                }
                offset = offset.saturating_add(32);
            }
            at = at.saturating_add(length);
        }
        if end < extent.end() {
            let text = format!(
                "its rest lies behind the end of the volume at {}",
                reader.len()
            );
            lost(
                Error::corrupt("directory")
                    .at(end.max(extent.start()))
                    .message(text),
            );
            return Ok(());
        }
    }
    Ok(())
}
