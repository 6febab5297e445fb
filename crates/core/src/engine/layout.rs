//! What is on a disk: partition tables, volumes in volumes, filesystems.

use std::sync::Arc;

use super::run::{Run, guarded};
use crate::report::{VolumeRecord, VolumeStatus};
use crate::{
    ByteMap, ByteRange, Descriptor, Diagnostic, Error, ErrorKind, Filesystem, FilesystemPlugin,
    FoundVolume, MappedReader, Member, OpenContext, Probe, RangeSet, ReadAt, Result, Role,
    Unusable, View, VolumeScheme, Window,
};

/// Volumes within volumes within volumes.
const NESTING: usize = 4;
/// A container that is this sure of itself outranks every filesystem.
const CONTAINER_CONFIDENCE: u8 = 50;

/// One view of a disk, opened.
pub(super) struct Layout {
    /// Volumes in disk order, a volume that holds others before those.
    pub(super) volumes: Vec<OpenVolume>,
    /// Ranges of partition tables and volume managers, on the disk.
    pub(super) structures: Vec<DiskStructure>,
}

/// A range of the disk that belongs to a scheme.
#[derive(Clone, Copy)]
pub(super) struct DiskStructure {
    pub(super) range: ByteRange,
    pub(super) role: Role,
    pub(super) detail: &'static str,
}

/// A volume, with its filesystem where it has one that could be opened.
pub(super) struct OpenVolume {
    pub(super) name: String,
    /// Onto the disk.
    pub(super) map: ByteMap,
    pub(super) scheme: Option<&'static str>,
    pub(super) partition_type: Option<String>,
    pub(super) label: Option<String>,
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

    pub(super) fn record(&self) -> VolumeRecord {
        let info = self.filesystem().map(Filesystem::info);
        let (status, reason) = match &self.content {
            Content::Nothing { status, reason, .. } => (*status, Some(reason.clone())),
            _ => (VolumeStatus::Resolved, None),
        };
        VolumeRecord {
            volume: self.name.clone(),
            start: self.map.device_offset(0).unwrap_or(0),
            length: self.map.len(),
            scheme: self.scheme,
            partition_type: self.partition_type.clone(),
            name: self.label.clone(),
            filesystem: info.map(|i| i.filesystem),
            label: info.map(|i| i.label.clone()).filter(|l| !l.is_empty()),
            uuid: info.and_then(|i| i.uuid.clone()),
            fs_block_size: info.map(|i| i.block_size),
            state: info.map(|i| i.state),
            transactions_replayed: info.map_or(0, |i| i.transactions_replayed),
            local_times: info.is_some_and(|i| i.local_times),
            status,
            reason,
            changed_blocks: 0,
            classes: std::collections::BTreeMap::new(),
        }
    }
}

impl Layout {
    /// Finds out what is on `disk`.
    pub(super) fn detect(run: &Run<'_>, disk: &Arc<dyn ReadAt>, view: View) -> Result<Self> {
        let mut layout = Self {
            volumes: Vec::new(),
            structures: Vec::new(),
        };
        let whole = FoundVolume {
            name: "disk".to_owned(),
            map: ByteMap::contiguous(ByteRange::new(0, disk.len())),
            partition_type: None,
            label: None,
            unusable: None,
        };
        let detector = Detector { run, disk, view };
        detector.volume(&mut layout, whole, None, 0)?;
        layout.settle_ownership();
        Ok(layout)
    }

    /// Whether anything that can't be seen lies where `volume` of the other view does.
    pub(super) fn hides(&self, volume: &OpenVolume) -> bool {
        let place = volume.map.device_ranges();
        let mut hidden = self.volumes.iter().filter(|v| v.is_hidden());
        hidden.any(|v| !v.map.device_ranges().intersection(&place).is_empty())
    }

