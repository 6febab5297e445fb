//! Looks at the devices of a disk, one in another: tables, volumes in volumes, filesystems.

use std::cell::RefCell;
use std::sync::Arc;

use super::detect::{Candidate, Hit, Look, Looker, member};
use super::layout::{DiskStructure, Layout};
use super::options::Forced;
use super::run::Run;
use super::volume::{Content, OpenVolume, Origin, nothing};
use super::waiting::{Format, Waiting};
use crate::report::{CandidateRecord, VolumeStatus};
use crate::{
    ByteMap, Diagnostic, Error, ErrorKind, FoundVolume, Group, KnownFormat, MappedReader, RangeSet,
    ReadAt, Result, Sign, Standing, Unusable, View, VolumeScheme, VolumeSet, Window,
};

/// Volumes within volumes within volumes.
pub(super) const NESTING: usize = 4;
/// A format that is passed over is worth a finding when it is this sure.
const WORTH_TELLING: u8 = 60;
/// A container that is this sure, and is not there by the evidence, contradicts what is there.
const CONTRADICTS: u8 = 85;

/// Detects what is on one view of a disk.
pub(super) struct Detector<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) disk: &'a Arc<dyn ReadAt>,
    pub(super) view: View,
    /// Devices of sets that are not open yet.
    pub(super) waiting: RefCell<Vec<Waiting>>,
}

/// What came of a look at a device.
enum Outcome {
    Is(Content),
    /// It is one of a set, which is opened when all devices were looked at.
    IsOneOf(Box<(Group, Format, Option<Sign>)>),
}

/// A device that is looked at.
struct Place<'a> {
    device: &'a Arc<dyn ReadAt>,
    window: &'a Window,
    found: &'a FoundVolume,
    depth: usize,
    /// Whether it is a part of another device. An array is used as a whole disk is: the kernel
    /// looks for partitions in it, and not in a logical volume.
    is_part: bool,
}

impl Place<'_> {
    /// The name that findings about its content have: none for those about the first disk.
    fn name(&self) -> Option<&str> {
        Some(self.found.name.as_str()).filter(|name| *name != "disk")
    }
}

