//! Whether a device is a disk with a file table.

use hexz_ondisk::file_table::{FRONT, HEADER, Header, MAGIC};
use hexz_ondisk::{Fields, read};
use hexz_resolve::{Descriptor, Magic, Probe, ReadAt, Result, Window};

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    id: "files",
    name: "files of an archive",
    magics: &[Magic::at(0, MAGIC)],
    minimum_size: 2 * FRONT,
    container: false,
    specification: "docs/formats/hxz.md",
};

pub(crate) fn probe(window: &Window) -> Probe {
    let Some(bytes) = window.bytes(0, HEADER) else {
        return Probe::No;
    };
    if !bytes.starts_with(MAGIC) {
        return Probe::No;
    }
    match Header::parse(&Fields::new("file table", 0, bytes)) {
        Ok(_) => Probe::matches(95),
        Err(error) => Probe::Damaged {
            reason: error.to_string(),
        },
    }
}

/// The header of a disk.
pub(crate) fn header(volume: &dyn ReadAt) -> Result<Header> {
    let bytes = read(volume, "file table", 0, HEADER)?;
    Header::parse(&Fields::new("file table", 0, &bytes))
}
