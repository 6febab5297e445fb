//! A volume of a disk, with what it holds.

use crate::report::{VolumeRecord, VolumeStatus};
use crate::{ByteMap, Disks, Filesystem, RangeSet, Sign};

/// A volume, with its filesystem where it has one that could be opened.
pub(super) struct OpenVolume {
    pub(super) name: String,
    /// Onto the disk.
    pub(super) map: ByteMap,
    pub(super) scheme: Option<&'static str>,
    pub(super) partition_type: Option<String>,
    pub(super) label: Option<String>,
    /// Bytes of a sector in which its table counts.
    pub(super) sector_size: Option<u64>,
    /// The volume that this one is the store of a snapshot of.
    pub(super) snapshot_of: Option<String>,
    pub(super) content: Content,
    /// The disk ranges that are this volume's and no other's.
    pub(super) own: RangeSet,
}

/// What a volume holds.
pub(super) enum Content {
    Filesystem(Box<dyn Filesystem>),
    /// Other volumes.
    Volumes(&'static str),
    Nothing {
        status: VolumeStatus,
        reason: String,
        /// Whether files may be there that can't be seen: something is there, and is damaged or
        /// unsupported.
        hidden: bool,
        /// What it is by name, where that is known.
        named: Option<Sign>,
    },
}

impl OpenVolume {
    pub(super) fn filesystem(&self) -> Option<&dyn Filesystem> {
        match &self.content {
            Content::Filesystem(fs) => Some(&**fs),
            _ => None,
        }
    }

    /// The word for the layer that its errors are met in.
    pub(super) fn layer(&self) -> &'static str {
        self.filesystem()
            .map_or("volume", |fs| fs.info().filesystem)
    }

    /// Whether it holds other volumes.
    pub(super) fn is_divided(&self) -> bool {
        matches!(self.content, Content::Volumes(_))
    }

    /// The sign of what is known by name only.
    pub(super) fn named(&self) -> Option<&Sign> {
        match &self.content {
            Content::Nothing { named, .. } => named.as_ref(),
            _ => None,
        }
    }

    /// Whether it is known by name only.
    pub(super) fn is_named(&self) -> bool {
        matches!(&self.content, Content::Nothing { named: Some(_), .. })
    }

    /// Whether files may be there that can't be seen.
    pub(super) fn is_hidden(&self) -> bool {
        matches!(self.content, Content::Nothing { hidden: true, .. })
    }

    /// The part of a set of disk ranges that is this volume's, in volume offsets.
    pub(super) fn wanted(&self, disk: &RangeSet) -> RangeSet {
        self.map.to_volume(&disk.intersection(&self.own))
    }

    /// Why bytes of this volume that no one claims are unresolved.
    pub(super) fn reason(&self, whole: bool) -> String {
        match &self.content {
            Content::Filesystem(fs) if !whole => {
                format!(
                    "no file or structure of the {} claims it, as far as that could be read",
                    fs.info().filesystem
                )
            }
            Content::Filesystem(fs) => {
                format!(
                    "in use, and no file or structure of the {} claims it",
                    fs.info().filesystem
                )
            }
            Content::Volumes(scheme) => format!("not explained by {scheme}"),
            Content::Nothing { reason, .. } => reason.clone(),
        }
    }

    pub(super) fn record(&self, disks: &Disks) -> VolumeRecord {
        let (disk, start) = disks.place(self.map.device_offset(0).unwrap_or(0));
        let mut on: Vec<u32> = Vec::new();
        if disk.is_some() {
            let ranges = self.map.device_ranges();
            on.extend(ranges.iter().filter_map(|r| disks.place(r.start()).0));
            on.dedup();
        }
        let info = self.filesystem().map(Filesystem::info);
        let (status, reason, named) = match &self.content {
            Content::Nothing {
                status,
                reason,
                named,
                ..
            } => (*status, Some(reason.clone()), named.as_ref()),
            _ => (VolumeStatus::Resolved, None, None),
        };
        let label = info.map(|i| &i.label).or(named.map(|n| &n.label));
        let uuid = info.map(|i| &i.uuid).or(named.map(|n| &n.uuid));
        VolumeRecord {
            volume: self.name.clone(),
            start,
            disk,
            disks: if on.len() > 1 { on } else { Vec::new() },
            length: self.map.len(),
            scheme: self.scheme,
            partition_type: self.partition_type.clone(),
            name: self.label.clone(),
            sector_size: self.sector_size,
            filesystem: info.map(|i| i.filesystem).or(named.map(|n| n.filesystem)),
            label: label.cloned().filter(|l| !l.is_empty()),
            uuid: uuid.cloned().flatten(),
            fs_block_size: info.map(|i| i.block_size),
            state: info.map(|i| i.state),
            transactions_replayed: info.map_or(0, |i| i.transactions_replayed),
            local_times: info.is_some_and(|i| i.local_times),
            status,
            reason,
            base_volume: None,
            base_start: None,
            base_disk: None,
            changed_blocks: 0,
            classes: std::collections::BTreeMap::new(),
        }
    }
}

pub(super) fn nothing(status: VolumeStatus, reason: String) -> Content {
    Content::Nothing {
        status,
        reason,
        hidden: true,
        named: None,
    }
}

/// What a volume was found by.
#[derive(Clone, Copy, Default)]
pub(super) struct Origin {
    pub(super) scheme: Option<&'static str>,
    pub(super) sector_size: Option<u64>,
}
