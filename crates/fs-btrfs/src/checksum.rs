//! The four checksums.

use blake2::Blake2b;
use blake2::digest::consts::U32;
use sha2::{Digest as _, Sha256};
use twox_hash::XxHash64;

use hexz_resolve::{Error, Result};

/// Bytes of the checksum field at the start of superblocks and tree blocks.
pub(crate) const FIELD: usize = 32;

/// The offset of the key of a `DIR_ITEM` with this name.
pub(crate) fn name_hash(name: &[u8]) -> u64 {
    u64::from(!crc32c::crc32c_append(1, name))
}

/// The offset of the key of an `INODE_EXTREF` with this name.
pub(crate) fn extref_hash(parent: u64, name: &[u8]) -> u64 {
    let seed = u32::try_from(parent & 0xFFFF_FFFF).unwrap_or_default();
    u64::from(!crc32c::crc32c_append(!seed, name))
}

/// `enum btrfs_csum_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Checksum {
    Crc32c,
    XxHash64,
    Sha256,
    Blake2b,
}

impl Checksum {
    /// The one with this number.
    pub(crate) fn of(csum_type: u16) -> Result<Self> {
        Ok(match csum_type {
            0 => Self::Crc32c,
            1 => Self::XxHash64,
            2 => Self::Sha256,
            3 => Self::Blake2b,
            other => {
                let text = format!("checksums of type {other}");
                return Err(Error::unsupported("superblock", text));
            }
        })
    }

    /// Bytes of one checksum.
    pub(crate) const fn length(self) -> usize {
        match self {
            Self::Crc32c => 4,
            Self::XxHash64 => 8,
            Self::Sha256 | Self::Blake2b => 32,
        }
    }

    /// The checksum of `bytes`, with zeros behind the short ones.
    pub(crate) fn compute(self, bytes: &[u8]) -> [u8; FIELD] {
        fn padded(sum: &[u8]) -> [u8; FIELD] {
            let mut field = [0; FIELD];
            for (to, from) in field.iter_mut().zip(sum) {
                *to = *from;
            }
            field
        }
        match self {
            Self::Crc32c => padded(&crc32c::crc32c(bytes).to_le_bytes()),
            Self::XxHash64 => padded(&XxHash64::oneshot(0, bytes).to_le_bytes()),
            Self::Sha256 => padded(&Sha256::digest(bytes)),
            Self::Blake2b => padded(&Blake2b::<U32>::digest(bytes)),
        }
    }

    /// Whether a superblock or tree block carries the right checksum of what follows the field.
    pub(crate) fn holds(self, block: &[u8]) -> bool {
        let (Some(stored), Some(rest)) = (block.get(..self.length()), block.get(FIELD..)) else {
            return false;
        };
        self.compute(rest).starts_with(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of `default` is that of the entry that each `mkfs.btrfs` makes.
    #[test]
    fn names_are_hashed_as_the_kernel_does() {
        assert_eq!(name_hash(b"default"), 2_378_154_706);
    }
}
