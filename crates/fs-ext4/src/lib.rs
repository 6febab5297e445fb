//! ext2, ext3 and ext4: owners of blocks, names of inodes
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

#[allow(dead_code)] // Until `open` calls it.
mod journal;
