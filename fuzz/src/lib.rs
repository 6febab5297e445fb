//! What the fuzz targets share: taking inputs apart, damaging fixtures, running filesystems.

mod damage;
mod filesystem;
mod images;
mod input;
mod lvm2;
mod source;

pub use damage::{Damaged, apply};
pub use filesystem::{Images, ask_all, run};
pub use images::{ImageFiles, compare, open_and_read, overlay};
pub use input::Input;
pub use lvm2::lvm2_sum;
pub use source::{Closed, read_some};
