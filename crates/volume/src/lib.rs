//! Partition tables and volume managers: GPT, MBR with logical partitions, LVM2, Linux RAID.
//!
//! The crates `gpt` and `mbrman` decode single records; what is handed to them was read and
//! checked here before, since neither is made for hostile tables.

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
mod gpt;
mod lvm2;
mod mbr;
mod md;
mod place;
mod types;

pub use gpt::GptScheme;
pub use lvm2::Lvm2Scheme;
pub use mbr::MbrScheme;
pub use md::MdScheme;
pub use types::partition_type_name;

use hexz_resolve::{DuplicateId, RegistryBuilder};

/// Adds all schemes.
///
/// # Errors
/// When a plugin with the id of one is there.
pub fn register(registry: &mut RegistryBuilder) -> Result<(), DuplicateId> {
    registry.scheme(GptScheme)?;
    registry.scheme(Lvm2Scheme)?;
    registry.scheme(MbrScheme)?;
    registry.scheme(MdScheme)?;
    Ok(())
}
