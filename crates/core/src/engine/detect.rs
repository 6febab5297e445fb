//! Looking at one device: what shows itself there, and which of it is there now.

use std::sync::Arc;

use super::evidence::{Decision, Divided, Evidence, decide};
use super::run::{Run, guarded};
use crate::{
    ByteMap, ByteRange, Descriptor, Diagnostic, Diagnostics, Error, FilesystemPlugin, Group,
    KnownFormat, MappedReader, Member, Probe, ReadAt, Registry, Result, Sign, Standing, View,
    VolumeScheme, VolumeSet, Window,
};

/// How sure a format must be to count as what a partition holds.
const HELD: u8 = 60;

/// What may be opened.
pub(super) enum Candidate {
    Scheme(Arc<dyn VolumeScheme>),
    Filesystem(Arc<dyn FilesystemPlugin>),
    /// Nothing reads it.
    Known(Box<(KnownFormat, Sign)>),
}

impl Candidate {
    /// The id of the plugin, or the name of the format.
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::Scheme(plugin) => plugin.descriptor().id,
            Self::Filesystem(plugin) => plugin.descriptor().id,
            Self::Known(known) => known.0.id,
        }
    }
}

/// A format that shows itself.
pub(super) struct Hit {
    pub(super) candidate: Candidate,
    pub(super) evidence: Evidence,
    /// For what may lie on several devices: which of them this is.
    pub(super) group: Option<Group>,
    /// Of partition tables: what was read of it, and what is odd about it.
    pub(super) table: Option<(VolumeSet, Diagnostics)>,
}

/// What shows itself on a device.
pub(super) struct Look {
    pub(super) hits: Vec<Hit>,
    pub(super) decision: Decision,
    /// A format that is there and too damaged to open.
    pub(super) damaged: Option<String>,
}

impl Look {
    /// Decides for the format with this id, whether it shows itself or not.
    ///
    /// # Errors
    /// When there is no such format.
    pub(super) fn force(&mut self, id: &str, registry: &Registry) -> Result<()> {
        let is = |hit: &Hit| {
            hit.candidate.id() == id
                || hit
                    .evidence
                    .sign
                    .as_ref()
                    .is_some_and(|s| s.filesystem == id)
        };
        let shown = self.hits.iter().position(is);
        let index = match shown {
            Some(index) => index,
            None => {
                self.hits.push(Hit::forced(id, registry)?);
                self.decision.lost.push(String::new());
                self.hits.len() - 1
            }
        };
        self.decision.left = vec![index];
        for (n, lost) in self.decision.lost.iter_mut().enumerate() {
            *lost = match n == index {
                true => String::new(),
                false => format!("told that this is {id}"),
            };
        }
        self.damaged = None;
        Ok(())
    }

    /// The one format that is there.
    pub(super) fn won(&self) -> Option<&Hit> {
        match self.decision.left[..] {
            [one] => self.hits.get(one),
            _ => None,
        }
    }
}

impl Hit {
    /// The plugin with this id, or the one that reads the known format of this name.
    fn forced(id: &str, registry: &Registry) -> Result<Self> {
        let ext = ["ext2", "ext3"].contains(&id).then_some("ext4");
        let row = registry.known().iter().find(|row| row.id == id);
        let id = ext.or(row.and_then(|row| row.reader)).unwrap_or(id);
        let schemes = registry.schemes().iter();
        let scheme = schemes.map(|p| (p.descriptor(), Candidate::Scheme(Arc::clone(p))));
        let filesystems = registry.filesystems().iter();
        let filesystem =
            filesystems.map(|p| (p.descriptor(), Candidate::Filesystem(Arc::clone(p))));
        let all: Vec<_> = scheme.chain(filesystem).collect();
        let known: Vec<&str> = all.iter().map(|(descriptor, _)| descriptor.id).collect();
        let text = format!("no plugin reads {id:?}; there are: {}", known.join(", "));
        let found = all.into_iter().find(|(descriptor, _)| descriptor.id == id);
        let (descriptor, candidate) = found.ok_or_else(|| Error::unsupported("format", text))?;
        Ok(Self {
            candidate,
            evidence: Evidence {
                name: descriptor.name,
                confidence: 0,
                container: descriptor.container,
                table: None,
                read: true,
                sign: None,
            },
            group: None,
            table: None,
        })
    }

    /// Whether only a copy of the format is there.
    pub(super) fn is_copy(&self) -> bool {
        let sign = self.evidence.sign.as_ref();
        sign.is_some_and(|sign| sign.standing == Standing::Copy)
    }
}

