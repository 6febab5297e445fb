//! Test readers, fixtures and the conformance suite that every filesystem plugin passes.
//!
//! A filesystem crate takes this crate as a dev-dependency and runs the suite on images of its
//! own:
//!
//! ```no_run
//! use std::sync::Arc;
//! use hexz_resolve::FilesystemPlugin;
//! use hexz_testkit::{Fixture, conformance};
//!
//! // A `#[test]` with `Arc::new(Ext4)` for the plugin.
//! fn conforms(plugin: Arc<dyn FilesystemPlugin>) {
//!     let image = Fixture::load("htree").base();
//!     conformance::check(&plugin, &image, &conformance::Options::default());
//! }
//! ```
//!
//! An image for the suite should be sound, small (1 to 4 MiB), and hold every structure the
//! format has. [`conformance`] says what is checked. Seeds are fixed, so a failure repeats; the
//! message names the seed, the offset and the bytes. With `HEXZ_CONFORMANCE_TRACE=1` each damage
//! is printed before it is tried, which finds the one that aborts the process.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // It reads fixtures.

pub mod conformance;
mod disk;
mod faulty;
mod fixture;
mod git;
mod patched;
mod rng;
mod scratch;
mod vhd;
mod vhdx;

pub use disk::SparseDisk;
pub use faulty::Faulty;
pub use fixture::{Fixture, decompress, fixtures_dir, recipe_hash, workspace_dir};
pub use git::git_apply;
pub use patched::Patched;
pub use rng::Rng;
pub use scratch::CountedScratch;
pub use vhd::VhdImage;
pub use vhdx::VhdxImage;
