//! From the superblocks to the one volume of the array.

use std::collections::BTreeMap;

use hexz_ondisk::{Fields, read};
use hexz_resolve::{
    ByteRange, Diagnostic, Error, FoundVolume, Member, OpenContext, ReadAt, Result, Role,
    Structure, VolumeSet,
};

use super::array::{Array, MOST_DISKS};
use super::superblock::{LENGTH, Superblock, places};

/// Bytes of the superblock of a bitmap, in front of its bits.
const BITMAP: u64 = 256;

/// Opens the array that `members` are disks of.
pub(crate) fn open(members: &[Member], cx: &OpenContext<'_>) -> Result<VolumeSet> {
    let mut set = VolumeSet::default();
    let mut disks = Vec::new();
    for (index, member) in members.iter().enumerate() {
        match find(&*member.device) {
            Ok(superblock) => {
                if !superblock.checksum_good {
                    let text = "the md superblock does not match its checksum";
                    let at = member.start.saturating_add(superblock.at);
                    cx.diagnose(Diagnostic::warning("md-superblock-damaged", text).at(at));
                }
                let structures = structures(&superblock, &*member.device).into_iter();
                set.structures.extend(structures.filter_map(|s| {
                    let range = s.range.moved_up(member.start)?;
                    Some(Structure { range, ..s })
                }));
                disks.push((index, member, superblock));
            }
            Err(error) if members.len() == 1 => return Err(error),
            Err(error) => {
                cx.diagnose(Diagnostic::from(&error).losing());
                set.left.push((index, error.chain()));
            }
        }
    }
    // The newest that has a place of its own says what the array is.
    let newest = disks.iter().filter(|(_, _, s)| s.role.is_some());
    let newest = newest.max_by_key(|(_, _, s)| (s.checksum_good, s.events));
    let newest = newest.or(disks.first()).map(|(_, _, s)| s.clone());
    let newest =
        newest.ok_or_else(|| Error::corrupt("md superblock").message("it is not there"))?;
    if newest.reshaping || !(1..=MOST_DISKS).contains(&newest.disks) {
        let text = problem(&newest, &newest)
            .unwrap_or_else(|| format!("it says that it has {} disks", newest.disks));
        return Err(Error::unsupported("md array", text).at(newest.at));
    }
    let mut data = BTreeMap::new();
    let mut reasons = Vec::new();
    for (index, member, superblock) in &disks {
        let own = self::data(superblock, member.device.len()).moved_up(member.start);
        let role = superblock.role.and_then(|role| u32::try_from(role).ok());
        match (problem(superblock, &newest), role, own) {
            (None, Some(role), Some(own)) if !data.contains_key(&role) => {
                data.insert(role, own);
            }
            (reason, ..) => {
                let twice = || "another disk has its place in the array".to_owned();
                reasons.push((*index, reason.unwrap_or_else(twice)));
            }
        }
    }
    if data.is_empty() {
        let reason = reasons.into_iter().next().map(|(_, reason)| reason);
        return Err(Error::unsupported("md array", reason.unwrap_or_default()).at(newest.at));
    }
    for (index, reason) in &reasons {
        let at = members.get(*index).map_or(0, |member| member.start);
        let text = format!("a disk of the array is left out: {reason}");
        cx.diagnose(Diagnostic::warning("md-left-out", text).at(at));
    }
    set.left.extend(reasons);
    let array = Array {
        superblock: &newest,
        data,
    };
    let alone = members.len() == 1;
    if alone && newest.disks > 1 && !newest.holds_all() {
        let (level, disks) = (newest.level_name(), newest.disks);
        let number = newest.role.unwrap_or(0).saturating_add(1);
        let text = format!(
            "it is disk {number} of the {disks} of a {level}, of which only it is here: give the \
             others with --disk"
        );
        return Err(Error::unsupported("md array", text).at(newest.at));
    }
    let map = array.map()?;
    tell_lacking(&array, &newest, alone, cx)?;
    set.volumes.push(FoundVolume {
        name: name(&newest),
        map,
        partition_type: None,
        label: None,
        unusable: None,
    });
    Ok(set)
}

