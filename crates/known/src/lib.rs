//! The table of known formats: one row each in `table`, with what recognises it.
//!
//! Detection asks each row whether its format shows itself. Where no plugin reads the format, the
//! volume is called by its name; and whether a plugin reads it or not, a sound sign of it tells
//! what older formats left elsewhere apart from what is there now.

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

mod apple;
mod archives;
mod device_mapper;
mod encrypted;
mod linux;
mod look;
mod members;
mod old_linux;
mod optical;
mod raid;
mod rom;
mod table;
mod tables;
mod unix;
mod windows;

pub use table::TABLE;

use hexz_resolve::{DuplicateId, RegistryBuilder};

/// Adds all rows.
///
/// # Errors
/// When a row with the id of one is there.
pub fn register(registry: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    for row in TABLE {
        registry.known(*row)?;
    }
    Ok(())
}
