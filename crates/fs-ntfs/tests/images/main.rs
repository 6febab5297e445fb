//! The fixtures' images: by how they were made, and by what other crates read of them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

mod bad_sectors;
mod common;
mod contents;
mod search;
mod second_opinion;
mod volumes;