    /// Gives each byte to the innermost volume, and to the first where volumes overlap.
    fn settle_ownership(&mut self) {
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

struct Detector<'a> {
    run: &'a Run<'a>,
    disk: &'a Arc<dyn ReadAt>,
    view: View,
}

enum Candidate {
    Scheme(Arc<dyn VolumeScheme>),
    Filesystem(Arc<dyn FilesystemPlugin>),
}

struct Hit {
    candidate: Candidate,
    name: &'static str,
    /// Outranking container first, then confidence.
    rank: (bool, u8),
}

impl Detector<'_> {
    /// Looks at one volume (or at the whole disk) and adds what it finds.
    fn volume(
        &self,
        layout: &mut Layout,
        found: FoundVolume,
        scheme: Option<&'static str>,
        depth: usize,
    ) -> Result<()> {
        self.run.check()?;
        let device: Arc<dyn ReadAt> = if depth == 0 {
            Arc::clone(self.disk)
        } else {
            Arc::new(MappedReader::new(Arc::clone(self.disk), found.map.clone()))
        };
        let content = match found.unusable.clone() {
            Some(Unusable::Damaged(reason)) => nothing(VolumeStatus::Damaged, reason),
            Some(Unusable::Unsupported(reason)) => nothing(VolumeStatus::Unsupported, reason),
            None => self.content(layout, &device, &found, depth)?,
        };
        // The whole disk is a volume only when nothing divides it.
        if depth == 0 && matches!(content, Content::Volumes(_)) {
            return Ok(());
        }
        layout.volumes.push(OpenVolume {
            name: found.name,
            map: found.map,
            scheme,
            partition_type: found.partition_type,
            label: found.label,
            content,
            own: RangeSet::new(),
        });
        Ok(())
    }

    fn content(
        &self,
        layout: &mut Layout,
        device: &Arc<dyn ReadAt>,
        found: &FoundVolume,
        depth: usize,
    ) -> Result<Content> {
        let volume = Some(found.name.as_str());
        let window = Window::read(&**device);
        let (mut hits, damaged) = self.probe(&window);
        hits.sort_by_key(|hit| std::cmp::Reverse(hit.rank));
        let lost = self.tell_lost(volume, &window, hits.is_empty());
        let chosen = match &hits[..] {
            [] => {
                return Ok(match damaged.or(lost) {
                    Some(reason) => nothing(VolumeStatus::Damaged, reason),
                    None => Content::Nothing {
                        status: VolumeStatus::Unsupported,
                        reason: "no known filesystem".to_owned(),
                        hidden: false,
                    },
                });
            }
            [first, second, ..] if first.rank == second.rank => {
                let names: Vec<_> = hits
                    .iter()
                    .filter(|h| h.rank == first.rank)
                    .map(|h| h.name)
                    .collect();
                let reason = format!("could as well be {}", names.join(" or "));
                return Ok(nothing(VolumeStatus::Ambiguous, reason));
            }
            [first, ..] => first,
        };
        match &chosen.candidate {
            Candidate::Filesystem(plugin) => {
                let id = plugin.descriptor().id;
                let member = member(device, window);
                let open = |cx: &OpenContext<'_>| plugin.open(std::slice::from_ref(&member), cx);
                let opened = self.run.opening(self.view, volume, id, open);
                self.settle(volume, opened.map(Content::Filesystem))
            }
            Candidate::Scheme(_) if depth == NESTING => {
                let reason = format!("volumes nested more than {NESTING} deep");
                Ok(nothing(VolumeStatus::Unsupported, reason))
            }
            Candidate::Scheme(plugin) => {
                let member = member(device, window);
                let id = plugin.descriptor().id;
                let volume_around = volume.filter(|_| depth > 0);
                let open = |cx: &OpenContext<'_>| plugin.open(std::slice::from_ref(&member), cx);
                let opened = self.run.opening(self.view, volume_around, id, open);
                match opened {
                    Ok(set) => {
                        self.members(layout, set, found, id, depth)?;
                        Ok(Content::Volumes(id))
                    }
                    Err(error) => self.settle(volume, Err(error)),
                }
            }
        }
    }

