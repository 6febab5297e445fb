//! Sets of devices: what lies on several of them is opened when all were looked at.

use std::sync::Arc;

use super::detector::{Detector, NESTING};
use super::layout::Layout;
use super::run::guarded;
use super::volume::{Content, nothing};
use super::waiting::{Format, Waiting};
use crate::report::VolumeStatus;
use crate::{
    ByteMap, Diagnostic, Diagnostics, ErrorKind, FilesystemPlugin, Member, ReadAt, Result,
    VolumeScheme,
};

/// The number of a device that has no place of its own in its set, such as a spare one.
const NO_PLACE: u64 = u64::MAX;

impl Detector<'_> {
    /// Opens the sets of all devices that wait, and of those that are found in them.
    pub(super) fn open_sets(&self, layout: &mut Layout) -> Result<()> {
        loop {
            let set = self.next_set();
            if set.is_empty() {
                return Ok(());
            }
            let set = self.without_copies(layout, set);
            match set.first().map(|member| member.format.clone()) {
                Some(Format::Scheme(plugin)) => self.open_volumes(layout, set, &plugin)?,
                Some(Format::Filesystem(plugin)) => self.open_filesystem(layout, set, &plugin)?,
                None => {}
            }
        }
    }

    /// Takes the devices of one set: of one that is whole, or else of one that may lie below the
    /// others.
    fn next_set(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let is_whole = |one: &&Waiting| {
            let here = waiting.iter().filter(|other| other.is_of(one)).count();
            one.group.members.is_some_and(|all| here >= all as usize)
        };
        // Members of which the number is known are looked for elsewhere last: arrays before the
        // managers that lie on them, and these before filesystems.
        let order = |one: &&Waiting| {
            let filesystem = matches!(one.format, Format::Filesystem(_));
            (filesystem, one.group.members.is_none(), one.depth)
        };
        // A filesystem on one device, that another one may have as well.
        let lone = |one: &&Waiting| {
            let filesystem = matches!(one.format, Format::Filesystem(_));
            filesystem && one.group.members == Some(1)
        };
        let whole = waiting.iter().filter(is_whole).filter(|one| !lone(one));
        let whole = whole.min_by_key(order);
        let next = whole.or_else(|| waiting.iter().min_by_key(|one| (lone(one), order(one))));
        let Some((id, group)) = next.map(|one| (one.format.id(), one.group.id.clone())) else {
            return Vec::new();
        };
        let (set, rest) = std::mem::take(&mut *waiting)
            .into_iter()
            .partition(|one| one.format.id() == id && one.group.id == group);
        *waiting = rest;
        set
    }

    /// A set in the order of its numbers. Of devices that say they are the same one, the one that
    /// was written last is taken; the others are left as they are.
    fn without_copies(&self, layout: &mut Layout, mut set: Vec<Waiting>) -> Vec<Waiting> {
        set.sort_by_key(|one| (one.group.member, std::cmp::Reverse(one.group.generation)));
        let mut kept: Vec<Waiting> = Vec::new();
        for one in set {
            let same = kept.last().filter(|last| {
                last.group.member == one.group.member && one.group.member != NO_PLACE
            });
            let Some(same) = same else {
                kept.push(one);
                continue;
            };
            let (first, second) = (&same.found.name, &one.found.name);
            let (format, number) = (one.format.id(), one.group.member);
            let text = match same.group.generation == one.group.generation {
                true => format!("{first} and {second} are the same device of one {format}"),
                false => format!(
                    "{first} and {second} are the same device of one {format}, and {first} was \
                     written later"
                ),
            };
            let reason = format!("{text}: {first} is read (its number is {number:x})");
            let finding = Diagnostic::warning("member-twice", reason.clone());
            let finding = finding.view(self.view).losing();
            self.run.report(one.name(), finding);
            let content = nothing(VolumeStatus::Ambiguous, reason);
            layout.volumes.push(one.into_volume(content));
        }
        kept
    }

    fn members(set: &[Waiting]) -> (Vec<Member>, Option<ByteMap>) {
        let mut start = 0u64;
        let members = set.iter().map(|one| {
            let member = Member {
                device: Arc::clone(&one.device),
                window: one.window.clone(),
                start,
            };
            start = start.saturating_add(one.device.len());
            member
        });
        let members = members.collect();
        (
            members,
            ByteMap::end_to_end(set.iter().map(|one| &one.found.map)),
        )
    }

    /// Adds the devices of other sets that a filesystem has as well.
    fn add_further(&self, set: &mut Vec<Waiting>, plugin: &Arc<dyn FilesystemPlugin>) {
        let members = Self::members(set).0;
        let asked = guarded(|| Ok(plugin.further(&members)));
        let id = plugin.descriptor().id;
        let mut waiting = self.waiting.borrow_mut();
        for (group, number) in asked.unwrap_or_default() {
            let wanted = |one: &Waiting| {
                one.format.id() == id && one.group.id == group && one.group.member == number
            };
            let taken = set.iter().any(|one| one.group.member == number);
            if let Some(at) = waiting.iter().position(wanted).filter(|_| !taken) {
                set.push(waiting.remove(at));
            }
        }
        set.sort_by_key(|one| one.group.member);
    }

    fn open_filesystem(
        &self,
        layout: &mut Layout,
        mut set: Vec<Waiting>,
        plugin: &Arc<dyn FilesystemPlugin>,
    ) -> Result<()> {
        self.add_further(&mut set, plugin);
        let (members, map) = Self::members(&set);
        // It is called what the first disk that it is on calls it.
        let first = set.iter().enumerate();
        let first = first.min_by_key(|(_, one)| one.found.map.device_offset(0));
        let (Some((first, shown)), Some(map)) = (first, map) else {
            return Ok(());
        };
        let name = shown.found.name.clone();
        let id = plugin.descriptor().id;
        let volume = Some(name.as_str());
        let opened = self
            .run
            .opening(self.view, volume, id, |cx| plugin.open(&members, cx));
        let content = self.settle(volume, opened.map(Content::Filesystem))?;
        let mut content = Some(content);
        for (n, one) in set.into_iter().enumerate() {
            match content.take_if(|_| n == first) {
                Some(content) => {
                    let mut volume = one.into_volume(content);
                    volume.map = map.clone();
                    layout.volumes.push(volume);
                }
                None if one.depth > 0 => layout.volumes.push(one.into_volume(Content::Volumes(id))),
                None => {}
            }
        }
        Ok(())
    }

    fn open_volumes(
        &self,
        layout: &mut Layout,
        set: Vec<Waiting>,
        plugin: &Arc<dyn VolumeScheme>,
    ) -> Result<()> {
        let id = plugin.descriptor().id;
        let depth = set.iter().map(|one| one.depth).max().unwrap_or_default();
        let (members, map) = Self::members(&set);
        let Some(map) = map else {
            return Ok(());
        };
        if depth == NESTING {
            let reason = format!("volumes nested more than {NESTING} deep");
            for one in set {
                let content = nothing(VolumeStatus::Unsupported, reason.clone());
                layout.volumes.push(one.into_volume(content));
            }
            return Ok(());
        }
        let (opened, findings) = self
            .run
            .trial(self.view, id, |cx| plugin.open(&members, cx));
        self.keep_findings(&set, &members, id, &findings);
        match opened {
            Ok(found) => {
                let mut left = found.left.clone();
                self.inner(layout, found, (&map, None), id, depth)?;
                for (n, one) in set.into_iter().enumerate() {
                    let reason = left.iter_mut().find(|(member, _)| *member == n);
                    let content = match reason {
                        Some((_, reason)) => {
                            nothing(VolumeStatus::Unsupported, std::mem::take(reason))
                        }
                        None => Content::Volumes(id),
                    };
                    let divided = matches!(content, Content::Volumes(_));
                    // A whole disk is a volume only when nothing divides it.
                    if one.depth > 0 || !divided {
                        layout.volumes.push(one.into_volume(content));
                    }
                }
            }
            // What it is stays known where it is not read, as of any known format.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                for one in set {
                    let content = Content::Nothing {
                        status: VolumeStatus::Unsupported,
                        reason: error.chain(),
                        hidden: true,
                        named: one.sign.clone(),
                    };
                    layout.volumes.push(one.into_volume(content));
                }
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => {
                let reason = error.chain();
                let name = set.first().map(|one| one.found.name.clone());
                self.run.tolerate(name.as_deref(), error)?;
                for one in set {
                    let content = nothing(VolumeStatus::Damaged, reason.clone());
                    layout.volumes.push(one.into_volume(content));
                }
            }
        }
        Ok(())
    }

    /// Adds findings of a scheme, each of the device that its offset lies on.
    fn keep_findings(
        &self,
        set: &[Waiting],
        members: &[Member],
        id: &'static str,
        findings: &Diagnostics,
    ) {
        self.run.diagnostics.absorb(findings, |mut finding| {
            let at = finding.offset.unwrap_or_default();
            let behind = members.partition_point(|member| member.start <= at);
            let index = behind.saturating_sub(1);
            let start = members.get(index).map_or(0, |member| member.start);
            finding.offset = finding.offset.map(|offset| offset - start);
            let name = set.get(index).and_then(Waiting::name);
            self.run.about(name, finding.layer(id))
        });
    }
}
