//! LZNT1, the compression of NTFS: [MS-XCA] 2.5,
//! <https://learn.microsoft.com/openspecs/windows_protocols/ms-xca/5655f4a3-6ba4-489b-959f-e1f407c52f15>.

/// Bytes that a chunk stands for.
pub(crate) const CHUNK: usize = 4096;
/// Bits of a chunk's header.
const LENGTH: u16 = 0x0FFF;
const SIGNATURE: u16 = 0x7000;
const SIGNATURE_IS: u16 = 0x3000;
const COMPRESSED: u16 = 0x8000;

/// Fills `out` with what `packed` stands for. A chunk that ends early, and all behind the last
/// one, are zeros.
///
/// # Errors
/// What can't be.
pub(crate) fn decompress(packed: &[u8], out: &mut [u8]) -> Result<(), &'static str> {
    out.fill(0);
    let mut rest = packed;
    for chunk in out.chunks_mut(CHUNK) {
        let Some((header, behind)) = rest.split_first_chunk::<2>() else {
            return Ok(());
        };
        let header = u16::from_le_bytes(*header);
        if header == 0 {
            return Ok(());
        }
        if header & SIGNATURE != SIGNATURE_IS {
            return Err("a chunk with no signature");
        }
        let length = usize::from(header & LENGTH).saturating_add(1);
        let Some((data, behind)) = behind.split_at_checked(length) else {
            return Err("a chunk that reaches past the end of its unit");
        };
        if header & COMPRESSED == 0 {
            let Some(start) = chunk.get_mut(..length) else {
                return Err("a chunk of more than 4096 bytes");
            };
            start.copy_from_slice(data);
        } else {
            expand(data, chunk)?;
        }
        rest = behind;
    }
    Ok(())
}

/// Expands the tokens of one chunk: groups of a byte of flags and eight tokens, each a byte as it
/// is, or a copy of what came before.
fn expand(mut data: &[u8], out: &mut [u8]) -> Result<(), &'static str> {
    let mut at = 0usize;
    while let Some((flags, tokens)) = data.split_first() {
        data = tokens;
        for bit in 0..8u8 {
            if flags.checked_shr(bit.into()).unwrap_or(0) & 1 == 0 {
                let Some((literal, behind)) = data.split_first() else {
                    return Ok(());
                };
                let place = out.get_mut(at).ok_or("a chunk of more than 4096 bytes")?;
                *place = *literal;
                data = behind;
                at = at.saturating_add(1);
            } else {
                let Some((token, behind)) = data.split_first_chunk::<2>() else {
                    return Err("half a token");
                };
                data = behind;
                at = copy(u16::from_le_bytes(*token), at, out)?;
            }
        }
    }
    Ok(())
}

/// Copies what a token at byte `at` of its chunk says, and gives the byte behind that.
fn copy(token: u16, at: usize, out: &mut [u8]) -> Result<usize, &'static str> {
    // The further into the chunk, the more bits say how far back, and the fewer how much.
    let last = at.checked_sub(1).ok_or("a copy of what is not there")?;
    let back_bits = last
        .checked_ilog2()
        .map_or(4, |log| log.saturating_add(1).max(4));
    let length_bits = 16u32.saturating_sub(back_bits);
    let mask = 1u16.checked_shl(length_bits).unwrap_or(0).wrapping_sub(1);
    let length = usize::from(token & mask).saturating_add(3);
    let back = usize::from(token.checked_shr(length_bits).unwrap_or(0)).saturating_add(1);
    let from = at.checked_sub(back).ok_or("a copy of what is not there")?;
    let end = at.saturating_add(length);
    if end > out.len() {
        return Err("a chunk of more than 4096 bytes");
    }
    // The copy may reach into itself, and then repeats.
    for (source, target) in (from..).zip(at..end) {
        let byte = out.get(source).copied().unwrap_or_default();
        if let Some(place) = out.get_mut(target) {
            *place = byte;
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexz_testkit::Rng;

    /// The example of [MS-XCA] 3.3.
    #[test]
    fn the_example_of_the_specification() {
        let packed = [
            0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2,
            0x47, 0x01, 0xa0, 0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0,
            0x45, 0x20, 0x05, 0x24, 0x13, 0x88, 0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef, 0x03, 0x58,
            0x02, 0x8c, 0x09, 0x16, 0x01, 0x48, 0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00, 0x04, 0x01,
            0x18, 0x90, 0x00,
        ];
        let expected = b"F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E \
            E F# D E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D\0";
        let mut out = vec![9; CHUNK * 2];
        decompress(&packed, &mut out).unwrap();
        assert_eq!(&out[..expected.len()], expected);
        assert!(out[expected.len()..].iter().all(|b| *b == 0));
    }

    #[test]
    fn chunks_that_are_stored_follow_each_other() {
        let chunk = |byte: u8| [&[0xFF, 0x3F][..], &[byte; CHUNK]].concat();
        let packed = [chunk(1), chunk(2), vec![0, 0], chunk(3)].concat();
        let mut out = vec![9; CHUNK * 4];
        decompress(&packed, &mut out).unwrap();
        for (chunk, byte) in out.chunks(CHUNK).zip([1, 2, 0, 0]) {
            assert!(chunk.iter().all(|b| *b == byte));
        }
    }

    /// How many bits say how far back, counted as the specification does: the smallest number of
    /// at least 4 with which every byte before can be named.
    #[test]
    fn a_copy_reaches_back_to_the_first_byte_wherever_it_stands() {
        for at in 1..CHUNK - 3 {
            let bits = (4..).find(|bits| 1usize << bits >= at).unwrap();
            let token = ((at - 1) << (16 - bits)) as u16;
            let mut out = vec![0; CHUNK];
            out[..at].fill(1);
            out[0] = 7;
            assert_eq!(copy(token, at, &mut out), Ok(at + 3), "{at}");
            assert_eq!(out[at], 7, "{at}");
        }
    }

    #[test]
    fn what_can_not_be_is_an_error() {
        let mut out = vec![0; CHUNK];
        for packed in [
            &[0x01, 0x80, 0, 0][..],
            &[0xFF, 0xB0, 0, 0],
            &[0x02, 0xB0, 1, 0, 0],
            &[0x01, 0xB0, 1, 0],
        ] {
            assert!(decompress(packed, &mut out).is_err(), "{packed:x?}");
        }
        // As long a run as one token can say, over and over.
        let run = [&[0x03, 0xB0, 2, 1, 0xFF, 0x0F][..]].concat();
        assert!(decompress(&run, &mut out[..100]).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let mut rng = Rng::new(7);
        let mut out = vec![0; CHUNK * 2];
        for _ in 0..20_000 {
            let length = rng.below(60);
            let mut packed: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
            if let [_, high, ..] = &mut packed[..] {
                *high = *high & 0x80 | 0x30;
            }
            let _any = decompress(&packed, &mut out);
        }
    }
}
