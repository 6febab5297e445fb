//! What is on a disk: its volumes, and what belongs to their tables.

use super::volume::{Content, OpenVolume};
use crate::report::CandidateRecord;
use crate::{ByteRange, Error, RangeSet, Role};

/// One view of a disk, opened.
pub(super) struct Layout {
    /// Volumes in disk order, a volume that holds others before those.
    pub(super) volumes: Vec<OpenVolume>,
    /// Ranges of partition tables and volume managers, on the disk.
    pub(super) structures: Vec<DiskStructure>,
    /// What was thought of at each place, where that is wanted.
    pub(super) candidates: Vec<CandidateRecord>,
}

/// A range of the disk that belongs to a scheme.
#[derive(Clone, Copy)]
pub(super) struct DiskStructure {
    pub(super) range: ByteRange,
    pub(super) role: Role,
    pub(super) detail: &'static str,
}

impl Layout {
    /// Whether anything that can't be seen lies where `volume` of the other view does.
    pub(super) fn hides(&self, volume: &OpenVolume) -> bool {
        let place = volume.map.device_ranges();
        let mut hidden = self.volumes.iter().filter(|v| v.is_hidden());
        hidden.any(|v| !v.map.device_ranges().intersection(&place).is_empty())
    }

    /// Gives each byte to the innermost volume, and to the first where volumes overlap.
    pub(super) fn settle_ownership(&mut self) {
        let mut taken = RangeSet::new();
        // Detection adds a container behind what it holds, so inner ones come first.
        for containers in [false, true] {
            let of_kind =
                |v: &&mut OpenVolume| matches!(v.content, Content::Volumes(_)) == containers;
            for volume in self.volumes.iter_mut().filter(of_kind) {
                volume.own = volume.map.device_ranges().difference(&taken);
                taken = taken.union(&volume.own);
            }
        }
        self.volumes.sort_by_key(|v| v.map.device_offset(0));
    }
}

pub(super) fn no_such_volume(name: &str, known: &[String]) -> Error {
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    Error::unsupported(
        "volume",
        format!("there is no volume {name:?}; there are: {known}"),
    )
}
