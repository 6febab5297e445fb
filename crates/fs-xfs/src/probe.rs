//! Whether a device holds XFS.

use hexz_ondisk::Fields;
use hexz_resolve::{ErrorKind, Probe, Window};

use crate::disk::checksum;
use crate::geometry::Superblock;
use crate::ondisk::SB_MAGIC;

pub(crate) fn probe(window: &Window) -> Probe {
    let Some(bytes) = window.bytes(0, Superblock::LENGTH) else {
        return Probe::No;
    };
    if !bytes.starts_with(&SB_MAGIC) {
        return Probe::No;
    }
    let fields = Fields::new("superblock", 0, bytes);
    match Superblock::parse(&fields, window.size()) {
        Ok(sb) => {
            let sector = usize::try_from(sb.geometry.sect_size()).unwrap_or(0);
            let sound = sb.geometry.v5
                && window
                    .bytes(0, sector)
                    .is_some_and(|sector| fields.le32(224).ok() == checksum(sector, 224));
            Probe::matches(if sound { 95 } else { 80 })
        }
        // What is not read is said when it is opened.
        Err(error) if error.kind() == ErrorKind::Unsupported => Probe::matches(60),
        // A copy of the superblock may be left.
        Err(_) => Probe::matches(50),
    }
}
