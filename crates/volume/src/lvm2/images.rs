//! How far the images of a RAID1 are: the superblock in the metadata volume of each.
//!
//! Linux, `drivers/md/dm-raid.c` (`struct dm_raid_superblock`).

use std::collections::BTreeMap;

use hexz_ondisk::Fields;
use hexz_resolve::{ReadAt, read_vec};

use super::map::Here;

const MAGIC: u32 = 0x6452_6D44;
const LENGTH: usize = 512;

/// What the superblock of an image says.
struct State {
    events: u64,
    /// One bit for each image that failed.
    failed: u64,
    /// How far it was filled from the others; all ones for all of it.
    recovered: u64,
}

fn state(device: &dyn ReadAt, at: u64) -> Option<State> {
    let bytes = read_vec(device, at, LENGTH).ok()?;
    let fields = Fields::new("RAID superblock of LVM2", at, &bytes);
    if fields.le32(0).ok()? != MAGIC {
        return None;
    }
    Some(State {
        events: fields.le64(16).ok()?,
        failed: fields.le64(24).ok()?,
        recovered: fields.le64(32).ok()?,
    })
}

/// The images that are not to be read, by name, with the reason.
pub(crate) fn stale<'a>(here: &Here<'a>, device: &dyn ReadAt) -> BTreeMap<&'a str, String> {
    let mut stale = BTreeMap::new();
    let segments = here.group.logical.iter().flat_map(|lv| &lv.segments);
    for segment in segments.filter(|s| !s.states.is_empty()) {
        let images = segment.images.iter().zip(&segment.states);
        let states: Vec<_> = images
            .map(|((image, _), meta)| {
                let state = here.first_byte(meta).and_then(|at| state(device, at));
                (image.as_str(), state)
            })
            .collect();
        let known = || states.iter().filter_map(|(_, state)| state.as_ref());
        let newest = known().map(|state| state.events).max().unwrap_or_default();
        let failed = known().filter(|state| state.events == newest);
        let failed = failed.fold(0, |all, state| all | state.failed);
        for ((image, state), bit) in states.iter().zip(0u32..) {
            let reason = match state {
                _ if failed.checked_shr(bit).unwrap_or_default() & 1 != 0 => "failed",
                Some(state) if state.events < newest => "was written before the others",
                Some(state) if state.recovered != u64::MAX => "was still being filled",
                _ => continue,
            };
            stale.insert(*image, format!("its image {image} {reason}"));
        }
    }
    stale
}
