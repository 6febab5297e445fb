//! Metadata checksums: CRC32C without the final inversion, as ext4 chains it.

/// The checksum of `bytes` that goes on from `seed`.
pub(crate) fn crc(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
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
    }
}
