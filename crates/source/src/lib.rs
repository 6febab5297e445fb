//! Where changed blocks and disk images come from.
//!
//! [`Given`] opens a disk image, by its content unless it is said to be raw: raw files and block
//! devices, `.hxz` archives, qcow2, VHD, and with their features VMDK and VHDX. The change sources
//! are [`HexzOverlay`] (a data file with its `.meta` index), [`Qcow2Overlay`], [`VhdOverlay`],
//! [`TwoImages`] and [`ExtentList`].
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

mod cache;
mod chain;
mod extents;
mod file;
mod foreign;
mod gate;
#[cfg(any(feature = "vmdk", feature = "vhdx"))]
mod holes;
pub mod hxz;
mod image;
pub mod meta;
mod num;
mod overlay;
mod qcow2;
mod ranges;
mod tail;
mod two_images;
mod vhd;
#[cfg(feature = "vhdx")]
mod vhdx;
#[cfg(feature = "vmdk")]
mod vmdk;

pub use extents::{ExtentList, ListFormat};
pub use file::RawFile;
pub use gate::DefaultGate;
pub use image::{Format, Given, detect, open_image};
pub use overlay::{HexzOverlay, OverlayReader};
pub use qcow2::Qcow2Overlay;
pub use two_images::TwoImages;
pub use vhd::VhdOverlay;
