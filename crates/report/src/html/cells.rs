//! The disk as a picture: so many cells, each with the bytes of every class that lie in it.

use std::collections::BTreeMap;

use hexz_resolve::Class;
use hexz_resolve::report::ClassBytes;

/// Cells of the picture: a square of 64.
const CELLS: u64 = 4096;

/// Bytes by cell and class.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    size: u64,
    sums: BTreeMap<(u64, Class), (u64, u64)>,
}

impl Cells {
    /// Of a disk of `disk` bytes.
    pub(super) fn new(disk: u64) -> Self {
        Self {
            size: disk.div_ceil(CELLS).max(1),
            sums: BTreeMap::new(),
        }
    }

    /// Bytes of a cell.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a piece of the disk, `changed` bytes of which differ.
    pub(super) fn add(&mut self, start: u64, length: u64, class: Class, changed: u64) {
        let end = start.saturating_add(length);
        let mut at = start;
        while at < end {
            let cell = at / self.size;
            if cell >= CELLS {
                break;
            }
            let next = (cell + 1).saturating_mul(self.size).min(end);
            let part = next - at;
            let share = u128::from(changed) * u128::from(part) / u128::from(length.max(1));
            let (bytes, differ) = self.sums.entry((cell, class)).or_default();
            *bytes += part;
            *differ += u64::try_from(share).unwrap_or_default();
            at = next;
        }
    }

    /// The classes of `sums`, in their order, with bytes and differing bytes.
    pub(super) fn classes(
        &self,
        sums: &BTreeMap<Class, ClassBytes>,
    ) -> Vec<(&'static str, u64, u64)> {
        let known = sums.iter();
        known
            .map(|(class, s)| (class.as_str(), s.bytes, s.changed))
            .collect()
    }

    /// Cell, index of the class in `sums`, bytes, differing bytes.
    pub(super) fn filled(&self, sums: &BTreeMap<Class, ClassBytes>) -> Vec<(u64, usize, u64, u64)> {
        let order: BTreeMap<Class, usize> = sums.keys().copied().zip(0..).collect();
        let cells = self
            .sums
            .iter()
            .filter_map(|((cell, class), (bytes, differ))| {
                Some((*cell, *order.get(class)?, *bytes, *differ))
            });
        cells.collect()
    }
}