/// Looks at devices of one view of a disk.
#[derive(Clone, Copy)]
pub(super) struct Looker<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) view: View,
}

impl Looker<'_> {
    /// Looks at `device`. `around` are the places on it that belong to the tables it lies in: no
    /// table is seen there again. `within` says that it is a part of another one, which a table may
    /// say the type of.
    pub(super) fn look(
        &self,
        device: &Arc<dyn ReadAt>,
        window: &Window,
        around: &[ByteRange],
        (within, partition_type): (bool, Option<&str>),
    ) -> Result<Look> {
        let (mut hits, damaged) = self.hits(window, around);
        for hit in &mut hits {
            if let Candidate::Scheme(plugin) = &hit.candidate
                && !plugin.sector_sizes().is_empty()
            {
                self.run.check()?;
                let (divided, read) = self.divided(plugin, device, window);
                hit.evidence.table = Some(divided);
                hit.table = read;
            }
        }
        let all: Vec<Evidence> = hits.iter().map(|hit| hit.evidence.clone()).collect();
        let decision = decide(&all, within, window.size(), partition_type);
        Ok(Look {
            hits,
            decision,
            damaged,
        })
    }

    /// Everything that shows itself in a window, and what is too damaged.
    fn hits(&self, window: &Window, around: &[ByteRange]) -> (Vec<Hit>, Option<String>) {
        let registry = self.run.options.registry;
        let outside = window.without(around);
        let mut hits = Vec::new();
        let mut damaged = None;
        let mut add =
            |descriptor: &Descriptor, candidate: Candidate, probe: Result<Probe>| match probe {
                Ok(Probe::No) => {}
                Ok(Probe::Match { confidence, group }) => {
                    let sign = self.sign_of(descriptor.id, window);
                    hits.push(Hit {
                        candidate,
                        evidence: Evidence {
                            name: descriptor.name,
                            confidence,
                            container: descriptor.container,
                            table: None,
                            read: true,
                            sign,
                        },
                        group,
                        table: None,
                    });
                }
                Ok(Probe::Damaged { reason }) => {
                    damaged = Some(format!("damaged {}: {reason}", descriptor.name));
                }
                Err(error) => {
                    let text = format!("the probe of {} failed: {error}", descriptor.name);
                    self.run
                        .report(None, Diagnostic::error("probe-failed", text));
                }
            };
        for plugin in registry.schemes() {
            let descriptor = plugin.descriptor();
            let window = match plugin.sector_sizes() {
                [] => window,
                _ => &outside,
            };
            let probe = ask(descriptor, window, &|| plugin.probe(window));
            add(descriptor, Candidate::Scheme(Arc::clone(plugin)), probe);
        }
        for plugin in registry.filesystems() {
            let descriptor = plugin.descriptor();
            let probe = ask(descriptor, window, &|| plugin.probe(window));
            add(descriptor, Candidate::Filesystem(Arc::clone(plugin)), probe);
        }
        for format in registry.known().iter().filter(|f| !self.is_read(f)) {
            if let Some(sign) = recognize(format, window) {
                hits.push(Hit {
                    evidence: Evidence {
                        name: format.name,
                        confidence: sign.confidence,
                        container: false,
                        table: None,
                        read: false,
                        sign: Some(sign.clone()),
                    },
                    candidate: Candidate::Known(Box::new((*format, sign))),
                    group: None,
                    table: None,
                });
            }
        }
        (hits, damaged)
    }

    /// Whether a registered plugin reads a format.
    fn is_read(&self, format: &KnownFormat) -> bool {
        let registry = self.run.options.registry;
        let schemes = registry.schemes().iter().map(|p| p.descriptor().id);
        let filesystems = registry.filesystems().iter().map(|p| p.descriptor().id);
        let mut ids = schemes.chain(filesystems);
        format
            .reader
            .is_some_and(|reader| ids.any(|id| id == reader))
    }

    /// What the table of known formats says of what a plugin matches. Where its format has a row
    /// and does not show itself by it, the plugin goes by a copy.
    fn sign_of(&self, id: &'static str, window: &Window) -> Option<Sign> {
        let rows = self.run.options.registry.known().iter();
        let rows: Vec<&KnownFormat> = rows.filter(|row| row.reader == Some(id)).collect();
        let signs = rows.iter().filter_map(|row| recognize(row, window));
        let best = signs.max_by_key(|sign| sign.confidence);
        best.or_else(|| {
            let end = ByteRange::new(window.size(), window.size());
            let unknown = Sign::new(rows.first()?.id, 0, end);
            Some(unknown.standing(Standing::Copy))
        })
    }

    /// Reads a table with each size of a sector that it may count in, and takes the one with which
    /// most partitions start at a known format; where all are alike, the one that the container of
    /// the disk tells, else what the scheme itself takes.
    fn divided(
        &self,
        plugin: &Arc<dyn VolumeScheme>,
        device: &Arc<dyn ReadAt>,
        window: &Window,
    ) -> (Divided, Option<(VolumeSet, Diagnostics)>) {
        let member = [member(device, window)];
        let forced = self.run.options.detection.sector_size;
        let sizes = match forced {
            Some(size) => vec![Some(size)],
            None => {
                let told = device.sector_size();
                let told = told.filter(|size| plugin.sector_sizes().contains(size));
                let sizes = plugin.sector_sizes().iter().copied().map(Some);
                let first = told.map(Some).into_iter().chain([None]);
                first.chain(sizes).collect()
            }
        };
        let mut best: Option<(Divided, VolumeSet, Diagnostics)> = None;
        for size in sizes {
            let (set, findings) =
                self.run
                    .trial(self.view, plugin.descriptor().id, |cx| match size {
                        Some(size) => plugin.open_with_sectors(&member, size, cx),
                        None => plugin.open(&member, cx),
                    });
            let Ok(set) = set else { continue };
            let known = best.as_ref().map(|(_, set, _)| set.sector_size);
            if known == Some(set.sector_size) {
                continue;
            }
            let divided = self.held(&set, device);
            let fits = |divided: &Divided| divided.holds + divided.records;
            if best
                .as_ref()
                .is_none_or(|(best, ..)| fits(&divided) > fits(best))
            {
                best = Some((divided, set, findings));
            }
        }
        match best {
            Some((divided, set, findings)) => (divided, Some((set, findings))),
            None => (Divided::default(), None),
        }
    }

    fn held(&self, set: &VolumeSet, device: &Arc<dyn ReadAt>) -> Divided {
        let mut divided = Divided::default();
        let tables: Vec<ByteRange> = set.structures.iter().map(|s| s.range).collect();
        let records = set.structures.iter().filter(|s| s.detail == "ebr");
        divided.records = records.count();
        for volume in set.volumes.iter().filter(|v| v.unusable.is_none()) {
            let ranges = volume.map.device_ranges();
            let end = ranges.bounds().map_or(0, |range| range.end());
            divided.end = divided.end.max(end);
            let start = volume.map.device_offset(0).unwrap_or(0);
            let map: ByteMap = volume.map.clone();
            let part: Arc<dyn ReadAt> = Arc::new(MappedReader::new(Arc::clone(device), map));
            let window = Window::of(&part);
            let (hits, _) = self.hits(&window, &[]);
            // One that was cut by the end of the disk may be of any length.
            let room = (end < device.len()).then(|| volume.map.len());
            let holds = hits.iter().any(|hit| {
                let size = hit.evidence.sign.as_ref().and_then(|sign| sign.size);
                let fits = room.is_none_or(|room| size.is_none_or(|size| size <= room));
                let place = hit.evidence.sign.as_ref().map(|sign| sign.place);
                let place = place.and_then(|place| place.moved_up(start));
                let is_copy = hit.evidence.sign.as_ref();
                let is_copy = is_copy.is_some_and(|sign| sign.standing == Standing::Copy);
                let repeats = place.is_some_and(|p| tables.iter().any(|t| t.overlaps(&p)));
                fits && !is_copy && !repeats && hit.evidence.confidence >= HELD
            });
            divided.holds += usize::from(holds);
        }
        divided
    }
}

fn recognize(format: &KnownFormat, window: &Window) -> Option<Sign> {
    if !format.is_shown(window) {
        return None;
    }
    guarded(|| Ok((format.recognize)(window))).ok().flatten()
}

fn ask(descriptor: &Descriptor, window: &Window, probe: &dyn Fn() -> Probe) -> Result<Probe> {
    let magics = descriptor.magics;
    let shown = magics.is_empty() || magics.iter().any(|magic| window.has(magic));
    match shown && window.size() >= descriptor.minimum_size {
        true => guarded(|| Ok(probe())),
        false => Ok(Probe::No),
    }
}

pub(super) fn member(device: &Arc<dyn ReadAt>, window: &Window) -> Member {
    Member {
        device: Arc::clone(device),
        window: window.clone(),
        start: 0,
    }
}