    /// Tells what of the two ends of a volume can't be read. Where nothing was recognised, that may
    /// be why: gives the reason then.
    fn tell_lost(&self, volume: Option<&str>, window: &Window, nothing: bool) -> Option<String> {
        let mut reason = None;
        for (range, error) in window.lost() {
            let (length, chain) = (range.len(), Error::io("volume", error.to_string()).chain());
            let text = format!("{length} bytes can't be read, and were not looked at: {chain}");
            let finding = match nothing {
                true => Diagnostic::error("io-volume", text),
                false => Diagnostic::warning("io-volume", text),
            };
            let finding = finding.at(range.start()).view(self.view);
            if nothing && reason.is_none() {
                reason = Some(finding.message.clone());
            }
            self.run.report(volume, finding);
        }
        reason
    }

    fn members(
        &self,
        layout: &mut Layout,
        set: crate::VolumeSet,
        around: &FoundVolume,
        scheme: &'static str,
        depth: usize,
    ) -> Result<()> {
        for structure in set.structures {
            layout
                .structures
                .extend(
                    around
                        .map
                        .to_device(structure.range)
                        .map(|range| DiskStructure {
                            range,
                            role: structure.role,
                            detail: structure.detail,
                        }),
                );
        }
        for mut inner in set.volumes {
            inner.map = inner.map.through(&around.map);
            // A logical volume has a name of its own; a partition within a partition does not.
            if depth > 0 && !inner.name.contains('/') {
                inner.name = format!("{}/{}", around.name, inner.name);
            }
            self.volume(layout, inner, Some(scheme), depth + 1)?;
        }
        Ok(())
    }

    /// Turns a failure to open into a volume that stays raw, with the reason.
    fn settle(&self, volume: Option<&str>, opened: Result<Content>) -> Result<Content> {
        opened.or_else(|error| {
            let status = match error.kind() {
                ErrorKind::Unsupported => VolumeStatus::Unsupported,
                ErrorKind::Cancelled => return Err(error),
                _ => VolumeStatus::Damaged,
            };
            let reason = error.chain();
            self.run.tolerate(volume, error)?;
            Ok(nothing(status, reason))
        })
    }

    fn probe(&self, window: &Window) -> (Vec<Hit>, Option<String>) {
        let registry = self.run.options.registry;
        let ask = |descriptor: &Descriptor, probe: &dyn Fn() -> Probe| {
            let magics = descriptor.magics;
            let shown = magics.is_empty() || magics.iter().any(|magic| window.has(magic));
            if shown && window.size() >= descriptor.minimum_size {
                guarded(|| Ok(probe()))
            } else {
                Ok(Probe::No)
            }
        };
        let schemes = registry.schemes().iter().map(|p| {
            let answer = ask(p.descriptor(), &|| p.probe(window));
            (p.descriptor(), Candidate::Scheme(Arc::clone(p)), answer)
        });
        let filesystems = registry.filesystems().iter().map(|p| {
            let answer = ask(p.descriptor(), &|| p.probe(window));
            (p.descriptor(), Candidate::Filesystem(Arc::clone(p)), answer)
        });
        let mut hits = Vec::new();
        let mut damaged = None;
        for (descriptor, candidate, probe) in schemes.chain(filesystems) {
            match probe {
                Ok(Probe::No) => {}
                Ok(Probe::Match { confidence, .. }) => hits.push(Hit {
                    candidate,
                    name: descriptor.name,
                    rank: (
                        descriptor.container && confidence >= CONTAINER_CONFIDENCE,
                        confidence,
                    ),
                }),
                Ok(Probe::Damaged { reason }) => {
                    damaged = Some(format!("damaged {}: {reason}", descriptor.name));
                }
                Err(error) => {
                    let text = format!("the probe of {} failed: {error}", descriptor.name);
                    self.run
                        .report(None, Diagnostic::error("probe-failed", text));
                }
            }
        }
        (hits, damaged)
    }
}

fn member(device: &Arc<dyn ReadAt>, window: Window) -> Member {
    Member {
        device: Arc::clone(device),
        window,
        start: 0,
    }
}

fn nothing(status: VolumeStatus, reason: String) -> Content {
    Content::Nothing {
        status,
        reason,
        hidden: true,
    }
}
