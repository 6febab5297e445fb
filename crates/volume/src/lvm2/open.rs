//! From the label to the volumes.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_ondisk::read;
use hexz_resolve::{
    ByteRange, Diagnostic, Error, Joined, Member, OpenContext, ReadAt, Result, Role, Structure,
    VolumeSet,
};

use super::area::{self, Content};
use super::images;
use super::label::{Label, SECTOR, SECTORS};
use super::map::{Here, Place};
use super::vg::Group;

/// Opens the groups whose physical volumes are among `members`.
pub(crate) fn open(members: &[Member], cx: &OpenContext<'_>) -> Result<VolumeSet> {
    let mut set = VolumeSet::default();
    let mut groups: Vec<Group> = Vec::new();
    let mut found = Vec::new();
    for (index, member) in members.iter().enumerate() {
        match physical(member, &mut groups, &mut set, cx) {
            Ok(label) => found.push((index, member, label)),
            // One alone is what its error says.
            Err(error) if members.len() == 1 => return Err(error),
            Err(error) => {
                cx.diagnose(Diagnostic::from(&error).losing());
                set.left.push((index, error.chain()));
            }
        }
    }
    for (index, member, (label, described)) in &found {
        let mut known = groups.iter().flat_map(|group| group.physical.values());
        if !described && !known.any(|pv| pv.uuid == label.uuid) {
            let error = Error::unsupported(
                "LVM2 metadata",
                "it is only on other physical volumes of the group",
            );
            let error = error.at(member.start.saturating_add(label.at));
            if members.len() == 1 {
                return Err(error);
            }
            set.left.push((*index, error.chain()));
        }
    }
    let starts = members.iter().map(|m| (m.start, Arc::clone(&m.device)));
    let device = Joined::new(starts);
    for group in &groups {
        let mut places = BTreeMap::new();
        for (name, pv) in &group.physical {
            let here = found
                .iter()
                .find(|(_, _, (label, _))| label.uuid == pv.uuid);
            if let Some((_, member, _)) = here {
                let (start, size) = (member.start, member.device.len());
                places.insert(name.as_str(), Place { start, size });
            }
        }
        let mut here = Here {
            group,
            places,
            stale: BTreeMap::new(),
        };
        here.stale = images::stale(&here, &device);
        for reason in here.stale.values() {
            let text = format!("volume group {}: {reason}, and is not read", group.name);
            cx.diagnose(Diagnostic::warning("lvm2-image-stale", text));
        }
        for text in here.partly() {
            cx.diagnose(Diagnostic::info("lvm2-one-of-several", text));
        }
        set.structures
            .extend(here.states().into_iter().map(|range| Structure {
                range,
                role: Role::VolumeMetadata,
                detail: "lvm2-raid-metadata",
            }));
        set.volumes.extend(here.volumes());
    }
    Ok(set)
}

/// The label of one physical volume, and whether its group is described on it. Adds the group, or
/// takes the newer description of one that is known.
fn physical(
    member: &Member,
    groups: &mut Vec<Group>,
    set: &mut VolumeSet,
    cx: &OpenContext<'_>,
) -> Result<(Label, bool)> {
    let (device, start) = (&*member.device, member.start);
    let label = label(device)?;
    let at = start.saturating_add(label.at);
    if !label.checksum_good {
        let text = "the LVM2 label does not match its checksum";
        cx.diagnose(Diagnostic::warning("lvm2-label-damaged", text).at(at));
    }
    let structures = structures(&label, device.len());
    let group = match group(device, start, &label, cx)? {
        Described::Group(group) => *group,
        Described::Nowhere => {
            set.structures.extend(moved(structures, start));
            return Ok((label, false));
        }
        Described::NoGroup => {
            let text = "the physical volume is in no volume group";
            cx.diagnose(Diagnostic::info("lvm2-no-group", text).at(at));
            set.structures.extend(moved(structures, start));
            return Ok((label, true));
        }
    };
    set.structures.extend(moved(structures, start));
    let mut known = group.physical.values();
    if !known.any(|pv| pv.uuid == label.uuid) {
        let text = format!(
            "the volume group {} does not know this physical volume, {}",
            group.name, label.uuid
        );
        cx.diagnose(Diagnostic::warning("lvm2-stranger", text).at(at));
    }
    let same = |other: &&mut Group| other.id == group.id && other.name == group.name;
    match groups.iter_mut().find(same) {
        Some(other) if other.seqno == group.seqno => {}
        Some(other) => {
            let text = format!(
                "one physical volume has change {} of the volume group, another one {}; the newer one holds",
                other.seqno, group.seqno
            );
            cx.diagnose(Diagnostic::warning("lvm2-areas-differ", text).at(at));
            if group.seqno > other.seqno {
                *other = group;
            }
        }
        None => groups.push(group),
    }
    Ok((label, true))
}

