//! Report writers: human, JSON Lines, name-status, raw blocks.
//!
//! Writers take the report as data (`hexz_resolve::report`) and a [`Write`](std::io::Write); they
//! escape what comes from an image before it reaches a terminal, and pass on write errors.

mod blocks;
mod changes;
pub mod codes;
mod escape;
mod html;
mod human;
mod json;
mod listed;
mod listing;
mod lists;
mod measure;
mod names;
mod notable;
mod owners;
mod places;
#[cfg(feature = "serde")]
pub mod read;
mod select;
mod text;
mod time;

pub use blocks::{Original, write_blocks, write_files, write_summary};
pub use changes::{Changes, Form, write_changes};
pub use escape::{JsonForTerminal, escaped};
pub use html::{MapPage, write_html};
pub use human::{Heard, Human, View, write_human, write_layout};
pub use json::{JsonOwners, write_layout_json};
pub use listed::ListedFile;
pub use listing::Listing;
pub use lists::{
    LineStarts, ListPiece, SumLines, overlay_prefix, write_list_error, write_list_piece,
    write_overlay_error,
};
pub use measure::{content_bytes, written_bytes};
pub use owners::HumanOwners;
pub use places::{Mount, Places, mounts};
pub use select::{Globs, Selection};
pub use text::size;

/// Version of the JSON schema.
pub const SCHEMA: u32 = 1;

/// What the header calls the tool.
pub const TOOL: &str = concat!("hexz ", env!("CARGO_PKG_VERSION"));
