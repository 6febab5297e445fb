//! What FAT and exFAT have in common: a heap of clusters, a table that chains them, and
//! directories of 32-byte entries that are all there is of a file besides its content.
//!
//! A format says what an entry means ([`Format`]); [`Volume`] answers the questions of
//! [`Filesystem`](hexz_resolve::Filesystem) from that.
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

mod chain;
mod claims;
mod faults;
mod files;
mod format;
mod heap;
mod known;
mod reach;
mod sets;
mod slots;
mod table;
mod time;
mod tree;
mod volume;

pub use chain::{Chain, ChainEnd, Steps};
pub use format::{Entry, Flow, Format, Set, Slot};
pub use heap::Heap;
pub use known::Known;
pub use table::{Next, Table, TablePlace};
pub use time::{date_and_time, local};
pub use tree::Item;
pub use volume::{Root, Volume};

/// Bytes of a directory entry.
pub const ENTRY: usize = 32;
/// The number by which the root directory is known, which no entry describes.
pub const ROOT: u64 = 0;
