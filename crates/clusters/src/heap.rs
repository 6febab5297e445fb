//! Where clusters lie.

use std::ops::Range;

use hexz_resolve::ByteRange;

/// The clusters of a volume, numbered from 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heap {
    start: u64,
    cluster: u64,
    end: u32,
}

impl Heap {
    /// Number of the first cluster.
    pub const FIRST: u32 = 2;

    /// `count` clusters of `cluster` bytes each, from byte `start` of the volume on. `None` when
    /// they would leave 64 bits of bytes or 32 bits of numbers.
    #[must_use]
    pub fn new(start: u64, cluster: u64, count: u32) -> Option<Self> {
        let end = count.checked_add(Self::FIRST)?;
        start.checked_add(cluster.checked_mul(u64::from(count))?)?;
        (cluster > 0).then_some(Self {
            start,
            cluster,
            end,
        })
    }

    /// Bytes of a cluster.
    #[must_use]
    pub const fn cluster_size(&self) -> u64 {
        self.cluster
    }

    /// One more than the last number.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.end
    }

    /// Whether there is such a cluster.
    #[must_use]
    pub const fn has(&self, cluster: u32) -> bool {
        cluster >= Self::FIRST && cluster < self.end
    }

    /// All clusters, as bytes of the volume.
    #[must_use]
    pub fn bytes(&self) -> ByteRange {
        self.bytes_of(Self::FIRST..self.end)
    }

    /// Clusters as bytes of the volume; those that there are.
    #[must_use]
    pub fn bytes_of(&self, clusters: Range<u32>) -> ByteRange {
        let place = |cluster: u32| {
            let index = u64::from(cluster.clamp(Self::FIRST, self.end));
            let index = index.saturating_sub(u64::from(Self::FIRST));
            // `new` checked that the last of them stays within 64 bits.
            self.start
                .saturating_add(index.saturating_mul(self.cluster))
        };
        let start = place(clusters.start);
        ByteRange::new(start, place(clusters.end).max(start))
    }

    /// The clusters that share a byte with `range`.
    #[must_use]
    pub fn clusters_in(&self, range: ByteRange) -> Range<u32> {
        let Some(range) = range.intersection(&self.bytes()) else {
            return Self::FIRST..Self::FIRST;
        };
        let number = |bytes: u64| {
            let clusters = u32::try_from(bytes).unwrap_or(self.end);
            clusters.saturating_add(Self::FIRST).min(self.end)
        };
        let from = range.start().saturating_sub(self.start);
        let to = range.end().saturating_sub(self.start);
        let size = self.cluster.max(1);
        number(from.checked_div(size).unwrap_or(0))..number(to.div_ceil(size))
    }

    /// Clusters that hold `bytes` bytes.
    #[must_use]
    pub fn clusters_for(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster.max(1))
    }
}
