//! Reported ranges of files, read again by parsers that share no code with ours: the crates
//! `ext4-view` and `ntfs`.
//!
//! They run in a child process, which is given no file and no path of this system: it asks its
//! parent for bytes of the volume through its standard output, and has limits on memory and time.
//! So a fault of theirs takes nothing down.

mod child;
mod parent;
mod wire;

pub use child::run;
pub use parent::{Asked, Outcome, Parser, Range, verify};
