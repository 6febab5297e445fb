//! Finding the two headers of a disk.

use hexz_ondisk::{read, to_usize};
use hexz_resolve::{Diagnostic, OpenContext, ReadAt};

use super::header::Copy;
use super::probe::{SECTORS, last_sector};
use crate::mbr::Table;

/// Sector of the first header.
const PRIMARY: u64 = 1;

/// The headers of a disk, as far as they were found: a header without its signature is none.
#[derive(Debug)]
pub(crate) struct Copies {
    /// Bytes of a sector.
    pub(crate) sector: u64,
    pub(crate) primary: Option<Copy>,
    pub(crate) backup: Option<Copy>,
}

impl Copies {
    /// Looks for headers with each sector size, and takes the size that has the better ones.
    pub(crate) fn find(
        device: &dyn ReadAt,
        mbr: Option<&Table>,
        cx: &OpenContext<'_>,
    ) -> Option<Self> {
        let found = SECTORS.map(|sector| Self::with_sector(device, sector, mbr, cx));
        let [small, large] = found;
        let best = if large.worth() > small.worth() {
            large
        } else {
            small
        };
        (best.worth() > (0, 0)).then_some(best)
    }

    fn with_sector(
        device: &dyn ReadAt,
        sector: u64,
        mbr: Option<&Table>,
        cx: &OpenContext<'_>,
    ) -> Self {
        let primary = header(device, PRIMARY, sector, cx);
        let named = primary.as_ref().map(|c| c.header.backup_lba);
        // The protective entry ends with the disk, as the disk was when the table was made.
        let protected = mbr.and_then(Table::protective);
        let protected = protected.and_then(|e| e.end().checked_sub(1));
        let places = [named, last_sector(device.len(), sector), protected];
        let mut tried = Vec::new();
        let mut backup: Option<Copy> = None;
        for lba in places.into_iter().flatten().filter(|lba| *lba > PRIMARY) {
            if tried.contains(&lba) {
                continue;
            }
            tried.push(lba);
            let other = header(device, lba, sector, cx);
            if other.as_ref().is_some_and(Copy::is_sound) {
                backup = other;
                break;
            }
            backup = backup.or(other);
        }
        Self {
            sector,
            primary,
            backup,
        }
    }

    /// Sound headers and headers, the first one counting for more.
    fn worth(&self) -> (u8, u8) {
        let count = |test: fn(&Copy) -> bool| {
            let primary = self.primary.as_ref().is_some_and(test);
            let backup = self.backup.as_ref().is_some_and(test);
            u8::from(primary)
                .saturating_mul(2)
                .saturating_add(u8::from(backup))
        };
        (count(Copy::is_sound), count(|_| true))
    }
}

/// The header in sector `lba`, when that is on the disk and has the signature.
fn header(device: &dyn ReadAt, lba: u64, sector: u64, cx: &OpenContext<'_>) -> Option<Copy> {
    let at = lba.checked_mul(sector)?;
    if at.checked_add(sector)? > device.len() {
        return None;
    }
    match read(device, "GPT header", at, to_usize(sector)?) {
        Ok(bytes) => Copy::parse(&bytes, lba, device.len()),
        Err(error) => {
            cx.diagnose(Diagnostic::from(&error));
            None
        }
    }
}
