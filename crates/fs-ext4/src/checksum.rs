//! Metadata checksums: CRC32C without the final inversion, as ext4 chains it; and the CRC-16 that
//! group descriptors had before.

/// The checksum of `bytes` that goes on from `seed`.
pub(crate) fn crc(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// The CRC-16 of polynomial 0x8005, bits reversed, of `bytes`, that goes on from `seed`.
pub(crate) fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(seed, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| {
            let carry = if sum & 1 == 0 { 0 } else { 0xA001 };
            sum >> 1 ^ carry
        })
    })
}

/// The seed of what belongs to one inode.
pub(crate) fn inode_seed(filesystem: u32, number: u64, generation: u32) -> u32 {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    crc(
        crc(filesystem, &number.to_le_bytes()),
        &generation.to_le_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_check_value() {
        // CRC-32C of "123456789" is e3069283, with both inversions.
        assert_eq!(!crc(!0, b"123456789"), 0xE306_9283);
        assert_eq!(crc(crc(!0, b"1234"), b"56789"), crc(!0, b"123456789"));
        // CRC-16/MODBUS, which starts from all ones.
        assert_eq!(crc16(!0, b"123456789"), 0x4B37);
    }
}
