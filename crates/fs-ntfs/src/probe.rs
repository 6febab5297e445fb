//! Whether a device holds NTFS, or BitLocker around one.

use hexz_ondisk::Fields;
use hexz_resolve::{Probe, Window};

use crate::ondisk::{Geometry, OEM_BITLOCKER, OEM_NTFS, TO_GO_GUID, TO_GO_OFFSET};

pub(crate) fn probe(window: &Window) -> Probe {
    if is_bitlocker(|at, length| window.bytes(at, length)) {
        // What it is is said when it is opened.
        return Probe::matches(60);
    }
    let first = window.bytes(0, Geometry::LENGTH);
    let first = first.map(|bytes| Geometry::parse(&Fields::new("boot sector", 0, bytes)));
    let error = match first {
        Some(Ok(geometry)) => {
            // Another format may lie within the boot code; it would not have kept the copy.
            let copied = last(window).is_some_and(|copy| copy == geometry);
            return Probe::matches(if copied { 90 } else { 80 });
        }
        Some(Err(error)) => error,
        None => return Probe::No,
    };
    if last(window).is_some() {
        return Probe::matches(60);
    }
    match window.bytes(3, 8) {
        Some(oem) if oem == OEM_NTFS => Probe::Damaged {
            reason: error.to_string(),
        },
        _ => Probe::No,
    }
}

/// The copy of the boot sector at the very end, if it is of a volume that ends there.
fn last(window: &Window) -> Option<Geometry> {
    [512u64, 4096, 1024, 2048].into_iter().find_map(|sector| {
        let at = window.size().checked_sub(sector)?;
        let bytes = window.bytes(at, Geometry::LENGTH)?;
        let geometry = Geometry::parse(&Fields::new("boot sector", at, bytes)).ok()?;
        (geometry.sector == sector && geometry.end() == at).then_some(geometry)
    })
}

/// Whether the first sector is that of an encrypted volume.
pub(crate) fn is_bitlocker<'a>(bytes: impl Fn(u64, usize) -> Option<&'a [u8]>) -> bool {
    bytes(3, 8).is_some_and(|oem| oem == OEM_BITLOCKER)
        || bytes(TO_GO_OFFSET, 16).is_some_and(|guid| guid == TO_GO_GUID)
}
