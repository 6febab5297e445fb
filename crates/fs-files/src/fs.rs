//! An open file table: what all passes share.

use std::sync::Arc;

use hexz_ondisk::file_table::Header;
use hexz_resolve::{FsInfo, ReadAt, Replayed};

/// One view of a set of files.
pub(crate) struct Files {
    pub(crate) info: FsInfo,
    pub(crate) header: Header,
    pub(crate) volume: Arc<dyn ReadAt>,
    /// Nothing: there is no journal.
    pub(crate) replayed: Replayed,
}
