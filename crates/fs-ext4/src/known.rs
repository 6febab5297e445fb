//! What is claimed before any sweep.

use hexz_resolve::{Claim, Diagnostic, OpenContext, ReadAt};

use crate::geometry::Geometry;
use crate::ondisk::compat;
use crate::reserved::{RESIZE, claims_of};
use crate::resize::ResizeInode;

/// What is claimed before any sweep.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By these inodes.
    pub(crate) numbers: Vec<u64>,
    /// By the journal, to which nearly every change writes.
    pub(crate) claims: Vec<Claim>,
    /// By the resize inode, which shares blocks with structures.
    pub(crate) resize: Option<ResizeInode>,
}

impl Known {
    pub(crate) fn find(geometry: &Geometry, reader: &dyn ReadAt, cx: &OpenContext<'_>) -> Self {
        let resize = ResizeInode::open(geometry, reader, cx);
        let mut known = Self {
            numbers: resize.iter().map(|_| RESIZE).collect(),
            claims: Vec::new(),
            resize,
        };
        if geometry.sb.compat(compat::HAS_JOURNAL) {
            let number = u64::from(geometry.sb.s_journal_inum);
            match claims_of(geometry, reader, number, &|finding| cx.diagnose(finding)) {
                Ok(claims) => {
                    known.claims = claims;
                    known.numbers.push(number);
                }
                Err(error) => cx.diagnose(Diagnostic::from(&error.layer("ext4"))),
            }
        }
        known
    }
}
