//! An open filesystem: what all passes share.

use hexz_clusters::Volume;
use hexz_resolve::{FsInfo, Replayed};

use crate::entries::Fat;
use crate::ondisk::Boot;

/// An open filesystem.
#[derive(Debug)]
pub(crate) struct FatFs {
    pub(crate) info: FsInfo,
    pub(crate) boot: Boot,
    pub(crate) volume: Volume<Fat>,
    pub(crate) replayed: Replayed,
}
