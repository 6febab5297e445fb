//! Whether a device holds ext2, ext3 or ext4.

use hexz_ondisk::Fields;
use hexz_resolve::{Descriptor, Magic, Probe, Window};

use crate::checksum::crc;
use crate::ondisk::{SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock, ro_compat};

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    id: "ext4",
    name: "ext2/3/4",
    magics: &[Magic::at(SUPERBLOCK_OFFSET + 0x38, &[0x53, 0xEF])],
    minimum_size: SUPERBLOCK_OFFSET + 1024,
    container: false,
    specification: "https://www.kernel.org/doc/html/latest/filesystems/ext4/index.html",
};

pub(crate) fn probe(window: &Window) -> Probe {
    let Some(bytes) = window.bytes(SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE) else {
        return Probe::No;
    };
    let fields = Fields::new("ext4 superblock", SUPERBLOCK_OFFSET, bytes);
    match Superblock::parse(fields) {
        Err(error) => Probe::Damaged {
            reason: error.to_string(),
        },
        // `s_block_group_nr`: a backup that a volume happens to start in front of, whose blocks lie
        // elsewhere.
        Ok(_) if fields.le16(0x5A).is_ok_and(|group| group != 0) => Probe::No,
        Ok(sb) => Probe::matches(match checksum_matches(&sb, fields) {
            Some(true) => 95,
            Some(false) => 60,
            None => 80,
        }),
    }
}

/// Whether the superblock matches its checksum; `None` when it has none.
pub(crate) fn checksum_matches(sb: &Superblock, fields: Fields<'_>) -> Option<bool> {
    if !sb.ro_compat(ro_compat::METADATA_CSUM) {
        return None;
    }
    let body = fields.bytes(0, 0x3FC).ok()?;
    Some(crc(!0, body) == fields.le32(0x3FC).ok()?)
}