impl Detector<'_> {
    /// Looks at one volume (or at the whole disk) and adds what it finds.
    pub(super) fn volume(
        &self,
        layout: &mut Layout,
        found: FoundVolume,
        origin: Origin,
        depth: usize,
    ) -> Result<()> {
        self.run.check()?;
        let device: Arc<dyn ReadAt> = if depth == 0 && !self.run.options.disks.several() {
            Arc::clone(self.disk)
        } else {
            Arc::new(MappedReader::new(Arc::clone(self.disk), found.map.clone()))
        };
        let content = match found.unusable.clone() {
            Some(Unusable::Damaged(reason)) => nothing(VolumeStatus::Damaged, reason),
            Some(Unusable::Unsupported(reason) | Unusable::Snapshot { reason, .. }) => {
                nothing(VolumeStatus::Unsupported, reason)
            }
            None => {
                let window = Window::of(&device);
                let place = Place {
                    device: &device,
                    window: &window,
                    found: &found,
                    depth,
                    is_part: depth > 0 && origin.scheme != Some("md"),
                };
                match self.content(layout, &place)? {
                    Outcome::Is(content) => content,
                    Outcome::IsOneOf(set) => {
                        let (group, format, sign) = *set;
                        self.waiting.borrow_mut().push(Waiting {
                            found,
                            origin,
                            depth,
                            device,
                            window,
                            group,
                            format,
                            sign,
                        });
                        return Ok(());
                    }
                }
            }
        };
        // The whole disk is a volume only when nothing divides it.
        if depth == 0 && matches!(content, Content::Volumes(_)) {
            return Ok(());
        }
        let snapshot_of = match found.unusable {
            Some(Unusable::Snapshot { origin, .. }) => Some(origin),
            _ => None,
        };
        layout.volumes.push(OpenVolume {
            name: found.name,
            snapshot_of,
            map: found.map,
            scheme: origin.scheme,
            partition_type: found.partition_type,
            label: found.label,
            sector_size: origin.sector_size,
            content,
            own: RangeSet::new(),
        });
        Ok(())
    }

    fn content(&self, layout: &mut Layout, place: &Place<'_>) -> Result<Outcome> {
        let volume = Some(place.found.name.as_str());
        let forced = &self.run.options.detection.formats;
        let forced = forced.get(&place.found.name);
        if let Some(left) = forced.and_then(Forced::leaves) {
            return Ok(Outcome::Is(left));
        }
        let looker = Looker {
            run: self.run,
            view: self.view,
        };
        // Tables that this volume lies in are not seen again within it.
        let tables: RangeSet = layout.structures.iter().map(|s| s.range).collect();
        let tables = place.found.map.to_volume(&tables);
        let part = (place.is_part, place.found.partition_type.as_deref());
        let mut look = looker.look(place.device, place.window, tables.as_slice(), part)?;
        if let Some(Forced::Format(id)) = forced {
            look.force(id, self.run.options.registry)?;
        }
        self.explain(layout, place, &look);
        let lost = self.tell_lost(volume, place.window, look.hits.is_empty());
        let left = &look.decision.left;
        let copies_only = left
            .iter()
            .all(|n| look.hits.get(*n).is_some_and(Hit::is_copy));
        if let Some(reason) = look.damaged.as_ref().filter(|_| copies_only) {
            let content = nothing(VolumeStatus::Damaged, reason.clone());
            return Ok(Outcome::Is(content));
        }
        let Some(won) = look.won() else {
            return Ok(Outcome::Is(match (left.is_empty(), lost) {
                (true, Some(reason)) => nothing(VolumeStatus::Damaged, reason),
                (true, None) => Content::Nothing {
                    status: VolumeStatus::Unsupported,
                    reason: "no known filesystem".to_owned(),
                    hidden: false,
                    named: None,
                },
                (false, _) => {
                    let names = left.iter().filter_map(|n| look.hits.get(*n));
                    let names: Vec<_> = names.map(|hit| hit.evidence.name).collect();
                    let reason = format!("could as well be {}", names.join(" or "));
                    nothing(VolumeStatus::Ambiguous, reason)
                }
            }));
        };
        self.tell_passed_over(place, &look, won);
        if let (Some(group), Some(format)) = (&won.group, Format::of(won)) {
            let set = (group.clone(), format, won.evidence.sign.clone());
            return Ok(Outcome::IsOneOf(Box::new(set)));
        }
        let content = self.open(layout, place, won)?;
        self.contradicting(layout, place, &look)?;
        Ok(Outcome::Is(content))
    }

    /// Opens what is there.
    fn open(&self, layout: &mut Layout, place: &Place<'_>, hit: &Hit) -> Result<Content> {
        let volume = Some(place.found.name.as_str());
        match &hit.candidate {
            Candidate::Known(known) => Ok(named(&known.0, &known.1)),
            Candidate::Filesystem(plugin) => {
                let id = plugin.descriptor().id;
                let member = [member(place.device, place.window)];
                let opened = self
                    .run
                    .opening(self.view, volume, id, |cx| plugin.open(&member, cx));
                self.settle(volume, opened.map(Content::Filesystem))
            }
            Candidate::Scheme(_) if place.depth == NESTING => {
                let reason = format!("volumes nested more than {NESTING} deep");
                Ok(nothing(VolumeStatus::Unsupported, reason))
            }
            Candidate::Scheme(plugin) => match self.opened_scheme(place, hit, plugin) {
                Ok(set) => {
                    self.within(layout, set, place, plugin.descriptor().id)?;
                    Ok(Content::Volumes(plugin.descriptor().id))
                }
                // What it is stays known where it is not read, as of any known format.
                Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Content::Nothing {
                    status: VolumeStatus::Unsupported,
                    reason: error.chain(),
                    hidden: true,
                    named: hit.evidence.sign.clone(),
                }),
                Err(error) => self.settle(volume, Err(error)),
            },
        }
    }

    fn opened_scheme(
        &self,
        place: &Place<'_>,
        hit: &Hit,
        plugin: &Arc<dyn VolumeScheme>,
    ) -> Result<VolumeSet> {
        if let Some((set, findings)) = &hit.table {
            self.run
                .keep(place.name(), plugin.descriptor().id, findings);
            return Ok(set.clone());
        }
        let member = [member(place.device, place.window)];
        let id = plugin.descriptor().id;
        self.run
            .opening(self.view, place.name(), id, |cx| plugin.open(&member, cx))
    }

    /// Notes what was thought of, and why one won.
    fn explain(&self, layout: &mut Layout, place: &Place<'_>, look: &Look) {
        if !self.run.options.detection.explain {
            return;
        }
        let start = place.found.map.device_offset(0).unwrap_or(0);
        for (n, hit) in look.hits.iter().enumerate() {
            let lost = look.decision.lost.get(n).map_or("", String::as_str);
            let sign = hit.evidence.sign.as_ref();
            let sign = sign.filter(|sign| sign.confidence > 0);
            let at = sign.and_then(|sign| start.checked_add(sign.place.start()));
            let at = at.map(|at| self.run.options.disks.place(at));
            layout.candidates.push(CandidateRecord {
                volume: place.found.name.clone(),
                format: hit.candidate.id(),
                name: hit.evidence.name,
                confidence: hit.evidence.confidence,
                offset: at.map(|(_, offset)| offset),
                disk: at.and_then(|(disk, _)| disk),
                chosen: lost.is_empty() && look.decision.left.len() == 1,
                reason: match (lost, look.decision.left.len()) {
                    ("", 1) => "nothing else that shows itself speaks against it".to_owned(),
                    ("", _) => "others are as sure".to_owned(),
                    (lost, _) => lost.to_owned(),
                },
            });
        }
        if let Some(reason) = &look.damaged {
            layout.candidates.push(CandidateRecord {
                volume: place.found.name.clone(),
                format: "",
                name: "",
                confidence: 0,
                offset: None,
                disk: None,
                chosen: false,
                reason: reason.clone(),
            });
        }
    }

    /// Tells what shows itself beside what is there.
    fn tell_passed_over(&self, place: &Place<'_>, look: &Look, won: &Hit) {
        for (hit, reason) in look.hits.iter().zip(&look.decision.lost) {
            let sign = hit.evidence.sign.as_ref();
            let sign = sign.filter(|sign| sign.confidence >= WORTH_TELLING);
            // The table in a boot sector, and the volume within an array, are no leftovers.
            let (Some(sign), false) = (sign, reason.is_empty()) else {
                continue;
            };
            // What an array with its superblock at the end holds is told where the array is.
            let around = won.evidence.sign.as_ref();
            let around = around.is_some_and(|sign| sign.standing == Standing::Around);
            if around && sign.standing == Standing::Front {
                continue;
            }
            let text = format!(
                "{} shows itself at byte {}, and this is taken for {}: {reason}",
                hit.evidence.name,
                sign.place.start(),
                won.evidence.name
            );
            let finding = Diagnostic::info("format-passed-over", text);
            let finding = finding.at(sign.place.start()).view(self.view);
            self.run.report(place.name(), finding);
        }
    }

    /// Shows the volumes of managers that are as sound as what won: they contradict it.
    fn contradicting(&self, layout: &mut Layout, place: &Place<'_>, look: &Look) -> Result<()> {
        let Some(won) = look.won().filter(|won| won.evidence.table.is_some()) else {
            return Ok(());
        };
        if place.depth > 0 {
            return Ok(());
        }
        for hit in &look.hits {
            let Candidate::Scheme(plugin) = &hit.candidate else {
                continue;
            };
            let is_manager = plugin.sector_sizes().is_empty();
            if !is_manager || hit.evidence.confidence < CONTRADICTS || hit.is_copy() {
                continue;
            }
            let member = [member(place.device, place.window)];
            let id = plugin.descriptor().id;
            let (set, _) = self.run.trial(self.view, id, |cx| plugin.open(&member, cx));
            let Ok(set) = set else { continue };
            if set.volumes.is_empty() {
                continue;
            }
            let text = format!(
                "a {} and a {} both take up the disk; both are shown, and bytes that both have \
                 are those of the first",
                won.evidence.name, hit.evidence.name
            );
            let at = hit.evidence.sign.as_ref().map_or(0, |s| s.place.start());
            let finding = Diagnostic::warning("formats-contradict", text).at(at);
            self.run.report(None, finding.view(self.view));
            self.within(layout, set, place, plugin.descriptor().id)?;
        }
        Ok(())
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

    fn within(
        &self,
        layout: &mut Layout,
        set: VolumeSet,
        around: &Place<'_>,
        scheme: &'static str,
    ) -> Result<()> {
        let around_it = (&around.found.map, around.name());
        self.inner(layout, set, around_it, scheme, around.depth)
    }

    /// Adds the volumes of a scheme, whose members lie where `map` says, in a volume of this name.
    pub(super) fn inner(
        &self,
        layout: &mut Layout,
        set: VolumeSet,
        (map, name): (&ByteMap, Option<&str>),
        scheme: &'static str,
        depth: usize,
    ) -> Result<()> {
        for structure in set.structures {
            let pieces = map.pieces(structure.range);
            let ranges = pieces.flat_map(|piece| piece.on_device().collect::<Vec<_>>());
            layout.structures.extend(ranges.map(|range| DiskStructure {
                range,
                role: structure.role,
                detail: structure.detail,
            }));
        }
        let origin = Origin {
            scheme: Some(scheme),
            sector_size: set.sector_size,
        };
        for mut inner in set.volumes {
            inner.map = inner.map.through(map);
            // A logical volume has a name of its own; a partition within a partition does not.
            if let (Some(name), false) = (name, inner.name.contains('/')) {
                inner.name = format!("{name}/{}", inner.name);
            }
            self.volume(layout, inner, origin, depth + 1)?;
        }
        Ok(())
    }

    /// Turns a failure to open into a volume that stays raw, with the reason.
    pub(super) fn settle(&self, volume: Option<&str>, opened: Result<Content>) -> Result<Content> {
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
}

impl Forced {
    /// The content of a volume that is not looked at.
    fn leaves(&self) -> Option<Content> {
        match self {
            Self::Format(_) => None,
            Self::Nothing => Some(Content::Nothing {
                status: VolumeStatus::Unsupported,
                reason: "told that there is no filesystem".to_owned(),
                hidden: false,
                named: None,
            }),
            Self::Raw => Some(nothing(
                VolumeStatus::Unsupported,
                "told to leave it raw".to_owned(),
            )),
        }
    }
}

/// A volume of a format that nothing reads. What another format had there before is gone.
fn named(format: &KnownFormat, sign: &Sign) -> Content {
    Content::Nothing {
        status: VolumeStatus::Unsupported,
        reason: format.describe(sign),
        hidden: false,
        named: Some(sign.clone()),
    }
}
