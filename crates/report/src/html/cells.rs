//! The disk as a picture: so many cells, each with the bytes of every class that lie in it.

use std::collections::BTreeMap;

use hexz_resolve::Class;

/// Cells of the picture: a square of 64.
const CELLS: u64 = 4096;

/// Bytes by cell and class.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    size: u64,
    /// Bytes, and those of them that differ.
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

    /// Adds a piece of the disk.
    pub(super) fn add(&mut self, start: u64, length: u64, class: Class) {
        let (end, size) = (start.saturating_add(length), self.size.max(1));
        let mut at = start;
        while at < end && at / size < CELLS {
            let next = (at / size + 1).saturating_mul(size).min(end);
            let (bytes, _) = self.sums.entry((at / size, class)).or_default();
            *bytes = bytes.saturating_add(next - at);
            at = next;
        }
    }

    /// Says that `changed` bytes of a piece differ, wherever in it.
    pub(super) fn differ(&mut self, start: u64, length: u64, class: Class, changed: u64) {
        let mut piece = Self {
            size: self.size,
            ..Self::default()
        };
        piece.add(start, length, class);
        for (key, (bytes, _)) in piece.sums {
            let share = u128::from(changed) * u128::from(bytes) / u128::from(length.max(1));
            let (all, differ) = self.sums.entry(key).or_default();
            let share = u64::try_from(share).unwrap_or(u64::MAX);
            // What two files share is counted once.
            *differ = differ.saturating_add(share).min(*all);
        }
    }

    /// Adds the cells of another part of the disk.
    pub(super) fn merge(&mut self, other: Self) {
        for (key, (bytes, changed)) in other.sums {
            let (all, differ) = self.sums.entry(key).or_default();
            *all = all.saturating_add(bytes);
            *differ = differ.saturating_add(changed);
        }
    }

    /// Bytes by class.
    pub(super) fn classes(&self) -> BTreeMap<Class, u64> {
        let mut classes = BTreeMap::new();
        for ((_, class), (bytes, _)) in &self.sums {
            *classes.entry(*class).or_default() += bytes;
        }
        classes
    }

    /// Cell, index of the class in `order`, bytes, differing bytes.
    pub(super) fn filled(&self, order: &[Class]) -> Vec<(u64, usize, u64, u64)> {
        let cells = self.sums.iter();
        let cells = cells.filter_map(|((cell, class), (bytes, differ))| {
            let index = order.iter().position(|c| c == class)?;
            Some((*cell, index, *bytes, *differ))
        });
        cells.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_shared_out_among_the_cells_that_it_lies_in() {
        let mut cells = Cells::new(CELLS * 100);
        cells.add(150, 200, Class::Free);
        cells.add(0, 10, Class::Boot);
        cells.differ(150, 200, Class::Free, 100);
        let order = [Class::Boot, Class::Free];
        let expected = [
            (0, 0, 10, 0),
            (1, 1, 50, 25),
            (2, 1, 100, 50),
            (3, 1, 50, 25),
        ];
        assert_eq!(cells.filled(&order), expected);
        assert_eq!(cells.classes()[&Class::Free], 200);
        // What is said twice to differ is no more than all of it.
        cells.differ(150, 50, Class::Free, 50);
        assert_eq!(cells.filled(&order)[1], (1, 1, 50, 50));
    }

    #[test]
    fn what_lies_past_the_end_is_in_no_cell() {
        let mut cells = Cells::new(CELLS);
        cells.add(CELLS - 1, u64::MAX, Class::Gap);
        assert_eq!(cells.filled(&[Class::Gap]), [(CELLS - 1, 0, 1, 0)]);
    }
}
