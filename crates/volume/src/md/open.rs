//! From the superblock to the one volume of the array.

use hexz_ondisk::{Fields, read};
use hexz_resolve::{
    ByteMap, ByteRange, Diagnostic, Error, FoundVolume, OpenContext, ReadAt, Result, Role,
    Structure, VolumeSet,
};

use super::superblock::{LENGTH, Superblock, places};

/// Bytes of the superblock of a bitmap, in front of its bits.
const BITMAP: u64 = 256;

pub(crate) fn open(device: &dyn ReadAt, cx: &OpenContext<'_>) -> Result<VolumeSet> {
    let superblock = find(device)?;
    if !superblock.checksum_good {
        let text = "the md superblock does not match its checksum";
        cx.diagnose(Diagnostic::warning("md-superblock-damaged", text).at(superblock.at));
    }
    if let Some(text) = problem(&superblock) {
        return Err(Error::unsupported("md array", text).at(superblock.at));
    }
    if superblock.disks > 1 {
        let text = format!(
            "this is one of {} disks of a {} (metadata {}): each of them holds everything, and \
             this one is read as it is, whether or not the others were written later",
            superblock.disks,
            superblock.level_name(),
            superblock.version
        );
        cx.diagnose(Diagnostic::info("md-one-of-several", text).at(superblock.at));
    }
    let volume = FoundVolume {
        name: name(&superblock),
        map: ByteMap::contiguous(data(&superblock, device.len())),
        partition_type: None,
        label: None,
        unusable: None,
    };
    Ok(VolumeSet {
        volumes: vec![volume],
        structures: structures(&superblock, device),
        sector_size: None,
    })
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

/// Why the array can't be read from this disk.
fn problem(superblock: &Superblock) -> Option<String> {
    let (level, disks) = (superblock.level_name(), superblock.disks);
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
    (!superblock.holds_all()).then(|| {
        let number = role.saturating_add(1);
        format!("it is disk {number} of the {disks} of a {level}, of which only it is here")
    })
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

/// What of the device is data: of a copy, as much as the smallest disk has.
fn data(superblock: &Superblock, device: u64) -> ByteRange {
    let data = superblock.data;
    let used = match superblock.used {
        0 => data.len(),
        used => used.min(data.len()),
    };
    let here = ByteRange::new(0, device);
    let data = ByteRange::at(data.start(), used).and_then(|data| data.intersection(&here));
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
