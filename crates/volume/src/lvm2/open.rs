//! From the label to the volumes.

use hexz_ondisk::read;
use hexz_resolve::{
    ByteRange, Diagnostic, Error, OpenContext, ReadAt, Result, Role, Structure, VolumeSet,
};

use super::area::{self, Content};
use super::label::{Label, SECTOR, SECTORS};
use super::map::Here;
use super::vg::Group;

pub(crate) fn open(device: &dyn ReadAt, cx: &OpenContext<'_>) -> Result<VolumeSet> {
    let label = label(device)?;
    if !label.checksum_good {
        let text = "the LVM2 label does not match its checksum";
        cx.diagnose(Diagnostic::warning("lvm2-label-damaged", text).at(label.at));
    }
    let structures = structures(&label, device.len());
    let Some(group) = group(device, &label, cx)? else {
        let text = "the physical volume is in no volume group";
        cx.diagnose(Diagnostic::info("lvm2-no-group", text).at(label.at));
        return Ok(VolumeSet {
            volumes: Vec::new(),
            structures,
            sector_size: None,
        });
    };
    let mut known = group.physical.iter();
    let name = known.find(|(_, pv)| pv.uuid == label.uuid);
    if name.is_none() {
        let text = format!(
            "the volume group {} does not know this physical volume, {}",
            group.name, label.uuid
        );
        cx.diagnose(Diagnostic::warning("lvm2-stranger", text).at(label.at));
    }
    let here = Here {
        group: &group,
        name: name.map(|(name, _)| name.as_str()),
        size: device.len(),
    };
    Ok(VolumeSet {
        volumes: here.volumes(),
        structures,
        sector_size: None,
    })
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

/// The newest description of the group; `None` when the volume is in none.
fn group(device: &dyn ReadAt, label: &Label, cx: &OpenContext<'_>) -> Result<Option<Group>> {
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
                    cx.diagnose(Diagnostic::warning("lvm2-areas-differ", text).at(range.start()));
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
        (Some(group), _) => Ok(Some(group)),
        (None, Some(error)) => Err(error),
        (None, None) if in_none => Ok(None),
        (None, None) => Err(Error::unsupported(
            "LVM2 metadata",
            "it is only on other physical volumes of the group",
        )
        .at(label.at)),
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
