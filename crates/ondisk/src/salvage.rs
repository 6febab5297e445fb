//! Reading what can be had of a range in which something can't be.

use hexz_resolve::{ByteRange, Error, ReadAt, Result};

use crate::read_into;

/// Where a read fails, it is tried again in pieces of this size, the usual unit of a disk and of
/// what caches it,
const PIECE: u64 = 4096;
/// and those that fail in the smallest unit.
const SECTOR: u64 = 512;

/// Fills `buf` as [`read_into`] does. Where that fails, piece by piece: what can't be had is
/// zeros, and each stretch of it is told to `lost`, with its error.
///
/// # Errors
/// What `lost` gives back.
pub fn read_what_can_be(
    reader: &dyn ReadAt,
    structure: &'static str,
    offset: u64,
    buf: &mut [u8],
    lost: &mut dyn FnMut(ByteRange, Error) -> Result<()>,
) -> Result<()> {
    if read_into(reader, structure, offset, buf).is_ok() {
        return Ok(());
    }
    let mut stretch: Option<(ByteRange, Error)> = None;
    for_each_piece(offset, buf, PIECE, &mut |at, piece| {
        if read_into(reader, structure, at, piece).is_ok() {
            return Ok(());
        }
        for_each_piece(at, piece, SECTOR, &mut |at, sector| {
            let Err(error) = read_into(reader, structure, at, sector) else {
                return Ok(());
            };
            sector.fill(0);
            let length = u64::try_from(sector.len()).unwrap_or(0);
            let bad = ByteRange::new(at, at.saturating_add(length));
            match &mut stretch {
                Some((last, _)) if last.end() == at => {
                    *last = ByteRange::new(last.start(), bad.end());
                    Ok(())
                }
                other => match other.replace((bad, error)) {
                    Some((range, error)) => lost(range, error),
                    None => Ok(()),
                },
            }
        })
    })?;
    match stretch {
        Some((range, error)) => lost(range, error),
        None => Ok(()),
    }
}

/// Hands out `buf`, which lies at `offset`, in pieces that end at multiples of `size`.
fn for_each_piece(
    offset: u64,
    buf: &mut [u8],
    size: u64,
    each: &mut dyn FnMut(u64, &mut [u8]) -> Result<()>,
) -> Result<()> {
    let (mut at, mut rest) = (offset, buf);
    while !rest.is_empty() {
        let whole = size.saturating_sub(at.checked_rem(size).unwrap_or(0));
        let length = usize::try_from(whole).unwrap_or(usize::MAX);
        let (now, later) = rest.split_at_mut(length.min(rest.len()));
        each(at, now)?;
        at = at.saturating_add(whole);
        rest = later;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexz_resolve::{ReadError, check_bounds};

    /// Twos, where bytes 5000 to 5010 and 20479 to 20481 can't be read.
    struct Bad;

    impl ReadAt for Bad {
        fn len(&self) -> u64 {
            1 << 20
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            check_bounds(offset, buf.len(), self.len())?;
            let end = offset + buf.len() as u64;
            if [(5000, 5010), (20479, 20481)]
                .iter()
                .any(|(from, to)| *from < end && offset < *to)
            {
                let source = std::io::Error::other("bad");
                return Err(ReadError::Io { offset, source });
            }
            buf.fill(2);
            Ok(())
        }
    }

    #[test]
    fn only_the_sectors_that_are_bad_are_lost() {
        let mut buf = vec![1; 40_000];
        let mut found = Vec::new();
        read_what_can_be(&Bad, "test", 1000, &mut buf, &mut |range, error| {
            found.push((range.start(), range.end(), error.offset().unwrap()));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [(4608, 5120, 4608), (19968, 20992, 19968)]);
        for (at, byte) in (1000..).zip(buf) {
            let lost = (4608..5120).contains(&at) || (19968..20992).contains(&at);
            assert_eq!(byte, if lost { 0 } else { 2 }, "{at}");
        }
    }
}
