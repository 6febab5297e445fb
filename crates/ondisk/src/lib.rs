//! What format crates share: reading fields of on-disk structures that know where on the image
//! they lie, so that every error can say so.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::as_conversions
    )
)]

mod fields;
pub mod file_table;
mod guid;
mod kept;
mod salvage;
mod search;
mod utf16;

pub use fields::Fields;
pub use guid::Guid;
pub use hexz_resolve::with_buffer;
pub use kept::{Kept, KeptReader};
pub use salvage::read_what_can_be;
pub use search::NameSearch;
pub use utf16::wtf8_from_utf16le;

use hexz_resolve::{Error, ReadAt, Result, read_vec};

/// Reads `length` bytes at `offset` of `reader` as a `structure`. The length must be one that
/// was checked or is fixed; it is refused when the reader is not that long.
///
/// # Errors
/// `Io`, at `offset`.
pub fn read(
    reader: &dyn ReadAt,
    structure: &'static str,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>> {
    read_vec(reader, offset, length).map_err(|e| Error::io(structure, e).at(offset))
}

/// Fills `buf` with the bytes of `structure` at `offset`.
///
/// # Errors
/// `Io`, at `offset`.
pub fn read_into(
    reader: &dyn ReadAt,
    structure: &'static str,
    offset: u64,
    buf: &mut [u8],
) -> Result<()> {
    reader
        .read_exact_at(offset, buf)
        .map_err(|e| Error::io(structure, e).at(offset))
}

/// `value` as a length in memory; `None` where it does not fit this machine.
#[must_use]
pub fn to_usize(value: u64) -> Option<usize> {
    usize::try_from(value).ok()
}
