//! The checksum of a whole transaction, version 1. The others are the filesystem's own.

/// CRC-32 with the high bit first (polynomial 0x04C11DB7), the register not inverted: checksum
/// version 1 of a transaction.
pub(crate) fn crc32_be(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |crc, byte| {
        let [high, ..] = crc.to_be_bytes();
        let entry = TABLE.get(usize::from(high ^ byte)).copied().unwrap_or(0);
        (crc << 8) ^ entry
    })
}

const TABLE: [u32; 256] = table();

// A `for` loop, `get_mut` and `u32::from` are not to be had in a constant; the index is below 256.
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]
const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut n = 0;
    while n < 256 {
        let mut crc = (n as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 != 0 {
                (crc << 1) ^ 0x04C1_1DB7
            } else {
                crc << 1
            };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_check_value() {
        // CRC-32/MPEG-2.
        assert_eq!(crc32_be(!0, b"123456789"), 0x0376_E6E7);
    }
}
