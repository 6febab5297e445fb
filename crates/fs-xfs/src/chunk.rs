//! An inode chunk, as an inode btree has it.

use hexz_resolve::RangeSet;

use crate::geometry::Geometry;
use crate::ondisk::INODES_PER_CHUNK;

/// 64 inodes that lie side by side, `struct xfs_inobt_rec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Chunk {
    /// `ir_startino`: number of the first inode, in its group.
    pub(crate) start: u32,
    /// `ir_holemask`: four inodes a bit; set where there are none.
    pub(crate) holes: u16,
    /// `ir_free`: set for inodes that are not in use, holes included.
    pub(crate) free: u64,
}

impl Chunk {
    /// Whether inode `index` of the chunk is there at all.
    fn is_there(&self, index: u32) -> bool {
        u32::from(self.holes).checked_shr(index / 4).unwrap_or(0) & 1 == 0
    }

    /// Whether inode `index` of the chunk is in use.
    pub(crate) fn is_used(&self, index: u32) -> bool {
        self.is_there(index) && self.free.checked_shr(index).unwrap_or(1) & 1 == 0
    }

    /// The bytes of its inodes, without the holes.
    pub(crate) fn ranges(&self, geometry: &Geometry, agno: u32) -> RangeSet {
        (0..INODES_PER_CHUNK / 4)
            .filter(|n| self.is_there(n.saturating_mul(4)))
            .filter_map(|n| {
                let agino = self.start.checked_add(n.saturating_mul(4))?;
                geometry.inode_range(agno, agino, 4)
            })
            .collect()
    }
}
