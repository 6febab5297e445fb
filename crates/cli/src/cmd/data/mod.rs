//! Commands on disk data.

pub(crate) mod cat;
pub mod diff;
pub(crate) mod extract;
pub(crate) mod layout;
pub(crate) mod lists;
pub(crate) mod ls;
pub(crate) mod overlays;
pub(crate) mod owner;
pub(crate) mod page;
pub(crate) mod take;
pub(crate) mod verify;
