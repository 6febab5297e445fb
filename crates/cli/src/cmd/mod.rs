//! The commands, in the place where hexz has them.

pub mod data;
pub(crate) mod explain;
