//! Where claims of logical ranges go.

use hexz_resolve::{ByteRange, Claim, RangeSet};

use crate::btrfs::Btrfs;

/// Where claims of logical ranges go: as claims of each copy that shares a byte with what is
/// wanted.
pub(crate) struct Claimed<'a> {
    pub(crate) fs: &'a Btrfs,
    pub(crate) wanted: &'a RangeSet,
    pub(crate) found: &'a mut Vec<Claim>,
}

impl Claimed<'_> {
    /// Adds a claim of a logical range that has no place in a file.
    pub(crate) fn put(&mut self, logical: ByteRange, claim: impl Fn(ByteRange) -> Claim) {
        self.put_at(logical, None, claim);
    }

    /// Adds a claim of a logical range that begins at `file_offset`.
    pub(crate) fn put_at(
        &mut self,
        logical: ByteRange,
        file_offset: Option<u64>,
        claim: impl Fn(ByteRange) -> Claim,
    ) {
        for place in self.fs.blocks.chunks.places(logical) {
            let skipped = place.logical.start().saturating_sub(logical.start());
            for copy in place.copies {
                let range = ByteRange::at(copy, place.logical.len());
                let Some(range) = range.filter(|range| self.wanted.overlaps(*range)) else {
                    continue;
                };
                let mut claim = claim(range);
                claim.file_offset = file_offset.and_then(|at| at.checked_add(skipped));
                self.found.push(claim);
            }
        }
    }
}