/// Tells that disks are not here. Parity that may not fit its data is not computed with.
fn tell_lacking(
    array: &Array<'_>,
    newest: &Superblock,
    alone: bool,
    cx: &OpenContext<'_>,
) -> Result<()> {
    let (level, disks) = (newest.level_name(), newest.disks);
    if array.lacking() == 0 {
        return Ok(());
    }
    if alone && newest.holds_all() {
        let text = format!(
            "this is one of {disks} disks of a {level} (metadata {}): each of them holds \
             everything, and this one is read as it is, whether or not the others were written \
             later",
            newest.version
        );
        cx.diagnose(Diagnostic::info("md-one-of-several", text).at(newest.at));
        return Ok(());
    }
    if !newest.clean && matches!(newest.level, 4..=6) {
        let text = format!(
            "{} of the {disks} disks of a {level} are not here, and it was not closed cleanly: \
             its parity may not fit its data",
            array.lacking()
        );
        return Err(Error::unsupported("md array", text).at(newest.at));
    }
    let text = format!(
        "{} of the {disks} disks of a {level} are not here: what they hold is read from other \
         disks, or computed by parity",
        array.lacking()
    );
    cx.diagnose(Diagnostic::warning("md-degraded", text).at(newest.at));
    Ok(())
}

fn find(device: &dyn ReadAt) -> Result<Superblock> {
    let mut failed = None;
    for place in places(device.len()) {
        let end = place.at.checked_add(4096);
        if end.is_none_or(|end| end > device.len()) {
            continue;
        }
        let found = read(device, "md superblock", place.at, LENGTH);
        match found.map(|bytes| Superblock::parse(&bytes, place)) {
            Ok(Some(Ok(superblock))) => return Ok(superblock),
            Ok(Some(Err(error))) | Err(error) => _ = failed.get_or_insert(error),
            Ok(None) => {}
        }
    }
    let missing = || Error::corrupt("md superblock").message("it is not there");
    Err(failed.unwrap_or_else(missing))
}

/// Why a disk has no part in the array that `newest` describes.
fn problem(superblock: &Superblock, newest: &Superblock) -> Option<String> {
    let (level, disks) = (newest.level_name(), newest.disks);
    let Some(role) = superblock.role else {
        return Some(format!(
            "it is a spare, a journal or a faulty disk of a {level} of {disks} disks"
        ));
    };
    if superblock.reshaping {
        return Some(format!(
            "the shape of the {level} of {disks} disks is being changed"
        ));
    }
    if superblock.recovering {
        return Some(format!(
            "it was still being filled from the other disks of a {level}"
        ));
    }
    // The last change may not have reached all disks.
    if superblock.events.saturating_add(1) < newest.events {
        return Some(format!(
            "it has {} changes of the {level}, and others have {}: it was taken out before",
            superblock.events, newest.events
        ));
    }
    let shape = |s: &Superblock| (s.level, s.layout, s.chunk, s.disks, s.used, s.version);
    if shape(superblock) != shape(newest) {
        return Some(format!(
            "it says another shape of the {level} than other disks"
        ));
    }
    (role >= u64::from(disks)).then(|| format!("it is disk {role} of {disks}"))
}

/// As `mdadm` names its device: behind the name of the machine, where that stands before it.
fn name(superblock: &Superblock) -> String {
    let name = superblock.name.rsplit(':').next().unwrap_or_default();
    if name.is_empty() || name.contains('/') {
        let id: String = superblock
            .set
            .iter()
            .take(4)
            .map(|b| format!("{b:02x}"))
            .collect();
        return format!("md/{id}");
    }
    format!("md/{name}")
}

/// What of the device is data.
fn data(superblock: &Superblock, device: u64) -> ByteRange {
    let here = ByteRange::new(0, device);
    let data = superblock.data.intersection(&here);
    data.unwrap_or(ByteRange::new(0, 0))
}

fn structures(superblock: &Superblock, device: &dyn ReadAt) -> Vec<Structure> {
    let at = superblock.at;
    let mut found = vec![(ByteRange::at(at, 4096), "md-superblock")];
    if let Some(at) = superblock.bitmap {
        let length = bitmap_length(device, at).unwrap_or(4096);
        found.push((ByteRange::at(at, length), "md-bitmap"));
    }
    let here = ByteRange::new(0, device.len());
    let mut structures: Vec<Structure> = Vec::new();
    for (range, detail) in found {
        let range = range.and_then(|range| range.intersection(&here));
        let clear = |r: &ByteRange| structures.iter().all(|s| !s.range.overlaps(r));
        if let Some(range) = range.filter(clear) {
            structures.push(Structure {
                range,
                role: Role::VolumeMetadata,
                detail,
            });
        }
    }
    structures
}

/// Bytes of the bitmap at `at`: a bit for each chunk of what is kept in step.
fn bitmap_length(device: &dyn ReadAt, at: u64) -> Option<u64> {
    let bytes = read(device, "md bitmap", at, 64).ok()?;
    let fields = Fields::new("md bitmap", at, &bytes);
    if fields.bytes(0, 4).ok()? != b"bitm" {
        return None;
    }
    let bytes = fields.le64(40).ok()?.checked_mul(512)?;
    let chunks = bytes.div_ceil(u64::from(fields.le32(52).ok()?).max(512));
    chunks.div_ceil(8).checked_add(BITMAP)
}
