//! The forms of a list, and what is read from one.

use hexz_resolve::{
    ByteRange, ChangeSet, Diagnostic, Diagnostics, Error, Precision, RangeSet, Result,
};

/// Who wrote a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListFormat {
    /// `qemu-img map --output=json`: what the top image holds itself (`depth` 0).
    QemuMap,
    /// `nbdinfo --map --json`: data, dirty or local extents.
    NbdInfo,
    /// `rbd diff --format json`: all extents, also those that no longer exist.
    RbdDiff,
    /// A ddrescue map file: all that was not rescued.
    Ddrescue,
    /// AWS EBS direct APIs: the pages of `ListChangedBlocks` or `ListSnapshotBlocks`.
    Ebs,
    /// Kubernetes CSI: the responses of `GetMetadataAllocated` or `GetMetadataDelta`.
    Csi,
    /// VMware: what `QueryChangedDiskAreas` gives.
    Vmware,
    /// `thin_delta` of thin-provisioning-tools: the blocks that two thin volumes do not share.
    ThinDelta,
    /// `qemu-img compare`: the first byte that differs, and no other.
    QemuCompare,
    /// Lines of `[start,end)`, in bytes.
    Intervals,
    /// A bit a unit, set where it changed; the lowest bit of a byte comes first.
    Bitmap,
    /// An undo file of e2fsprogs: it holds the blocks before, and so the disk before where the disk
    /// after is given.
    Undo,
    /// Lines of `block` or `start+length`, counted in units.
    Text,
}

impl ListFormat {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::QemuMap,
        Self::NbdInfo,
        Self::RbdDiff,
        Self::Ddrescue,
        Self::Ebs,
        Self::Csi,
        Self::Vmware,
        Self::ThinDelta,
        Self::QemuCompare,
        Self::Intervals,
        Self::Bitmap,
        Self::Undo,
        Self::Text,
    ];

    /// The word for it, on the command line too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QemuMap => "qemu-img-map",
            Self::NbdInfo => "nbdinfo",
            Self::RbdDiff => "rbd-diff",
            Self::Ddrescue => "ddrescue",
            Self::Ebs => "ebs",
            Self::Csi => "csi",
            Self::Vmware => "vmware",
            Self::ThinDelta => "thin-delta",
            Self::QemuCompare => "qemu-img-compare",
            Self::Intervals => "intervals",
            Self::Bitmap => "bitmap",
            Self::Undo => "e2undo",
            Self::Text => "text",
        }
    }
}

/// Extents that a list may have before it is put in order for the first time.
pub(super) const UNORDERED: usize = 1 << 20;

/// Extents apart from each other that a list may have; every step after it takes as much memory
/// again.
pub(super) const MOST: usize = 16 << 20;

/// What a list says.
#[derive(Debug)]
pub(super) struct List {
    /// In the order of the list, as far as they were not put in order yet.
    pub(super) extents: Vec<ByteRange>,
    /// As many are put in order: a list that says the same over and over takes no more memory.
    pub(super) most: usize,
    /// Bytes of the unit it counts in, where it has one.
    pub(super) unit: Option<u64>,
    /// Extents whose end does not fit 64 bits.
    pub(super) too_far: u64,
    /// Why it may lack some of what changed.
    pub(super) may_miss: Option<&'static str>,
}

impl List {
    pub(super) fn new(unit: Option<u64>) -> Self {
        Self {
            extents: Vec::new(),
            most: UNORDERED,
            unit,
            too_far: 0,
            may_miss: None,
        }
    }

    /// Adds an extent in bytes; neighbours are joined, as lists often are in order.
    pub(super) fn add(&mut self, start: u64, length: u64) -> Result<()> {
        let Some(range) = ByteRange::at(start, length) else {
            self.too_far = self.too_far.saturating_add(1);
            return Ok(());
        };
        match self.extents.last_mut() {
            Some(last) if last.end() == range.start() => {
                *last = ByteRange::new(last.start(), range.end());
            }
            _ if range.is_empty() => {}
            _ => {
                if self.extents.len() >= self.most {
                    self.put_in_order()?;
                    self.most = self.extents.len().saturating_mul(2).max(UNORDERED);
                }
                self.extents.push(range);
            }
        }
        Ok(())
    }

    /// The same in units of `unit` bytes.
    pub(super) fn add_units(&mut self, start: u64, length: u64, unit: u64) -> Result<()> {
        match start.checked_mul(unit).zip(length.checked_mul(unit)) {
            Some((start, length)) => self.add(start, length),
            None => {
                self.too_far = self.too_far.saturating_add(1);
                Ok(())
            }
        }
    }

    /// Sorts the extents where they are, and joins those that overlap or touch.
    pub(super) fn put_in_order(&mut self) -> Result<()> {
        if !self.extents.is_sorted() {
            self.extents.sort_unstable();
        }
        self.extents.dedup_by(|next, kept| {
            let joins = next.start() <= kept.end();
            if joins {
                *kept = ByteRange::new(kept.start(), kept.end().max(next.end()));
            }
            joins
        });
        if self.extents.len() > MOST {
            let message = format!("more than {MOST} extents apart from each other");
            return Err(Error::limit("extent list", message));
        }
        Ok(())
    }

    pub(super) fn into_changes(self, disk_size: Option<u64>, found: &Diagnostics) -> ChangeSet {
        let end = disk_size.unwrap_or(u64::MAX);
        // Takes over the memory of the list.
        let mut ranges: RangeSet = self.extents.into_iter().collect();
        let past = ranges.overlapping(ByteRange::new(end, u64::MAX));
        let (mut count, mut first) = (self.too_far, u64::MAX);
        for range in past {
            count = count.saturating_add(1);
            first = first.min(range.start().max(end));
        }
        if count > 0 {
            found.push(Diagnostic::warning(
                "extent-past-end",
                format!(
                    "{count} extents of the list, the first at byte {first}, lie past the end of \
                     the disk at {end}: no change of the disk"
                ),
            ));
        }
        if count > self.too_far {
            ranges = ranges.clipped(ByteRange::new(0, end));
        }
        if let Some(why) = self.may_miss {
            found.push(Diagnostic::warning("list-may-miss", why));
        }
        let block = self.unit.unwrap_or_else(|| granularity(&ranges, end));
        ChangeSet {
            ranges,
            block_size: u32::try_from(block).unwrap_or(u32::MAX),
            candidates: false,
            precision: match self.may_miss {
                Some(_) => Precision::MayMiss,
                None => Precision::Over,
            },
            diagnostics: found.take(),
        }
    }
}

/// The largest power of two, up to 4096, that all ranges keep to, but for the end of the disk.
fn granularity(ranges: &RangeSet, disk_end: u64) -> u64 {
    let bits = ranges.iter().fold(4096, |bits, range| {
        let end = Some(range.end()).filter(|end| *end != disk_end);
        bits | range.start() | end.unwrap_or(0)
    });
    1 << bits.trailing_zeros()
}
