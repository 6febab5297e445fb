//! The fixtures' images: by how they were made, and by what other crates read of them.

mod bad_sectors;
mod common;
mod contents;
mod search;
mod second_opinion;
mod volumes;
