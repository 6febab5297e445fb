//! An open filesystem: what all passes share.

use hexz_clusters::Volume;
use hexz_resolve::{FsInfo, Replayed};

use crate::entries::Exfat;
use crate::ondisk::Boot;
use crate::system::System;

/// An open filesystem.
#[derive(Debug)]
pub(crate) struct ExfatFs {
    pub(crate) info: FsInfo,
    pub(crate) boot: Boot,
    pub(crate) system: System,
    pub(crate) volume: Volume<Exfat>,
    pub(crate) replayed: Replayed,
}
