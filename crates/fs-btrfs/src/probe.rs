//! Whether a device is a btrfs, or one of the devices of one.

use hexz_ondisk::Fields;
use hexz_resolve::{Descriptor, Group, Magic, Probe, Window};

use crate::checksum::Checksum;
use crate::ondisk::{MAGIC, SUPER_OFFSETS, SUPER_SIZE, Superblock};

/// Byte of the magic in a superblock.
const MAGIC_AT: u64 = 64;
const PRIMARY: u64 = SUPER_OFFSETS[0];

/// What the plugin is.
pub(crate) const DESCRIPTOR: Descriptor = Descriptor {
    id: "btrfs",
    name: "btrfs",
    magics: &[Magic::at(PRIMARY + MAGIC_AT, MAGIC)],
    minimum_size: PRIMARY + 4096,
    container: false,
    specification: "https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html",
};

/// Whether a device with this window is one.
pub(crate) fn probe(window: &Window) -> Probe {
    let Some(bytes) = window.bytes(PRIMARY, SUPER_SIZE) else {
        return Probe::No;
    };
    let fields = Fields::new("superblock", PRIMARY, bytes);
    if fields.bytes(64, MAGIC.len()).ok() != Some(MAGIC.as_slice()) {
        return Probe::No;
    }
    let Ok(checksum) = fields.le16(196).and_then(Checksum::of) else {
        // `open` says which it is.
        return Probe::matches(50);
    };
    if !checksum.holds(bytes) {
        // A copy may be sound: `open` looks for one.
        return Probe::matches(40);
    }
    match Superblock::parse(&fields, PRIMARY) {
        Ok(superblock) => Probe::Match {
            confidence: 95,
            group: group(&superblock),
        },
        Err(error) => Probe::Damaged {
            reason: error.to_string(),
        },
    }
}

/// Which of several devices this is. What may be the seed of another filesystem waits for that.
fn group(superblock: &Superblock) -> Option<Group> {
    (superblock.num_devices > 1 || superblock.is_seed).then(|| Group {
        id: superblock.fsid.to_vec(),
        member: superblock.devid,
        members: u32::try_from(superblock.num_devices).ok(),
        generation: superblock.generation,
    })
}
