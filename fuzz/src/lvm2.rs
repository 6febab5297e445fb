//! What LVM2 needs to be taken for sound.

/// The checksum of `bytes`, as it lies in labels and headers.
#[must_use]
pub fn lvm2_sum(bytes: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new_with_initial(!0xF597_A6CF);
    sum.update(bytes);
    (!sum.finalize()).to_le_bytes()
}