fn moved(structures: Vec<Structure>, start: u64) -> impl Iterator<Item = Structure> {
    let structures = structures.into_iter();
    structures.filter_map(move |s| {
        let range = s.range.moved_up(start)?;
        Some(Structure { range, ..s })
    })
}

/// What a physical volume says of its group.
enum Described {
    Group(Box<Group>),
    /// It is in none.
    NoGroup,
    /// Only others say.
    Nowhere,
}

/// The first good label; else the first one at all.
fn label(device: &dyn ReadAt) -> Result<Label> {
    let mut second_best = None;
    let mut failed = None;
    for n in 0..SECTORS {
        let at = n.saturating_mul(512);
        let found = read(device, "LVM2 label", at, SECTOR);
        match found.map(|bytes| Label::parse(&bytes, at)) {
            Ok(Some(Ok(label))) if label.checksum_good => return Ok(label),
            Ok(Some(Ok(label))) => _ = second_best.get_or_insert(label),
            Ok(Some(Err(error))) | Err(error) => _ = failed.get_or_insert(error),
            Ok(None) => {}
        }
    }
    second_best.ok_or_else(|| {
        let missing = || Error::corrupt("LVM2 label").message("it is not there");
        failed.unwrap_or_else(missing)
    })
}

/// The newest description of the group on a device that begins at `start`.
fn group(
    device: &dyn ReadAt,
    start: u64,
    label: &Label,
    cx: &OpenContext<'_>,
) -> Result<Described> {
    let mut newest: Option<Group> = None;
    let mut failed = None;
    let mut in_none = false;
    for range in &label.metadata {
        let text = match area::content(device, *range) {
            Ok(Content::Text(text)) => Group::parse(&text),
            Ok(Content::Nothing) => {
                in_none = true;
                continue;
            }
            Ok(Content::Ignored) => continue,
            Err(error) => Err(error),
        };
        match text {
            Ok(group) => match &newest {
                Some(other) if other.seqno == group.seqno => {}
                Some(other) => {
                    let text = format!(
                        "one metadata area has change {} of the volume group, another one {}; the newer one holds",
                        other.seqno, group.seqno
                    );
                    let at = start.saturating_add(range.start());
                    cx.diagnose(Diagnostic::warning("lvm2-areas-differ", text).at(at));
                    if group.seqno > other.seqno {
                        newest = Some(group);
                    }
                }
                None => newest = Some(group),
            },
            Err(error) => {
                let error = if error.offset().is_none() {
                    error.at(range.start())
                } else {
                    error
                };
                cx.diagnose(Diagnostic::from(&error));
                failed = failed.or(Some(error));
            }
        }
    }
    match (newest, failed) {
        (Some(group), _) => Ok(Described::Group(Box::new(group))),
        (None, Some(error)) => Err(error),
        (None, None) if in_none => Ok(Described::NoGroup),
        (None, None) => Ok(Described::Nowhere),
    }
}

fn structures(label: &Label, disk: u64) -> Vec<Structure> {
    let sector = ByteRange::new(label.at, label.at.saturating_add(512));
    let mut wanted = vec![(sector, Role::VolumeMetadata, "lvm2-label")];
    for range in &label.metadata {
        wanted.push((*range, Role::VolumeMetadata, "lvm2-metadata"));
    }
    for range in &label.boot {
        wanted.push((*range, Role::Boot, "lvm2-boot"));
    }
    let mut structures: Vec<Structure> = Vec::new();
    for (range, role, detail) in wanted {
        let range = range.intersection(&ByteRange::new(0, disk));
        let clear = |r: &ByteRange| structures.iter().all(|s| !s.range.overlaps(r));
        if let Some(range) = range.filter(clear) {
            structures.push(Structure {
                range,
                role,
                detail,
            });
        }
    }
    structures
}
