//! The resize inode: the blocks that are kept for more group descriptors. Its map has a block for
//! each of them in group 0, so it is read only where something of it may be wanted.

use std::sync::OnceLock;

use hexz_ondisk::{Fields, read};
use hexz_resolve::{Claim, Diagnostic, OpenContext, RangeSet, ReadAt, Result, Scan};

use crate::geometry::{Geometry, RESERVED_GDT};
use crate::ondisk::{RawInode, compat};
use crate::reserved::{RESIZE, claims_of};

/// The resize inode of a filesystem that has one.
#[derive(Debug)]
pub(crate) struct ResizeInode {
    /// The blocks that the inode itself names.
    roots: RangeSet,
    claims: OnceLock<Vec<Claim>>,
}

impl ResizeInode {
    pub(crate) fn open(
        geometry: &Geometry,
        reader: &dyn ReadAt,
        cx: &OpenContext<'_>,
    ) -> Option<Self> {
        if !geometry.sb.compat(compat::RESIZE_INODE) {
            return None;
        }
        let roots = Self::roots(geometry, reader).unwrap_or_else(|error| {
            cx.diagnose(Diagnostic::from(&error.layer("ext4")));
            RangeSet::new()
        });
        Some(Self {
            roots,
            claims: OnceLock::new(),
        })
    }

    fn roots(geometry: &Geometry, reader: &dyn ReadAt) -> Result<RangeSet> {
        let Some(offset) = geometry.inode_offset(RESIZE) else {
            return Ok(RangeSet::new());
        };
        let size = usize::from(geometry.sb.s_inode_size);
        let bytes = read(reader, "reserved inode", offset, size)?;
        let inode = RawInode::new(Fields::new("reserved inode", offset, &bytes));
        let pointers = inode.i_block()?.as_bytes().as_chunks().0.iter();
        let blocks = pointers.map(|bytes| u64::from(u32::from_le_bytes(*bytes)));
        let blocks = blocks.filter(|block| *block != 0);
        Ok(blocks
            .filter_map(|block| geometry.blocks(block, 1))
            .collect())
    }

    /// Whether something of what is wanted may be this inode's, as far as that can be told without
    /// its map: `structures` are those that are wanted.
    pub(crate) fn is_near(
        &self,
        geometry: &Geometry,
        structures: &[Claim],
        wanted: &RangeSet,
    ) -> bool {
        // A cluster of it may hold blocks of others.
        geometry.sb.cluster_blocks > 1
            || self.roots.iter().any(|root| wanted.overlaps(root))
            || structures.iter().any(|claim| claim.detail == RESERVED_GDT)
    }

    /// What it owns.
    pub(crate) fn claims(
        &self,
        geometry: &Geometry,
        reader: &dyn ReadAt,
        cx: &Scan<'_>,
    ) -> &[Claim] {
        self.claims.get_or_init(|| {
            let diagnose = |finding| cx.diagnose(finding);
            claims_of(geometry, reader, RESIZE, &diagnose).unwrap_or_else(|error| {
                cx.diagnose(Diagnostic::from(&error.layer("ext4")));
                Vec::new()
            })
        })
    }
}
