//! Where changed blocks and disk images come from.
//!
//! [`Given`] opens a disk image, by its content unless it is said to be raw: raw files and block
//! devices, `.hxz` archives, qcow2, VHD, VHDX, VMDK, VDI, Parallels and QED. The change sources are
//! [`HexzOverlay`] (a data file with its `.meta` index), [`ImageOverlay`] (an image over what it
//! stands on), [`TwoImages`] and [`ExtentList`]; [`open_changes`] tells which of them a file is.
//!
//! Files that the user names are opened as they are; files that an *image* names go through an
//! [`OpenGate`](hexz_resolve::OpenGate), of which [`DefaultGate`] is the careful one.
//!
//! No image is written to, and no byte that can't be had is made up.

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

mod blockset;
mod cache;
mod chain;
mod changes;
mod compare;
mod copies;
mod directory;
mod extents;
mod file;
mod format;
mod gate;
mod hexz_overlay;
pub mod hxz;
mod identity;
mod image;
mod json;
mod layer;
pub mod meta;
mod mounted;
mod moved;
mod num;
mod open;
mod opening;
mod overlay;
mod parallels;
mod qcow2;
mod qed;
mod ranges;
mod raw;
mod snapshot_store;
mod table;
mod two_images;
mod undo;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

pub use changes::{ChangesOptions, Kind, check_two_images, kept_in, kind_of, open_changes};
pub use extents::{ExtentList, ListFormat};
pub use file::RawFile;
pub use format::{Format, detect};
pub use gate::DefaultGate;
pub use hexz_overlay::{HexzOverlay, OverlayReader};
pub use open::{Given, open_image};
pub use overlay::ImageOverlay;
pub use snapshot_store::Exceptions;
pub use two_images::TwoImages;
