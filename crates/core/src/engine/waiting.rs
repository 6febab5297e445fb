//! A device that is one of a set, until the set is opened.

use std::sync::Arc;

use super::detect::{Candidate, Hit};
use super::volume::{Content, OpenVolume, Origin};
use crate::{FilesystemPlugin, FoundVolume, Group, RangeSet, ReadAt, Sign, VolumeScheme, Window};

/// A device that is one of a set, until the set is opened.
pub(super) struct Waiting {
    pub(super) found: FoundVolume,
    pub(super) origin: Origin,
    pub(super) depth: usize,
    pub(super) device: Arc<dyn ReadAt>,
    pub(super) window: Window,
    pub(super) group: Group,
    pub(super) format: Format,
    pub(super) sign: Option<Sign>,
}

impl Waiting {
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.format.id() == other.format.id() && self.group.id == other.group.id
    }

    /// The name that findings about it have: none for those about the first disk.
    pub(super) fn name(&self) -> Option<&str> {
        Some(self.found.name.as_str()).filter(|name| *name != "disk")
    }

    /// It as a volume of its own.
    pub(super) fn into_volume(self, content: Content) -> OpenVolume {
        OpenVolume {
            name: self.found.name,
            map: self.found.map,
            scheme: self.origin.scheme,
            partition_type: self.found.partition_type,
            label: self.found.label,
            sector_size: self.origin.sector_size,
            snapshot_of: None,
            content,
            own: RangeSet::new(),
        }
    }
}

/// What opens the set.
#[derive(Clone)]
pub(super) enum Format {
    Scheme(Arc<dyn VolumeScheme>),
    Filesystem(Arc<dyn FilesystemPlugin>),
}

impl Format {
    /// What opens a set of devices that show themselves as `hit`, which is one of them.
    pub(super) fn of(hit: &Hit) -> Option<Self> {
        match &hit.candidate {
            Candidate::Scheme(plugin) => Some(Self::Scheme(Arc::clone(plugin))),
            Candidate::Filesystem(plugin) => Some(Self::Filesystem(Arc::clone(plugin))),
            Candidate::Known(_) => None,
        }
    }

    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::Scheme(plugin) => plugin.descriptor().id,
            Self::Filesystem(plugin) => plugin.descriptor().id,
        }
    }
}
