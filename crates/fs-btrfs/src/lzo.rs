//! LZO1X, and how btrfs packs it: described in the kernel's `Documentation/staging/lzo.rst` and at
//! the top of `fs/btrfs/lzo.c`.

/// Decodes one LZO1X stream, of at most `most` bytes. `None` where it is damaged.
fn decode(packed: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut input = Input {
        bytes: packed,
        at: 0,
    };
    let mut out = Vec::new();
    // How many literals came with the last instruction; 4 for a run of its own.
    let mut state = 0;
    if *packed.first()? > 17 {
        let count = usize::from(input.byte()?).checked_sub(17)?;
        input.copy(count, most, &mut out)?;
        state = count.min(4);
    }
    loop {
        let code = usize::from(input.byte()?);
        let (distance, length, literals);
        match code {
            0..16 if state == 0 => {
                let count = input.length(code, 15)?.checked_add(3)?;
                input.copy(count, most, &mut out)?;
                state = 4;
                continue;
            }
            0..16 => {
                let more = usize::from(input.byte()?).checked_shl(2)?;
                let (base, count) = if state == 4 { (0x801, 3) } else { (1, 2) };
                distance = (code >> 2).checked_add(more)?.checked_add(base)?;
                (length, literals) = (count, code & 3);
            }
            16..32 => {
                length = input.length(code & 7, 7)?.checked_add(2)?;
                let low = input.pair()?;
                let far = ((code & 8) << 11).checked_add(low >> 2)?;
                if far == 0 {
                    return Some(out);
                }
                distance = far.checked_add(0x4000)?;
                literals = low & 3;
            }
            32..64 => {
                length = input.length(code & 31, 31)?.checked_add(2)?;
                let low = input.pair()?;
                distance = (low >> 2).checked_add(1)?;
                literals = low & 3;
            }
            _ => {
                let more = usize::from(input.byte()?).checked_shl(3)?;
                distance = ((code >> 2) & 7).checked_add(more)?.checked_add(1)?;
                length = (code >> 5).checked_add(1)?;
                literals = code & 3;
            }
        }
        if out.len().checked_add(length)? > most {
            return None;
        }
        for _ in 0..length {
            let from = out.len().checked_sub(distance)?;
            out.push(*out.get(from)?);
        }
        input.copy(literals, most, &mut out)?;
        state = literals;
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at = self.at.checked_add(1)?;
        Some(byte)
    }

    fn pair(&mut self) -> Option<usize> {
        let (low, high) = (self.byte()?, self.byte()?);
        Some(usize::from(u16::from_le_bytes([low, high])))
    }

    /// A length: what is in the code, or, where that is 0, `base` and what follows.
    fn length(&mut self, code: usize, base: usize) -> Option<usize> {
        if code != 0 {
            return Some(code);
        }
        let mut length = base;
        loop {
            match self.byte()? {
                0 => length = length.checked_add(255)?,
                last => return length.checked_add(usize::from(last)),
            }
        }
    }

    fn copy(&mut self, count: usize, most: usize, out: &mut Vec<u8>) -> Option<()> {
        let end = self.at.checked_add(count)?;
        let literals = self.bytes.get(self.at..end)?;
        if out.len().checked_add(count)? > most {
            return None;
        }
        out.extend_from_slice(literals);
        self.at = end;
        Some(())
    }
}

/// Decodes what btrfs packed: a total length, then segments of one sector each, with their
/// lengths, none of which lies across the border of a sector.
pub(crate) fn unpack(packed: &[u8], sector: usize, most: usize) -> Option<Vec<u8>> {
    let number = |at: usize| -> Option<usize> {
        let bytes = packed.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let total = number(0)?;
    let mut out = Vec::new();
    let mut at = 4usize;
    while at < total && out.len() < most {
        let rest = sector.checked_sub(at.checked_rem(sector)?)?;
        if rest < 4 {
            at = at.checked_add(rest)?;
        }
        let length = number(at)?;
        at = at.checked_add(4)?;
        let end = at.checked_add(length)?;
        out.extend(decode(packed.get(at..end)?, sector)?);
        at = end;
    }
    out.truncate(most);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_matches() {
        // "abc", then three bytes from three back twice over, then the end.
        let packed = [17 + 4, b'a', b'b', b'c', b'd', 0b0110_1100, 0, 17, 0, 0];
        assert_eq!(decode(&packed, 100).unwrap(), b"abcdabcd");
        assert_eq!(decode(&packed, 7), None);
        for end in 0..packed.len() {
            assert_eq!(decode(&packed[..end], 100), None, "{end}");
        }
    }
}
