//! Reading what can be had of a range in which something can't be.

use hexz_resolve::{ByteRange, Error, ReadAt, Result, read_around};

/// Fills `buf` as [`read_into`](crate::read_into) does. What can't be had is zeros, and each
/// stretch of it is told to `lost`, with its error.
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
    let mut bad = read_around(reader, offset, buf).into_iter();
    bad.try_for_each(|(range, error)| lost(range, Error::io(structure, error).at(range.start())))
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
