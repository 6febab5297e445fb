//! Whether a device is a toyfs.

use hexz_ondisk::Fields;
use hexz_resolve::{Descriptor, ErrorKind, Magic, Probe, Window};

use crate::ondisk::{MAGIC, Superblock};

/// What this plugin is.
pub(crate) const DESCRIPTOR: Descriptor = Descriptor {
    id: "toyfs",
    name: "Toy filesystem",
    magics: &[Magic::at(0, MAGIC)],
    minimum_size: 2048,
    container: false,
    specification: "docs/adding-a-filesystem.md",
};

/// Reads the superblock in the window. Fields that agree with each other are worth more than a
/// magic alone.
pub(crate) fn probe(window: &Window) -> Probe {
    let Some(bytes) = window.bytes(0, 64) else {
        return Probe::No;
    };
    if !bytes.starts_with(MAGIC) {
        return Probe::No;
    }
    match Superblock::parse(&Fields::new("superblock", 0, bytes)) {
        Ok(_) => Probe::matches(80),
        // `open` says which version it is.
        Err(error) if error.kind() == ErrorKind::Unsupported => Probe::matches(50),
        Err(error) => Probe::Damaged {
            reason: error.to_string(),
        },
    }
}
