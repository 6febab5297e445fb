//! Finding the two headers of a disk.

use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{Diagnostic, OpenContext, ReadAt};

use super::header::Copy;
use super::probe::last_sector;
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
    /// Looks for headers with each of these sector sizes, and takes the size that has the better ones.
    pub(crate) fn find(
        device: &dyn ReadAt,
        sectors: &[u64],
        mbr: Option<&Table>,
        cx: &OpenContext<'_>,
    ) -> Option<Self> {
        let mut best: Option<Self> = None;
        for sector in sectors {
            let found = Self::with_sector(device, *sector, mbr, cx);
            let known = best.as_ref().map_or((0, 0), Self::worth);
            if found.worth() > known {
                best = Some(found);
            }
        }
        best
    }

    fn with_sector(
        device: &dyn ReadAt,
        sector: u64,
        mbr: Option<&Table>,
        cx: &OpenContext<'_>,
    ) -> Self {
        let primary = sector_at(device, PRIMARY, sector, cx);
        // Also where the signature is gone: a backup shows by itself whether it is one.
        let named = primary.as_deref().and_then(alternate_lba);
        let primary = primary.and_then(|bytes| Copy::parse(&bytes, PRIMARY, device.len()));
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
            let other = sector_at(device, lba, sector, cx);
            let other = other.and_then(|bytes| Copy::parse(&bytes, lba, device.len()));
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

/// The bytes of sector `lba`, when it is on the disk and can be read.
fn sector_at(device: &dyn ReadAt, lba: u64, sector: u64, cx: &OpenContext<'_>) -> Option<Vec<u8>> {
    let at = lba.checked_mul(sector)?;
    if at.checked_add(sector)? > device.len() {
        return None;
    }
    read(device, "GPT header", at, to_usize(sector)?)
        .inspect_err(|error| cx.diagnose(Diagnostic::from(error)))
        .ok()
}

/// `AlternateLBA`: where the other header lies.
fn alternate_lba(header: &[u8]) -> Option<u64> {
    Fields::new("GPT header", 0, header).le64(32).ok()
}
