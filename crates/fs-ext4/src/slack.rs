//! What a cluster of several blocks (`bigalloc`) has beside the blocks that are used of it. The
//! whole cluster is allocated to the file or structure that uses a block of it.
//! <https://www.kernel.org/doc/html/latest/filesystems/ext4/bigalloc.html>

use hexz_resolve::{ByteRange, Claim, FileKey, RangeSet, Role};

use crate::geometry::Geometry;

const DETAIL: &str = "cluster-slack";

/// Collects what is used of clusters.
pub(crate) struct Slack<'a> {
    wanted: &'a RangeSet,
    /// Bytes of a cluster.
    cluster: u64,
    used: RangeSet,
}

impl<'a> Slack<'a> {
    /// `None` where a cluster is a block, and so has no slack.
    pub(crate) fn new(geometry: &Geometry, wanted: Option<&'a RangeSet>) -> Option<Self> {
        let wanted = wanted.filter(|_| geometry.sb.cluster_blocks > 1)?;
        let cluster = geometry
            .block()
            .saturating_mul(geometry.sb.cluster_blocks.into());
        Some(Self {
            wanted,
            cluster,
            used: RangeSet::new(),
        })
    }

    /// Notes that `range` is used.
    pub(crate) fn used(&mut self, range: ByteRange) {
        if self.wanted.overlaps(range.aligned_out(self.cluster)) {
            self.used.insert(range);
        }
    }

    fn rest(&self) -> RangeSet {
        let rest = self.used.aligned_out(self.cluster).difference(&self.used);
        rest.iter()
            .filter(|range| self.wanted.overlaps(*range))
            .collect()
    }

    /// The claims of the file whose blocks were noted, in the class of its content: `role`.
    pub(crate) fn of_file(&self, id: FileKey, role: Role) -> impl Iterator<Item = Claim> {
        let role = match role {
            Role::Data => Role::Unwritten,
            other => other,
        };
        let rest = self.rest();
        let ranges: Vec<ByteRange> = rest.iter().collect();
        ranges
            .into_iter()
            .map(move |range| Claim::file(range, id, role).detail(DETAIL))
    }

    /// What lies between the fixed structures, and what is `known` beside them, that share a byte
    /// with the clusters of `wanted`.
    pub(crate) fn of_structures(
        geometry: &Geometry,
        known: &[Claim],
        wanted: &RangeSet,
    ) -> Vec<Claim> {
        let Some(mut slack) = Slack::new(geometry, Some(wanted)) else {
            return Vec::new();
        };
        let near = wanted.aligned_out(slack.cluster);
        for claim in geometry.structures(&near).iter().chain(known) {
            slack.used(claim.range);
        }
        let rest = slack.rest();
        rest.iter()
            .map(|range| Claim::structure(range, Role::Gap, DETAIL))
            .collect()
    }
}
