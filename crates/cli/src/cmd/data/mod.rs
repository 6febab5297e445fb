//! Commands on disk data.

pub mod diff;
pub(crate) mod layout;
pub(crate) mod lists;
pub(crate) mod overlays;
pub(crate) mod owner;
