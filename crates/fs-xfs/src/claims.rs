//! Pass 1: who owns given ranges.

use hexz_resolve::{ByteRange, Claim, RangeCursor, RangeSet, Result, Role, Scan, Sink};

use crate::fs::Xfs;
use crate::settled::Noted;

/// Passes on the claims that share a byte with what is wanted.
pub(crate) struct Filter<'a> {
    pub(crate) wanted: RangeCursor<'a>,
    pub(crate) claims: Vec<Claim>,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(wanted: &'a RangeSet) -> Self {
        Self {
            wanted: RangeCursor::new(wanted),
            claims: Vec::new(),
        }
    }

    /// Keeps `claim`, when it is wanted.
    pub(crate) fn put(&mut self, claim: Claim) {
        if self.wanted.overlaps(claim.range) {
            self.claims.push(claim);
        }
    }
}

impl Xfs {
    pub(crate) fn all_claims(
        &self,
        wanted: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        let end = self.geometry.size().min(self.reader.len());
        let wanted = wanted.clipped(ByteRange::new(0, end));
        if wanted.is_empty() {
            return Ok(());
        }
        let out = &mut Noted::new(out);
        if let Some(log) = self.geometry.log().filter(|log| wanted.overlaps(*log)) {
            out.put(Claim::structure(log, Role::Journal, "xlog"))?;
        }
        for range in self
            .to_be_freed
            .iter()
            .filter(|range| wanted.overlaps(*range))
        {
            out.put(Claim::free(range).detail("to-be-freed"))?;
        }
        self.group_claims(&wanted, cx, out)?;
        if self.geometry.rmapbt {
            self.claims_by_rmap(&wanted, cx, out)
        } else {
            self.claims_by_inodes(&wanted, cx, out)
        }
    }
}
