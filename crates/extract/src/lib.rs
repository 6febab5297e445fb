//! Files out of the filesystems on an image.
//!
//! [`Tree`] walks one filesystem by path, [`Extractor`] writes files below one folder, and never
//! outside of it. Names, links and contents come from an image that may be hostile: nothing here
//! follows a link of the target folder, and every name is checked before the system sees it.
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

mod acl;
mod budget;
mod changed;
mod copy;
mod extractor;
mod folder;
mod hunks;
mod layer;
mod lookup;
mod moved;
mod name;
mod packed;
mod patch;
mod pax;
mod place;
mod plan;
mod problem;
mod restore;
mod tree;
mod upper;

pub use budget::Budget;
pub use changed::Side;
pub use copy::copy_to;
pub use extractor::{Extracted, Extractor, Options};
pub use folder::Folder;
pub use layer::{LayerError, LayerOptions, Views, write_layer};
pub use lookup::{Lookup, Resolved};
pub use moved::Moved;
pub use name::Name;
pub use packed::{Packed, Packer, Packing};
pub use patch::{PatchOptions, write_patch};
pub use place::{Finder, Found, Place};
pub use problem::{Problem, Problems};
pub use tree::{Entry, Tree};
pub use upper::as_seen;
