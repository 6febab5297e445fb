//! UTF-16 names as WTF-8: UTF-8 in which a lone surrogate is kept, as three bytes.

/// Little-endian UTF-16 as WTF-8. A trailing odd byte is left out.
#[must_use]
pub fn wtf8_from_utf16le(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.chunks_exact(2).map(|pair| match pair {
        [low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    });
    let mut out = Vec::with_capacity(bytes.len());
    for unit in char::decode_utf16(units) {
        match unit {
            Ok(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(lone) => {
                let [high, low] = lone.unpaired_surrogate().to_be_bytes();
                let middle = (high & 0x0F) << 2 | low >> 6;
                out.extend_from_slice(&[0xE0 | high >> 4, 0x80 | middle, 0x80 | low & 0x3F]);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_join_and_lone_surrogates_stay() {
        let units = [0x0041u16, 0xD83D, 0xDE00, 0xD800, 0x00E9];
        let bytes: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
        let expected = [
            b"A".as_slice(),
            "😀".as_bytes(),
            &[0xED, 0xA0, 0x80],
            "é".as_bytes(),
        ];
        assert_eq!(wtf8_from_utf16le(&bytes), expected.concat());
    }
}
