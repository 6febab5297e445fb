//! One disk and many lists of changed blocks of it.
//!
//! A [`Mapper`] is an [`OwnerVisitor`](hexz_resolve::report::OwnerVisitor): it condenses what the
//! engine finds of a whole disk into a [`DiskMap`], which has a few bytes for each piece. The map
//! is made once; [`DiskMap::sums`] and [`DiskMap::pieces`] then answer for a list of changed
//! ranges without reading the disk again.

mod answers;
mod map;
mod mapper;
mod starts;
mod sums;

pub use answers::Answer;
pub use map::{DiskMap, MapPiece};
pub use mapper::Mapper;
pub use sums::Total;
