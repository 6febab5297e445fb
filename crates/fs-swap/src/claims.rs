//! Pass 1: the header, and all the rest is swap.

use hexz_resolve::{ByteRange, Claim, RangeSet, Result, Role, Scan, Sink};

use crate::fs::Swap;
use crate::ondisk::Kind;

/// All claims that share a byte with `wanted`.
pub(crate) fn claims(
    swap: &Swap,
    wanted: &RangeSet,
    cx: &Scan<'_>,
    out: &mut dyn Sink<Claim>,
) -> Result<()> {
    let page = swap.header.page;
    let volume = swap.reader.len();
    let end = swap.info.size.min(volume);
    let header = match swap.header.kind {
        Kind::Suspended => "suspend-header",
        _ => "swap-header",
    };
    let mut put = |start: u64, end: u64, role, detail| {
        let range = ByteRange::new(start, end.min(volume));
        if wanted.overlaps(range) {
            out.put(Claim::structure(range, role, detail))?;
        }
        Ok(())
    };
    put(0, page, Role::Superblock, header)?;
    let mut at = page;
    for bad in &swap.header.bad {
        cx.check()?;
        let start = bad.saturating_mul(page);
        let after = start.saturating_add(page);
        put(at, start, Role::Swap, "")?;
        put(start, after, Role::Swap, "bad-page")?;
        at = after;
    }
    put(at, end, Role::Swap, "")?;
    // What is left of the volume is no whole page, or was kept out by mkswap.
    put(end.max(page), volume, Role::Gap, "")
}
