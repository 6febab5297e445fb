//! The two checksums of a journal.

/// CRC-32C as jbd2 and ext4 chain it: `seed` is the register itself, not inverted on either side.
pub(crate) fn crc32c_raw(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

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
    fn the_check_values_of_the_crc_catalogue() {
        // CRC-32/MPEG-2, and CRC-32/ISCSI before its final inversion.
        assert_eq!(crc32_be(!0, b"123456789"), 0x0376_E6E7);
        assert_eq!(crc32c_raw(!0, b"123456789"), !0xE306_9283);
        let first = crc32c_raw(!0, b"1234");
        assert_eq!(crc32c_raw(first, b"56789"), !0xE306_9283);
    }
}
