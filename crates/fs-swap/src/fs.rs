//! An open swap area.

use std::sync::Arc;

use hexz_resolve::{FsInfo, ReadAt, Replayed};

use crate::ondisk::Header;

/// One view of a swap area.
pub(crate) struct Swap {
    pub(crate) info: FsInfo,
    pub(crate) header: Header,
    pub(crate) reader: Arc<dyn ReadAt>,
    /// Nothing: there is no journal.
    pub(crate) replayed: Replayed,
}
