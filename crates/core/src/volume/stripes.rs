//! A rule by which the bytes of a segment lie on several columns: stripes, copies, parity.
//!
//! A column is a contiguous part of the device below. A chunk is the number of bytes that follow
//! each other on one column. Nothing here is as long as the volume: each place is computed.
//!
//! Linux, `drivers/md/raid0.c`, `raid10.c` (`__raid10_find_phys`), `raid5.c`
//! (`raid5_compute_sector`).

use crate::{ByteRange, RangeSet};

/// Columns of one segment; an array of Linux has at most some thousand disks.
const MOST_COLUMNS: usize = 4096;
/// A smaller chunk would make more pieces of a volume than memory holds. Linux has none below a
/// page.
const SMALLEST_CHUNK: u64 = 512;

/// How chunks are laid over the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StripeLayout {
    /// One after the other.
    Striped,
    /// RAID10 of Linux: `near` copies side by side, and `far` times all of that.
    Copies {
        /// Copies on neighbouring columns.
        near: u32,
        /// Copies of all of that.
        far: u32,
        /// Whether a far copy follows its row at once, and not behind all rows.
        offset: bool,
    },
    /// One or two chunks of each row are parity.
    Parity(Parity),
}

/// Which columns of a row hold parity, and in which order the others hold data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parity {
    /// 1 (P) or 2 (P and Q).
    pub count: u32,
    /// How P moves from row to row.
    pub turn: Turn,
    /// Whether data begins behind parity and goes around, and not at the first column.
    pub symmetric: bool,
    /// Whether Q stays on the last column, and all else is as if that were not there.
    pub apart: bool,
}

/// How parity moves from row to row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// From the last column to the first.
    Left,
    /// From the first to the last.
    Right,
    /// It stays on the first.
    First,
    /// It stays on the last.
    Last,
}

/// Columns and the rule that binds them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stripes {
    /// Where each column begins on the device below; `None` for one that is missing.
    columns: Vec<Option<u64>>,
    /// Bytes of a chunk.
    chunk: u64,
    /// Bytes of each column.
    column: u64,
    layout: StripeLayout,
}

/// What a part of a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// The bytes from here on, counted in the segment.
    Data(u64),
    /// Parity.
    Parity,
    /// Nothing.
    Nothing,
}

/// The parity columns of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ParityColumns {
    pub(super) p: usize,
    pub(super) q: Option<usize>,
}

impl Stripes {
    /// `columns` of `column` bytes each, in chunks of `chunk` bytes. `None` where that is no rule:
    /// no columns or very many, a chunk of less than a sector, columns that are not a number of
    /// chunks, more copies than columns, no column left for data, or an end past 64 bits.
    #[must_use]
    pub fn new(
        columns: Vec<Option<u64>>,
        chunk: u64,
        column: u64,
        layout: StripeLayout,
    ) -> Option<Self> {
        let count = u32::try_from(columns.len()).ok()?;
        let fits = match layout {
            StripeLayout::Striped => true,
            StripeLayout::Copies { near, far, .. } => {
                near > 0 && far > 0 && near.checked_mul(far).is_some_and(|n| n <= count)
            }
            StripeLayout::Parity(Parity {
                count: parity,
                apart,
                ..
            }) => (1..=2).contains(&parity) && count > parity && (!apart || parity == 2),
        };
        let sound = fits
            && (1..=MOST_COLUMNS).contains(&columns.len())
            && chunk >= SMALLEST_CHUNK
            && column.is_multiple_of(chunk);
        let ends = columns
            .iter()
            .flatten()
            .all(|start| start.checked_add(column).is_some());
        let stripes = Self {
            columns,
            chunk,
            column,
            layout,
        };
        stripes.column.checked_mul(count.into())?;
        (sound && ends).then_some(stripes)
    }

    fn count(&self) -> u64 {
        self.columns.len() as u64
    }

    /// Rows of one far copy.
    fn rows(&self) -> u64 {
        let far = match self.layout {
            StripeLayout::Copies { far, .. } => u64::from(far),
            _ => 1,
        };
        self.column / self.chunk / far
    }

    /// Columns of a row that hold different bytes; of copies, slots of chunks.
    fn slots(&self) -> u64 {
        match self.layout {
            StripeLayout::Parity(parity) => self.count() - u64::from(parity.count),
            _ => self.count(),
        }
    }

    fn near(&self) -> u64 {
        match self.layout {
            StripeLayout::Copies { near, .. } => near.into(),
            _ => 1,
        }
    }

    /// Chunks of data.
    fn chunks(&self) -> u64 {
        self.rows() * self.slots() / self.near()
    }

    /// Bytes of data.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.chunks() * self.chunk
    }

    /// Whether there is no data.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all data can be had, in spite of what is missing.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        let missing = self.columns.iter().filter(|c| c.is_none()).count() as u64;
        match self.layout {
            StripeLayout::Striped => missing == 0,
            StripeLayout::Parity(parity) => missing <= u64::from(parity.count),
            // The columns of a chunk are those of the one so many chunks behind it.
            StripeLayout::Copies { .. } => (0..self.chunks().min(self.count())).all(|chunk| {
                let (places, _) = self.locate(chunk * self.chunk);
                places.iter().any(|(c, at)| self.place(*c, *at).is_some())
            }),
        }
    }

    /// Where each column begins on the device below; `None` for one that is missing.
    #[must_use]
    pub fn columns(&self) -> &[Option<u64>] {
        &self.columns
    }

    pub(super) fn has_copies(&self) -> bool {
        match self.layout {
            StripeLayout::Copies { near, far, .. } => near > 1 || far > 1,
            _ => false,
        }
    }

    pub(super) fn has_parity(&self) -> bool {
        matches!(self.layout, StripeLayout::Parity(_))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.columns.iter().all(Option::is_some)
    }

    /// The parity columns of `row`.
    fn parity_of(&self, parity: Parity, row: u64) -> ParityColumns {
        // With Q apart, P turns over the other columns.
        let turning = self.count() - u64::from(parity.apart);
        let last = turning
            - if parity.apart {
                1
            } else {
                u64::from(parity.count)
            };
        let turned = row % turning;
        let p = match parity.turn {
            Turn::Left => turning - 1 - turned,
            Turn::Right => turned,
            Turn::First => 0,
            Turn::Last => last,
        };
        let q = match (parity.count, parity.apart) {
            (1, _) => None,
            (_, true) => Some(self.count() - 1),
            (_, false) => Some((p + 1) % self.count()),
        };
        ParityColumns {
            p: p as usize,
            q: q.map(|q| q as usize),
        }
    }

    /// The column of the data chunk `slot` of `row`.
    fn data_column(&self, parity: Parity, row: u64, slot: u64) -> u64 {
        let ParityColumns { p, q } = self.parity_of(parity, row);
        let p = p as u64;
        let turning = self.count() - u64::from(parity.apart);
        let beside = u64::from(parity.count) - u64::from(parity.apart);
        if parity.symmetric {
            return (p + beside + slot) % turning;
        }
        // Data in the order of the columns, without those of parity. Of two, Q may have gone
        // around to the first column.
        let q = q.filter(|_| !parity.apart).map(|q| q as u64);
        let (low, high) = match q {
            Some(q) if q < p => (q, Some(p)),
            q => (p, q),
        };
        let mut column = slot;
        column += u64::from(column >= low);
        column += u64::from(high.is_some_and(|high| column >= high));
        column
    }

    /// Which data chunk of `row` the column holds; `None` for parity.
    fn data_slot(&self, parity: Parity, row: u64, column: u64) -> Option<u64> {
        let ParityColumns { p, q } = self.parity_of(parity, row);
        if column == p as u64 || q == Some(column as usize) {
            return None;
        }
        let p = p as u64;
        let turning = self.count() - u64::from(parity.apart);
        let beside = u64::from(parity.count) - u64::from(parity.apart);
        if parity.symmetric {
            return Some((column + 2 * turning - p - beside) % turning);
        }
        let q = q.filter(|_| !parity.apart).map(|q| q as u64);
        Some(column - u64::from(p < column) - u64::from(q.is_some_and(|q| q < column)))
    }

    /// The columns that hold the byte at `inner` of the segment, the first to be read first, with
    /// the offset in each, and how many bytes follow it there.
    pub(super) fn locate(&self, inner: u64) -> (Vec<(usize, u64)>, u64) {
        let (number, within) = (inner / self.chunk, inner % self.chunk);
        let at = |row: u64| row * self.chunk + within;
        let mut found = Vec::new();
        match self.layout {
            StripeLayout::Striped => {
                let column = number % self.count();
                found.push((column as usize, at(number / self.count())));
            }
            StripeLayout::Copies { near, far, offset } => {
                let first = number * u64::from(near);
                for slot in first..first + u64::from(near) {
                    let (row, column) = (slot / self.count(), slot % self.count());
                    for copy in 0..u64::from(far) {
                        let column = (column + copy * u64::from(near)) % self.count();
                        let row = match offset {
                            true => row * u64::from(far) + copy,
                            false => row + copy * self.rows(),
                        };
                        found.push((column as usize, at(row)));
                    }
                }
            }
            StripeLayout::Parity(parity) => {
                let (row, slot) = (number / self.slots(), number % self.slots());
                let column = self.data_column(parity, row, slot);
                found.push((column as usize, at(row)));
            }
        }
        (found, self.chunk - within)
    }

    /// What lies at `offset` of a column, and how many bytes of it follow.
    pub(super) fn used_for(&self, column: usize, offset: u64) -> (Use, u64) {
        let (row, within) = (offset / self.chunk, offset % self.chunk);
        let number = match self.layout {
            StripeLayout::Striped => Some(row * self.count() + column as u64),
            StripeLayout::Copies { near, far, offset } => {
                let (row, copy) = match offset {
                    true => (row / u64::from(far), row % u64::from(far)),
                    false => (row % self.rows().max(1), row / self.rows().max(1)),
                };
                let moved = copy * u64::from(near) % self.count();
                let column = (column as u64 + self.count() - moved) % self.count();
                let inside = row < self.rows() && copy < u64::from(far);
                inside.then(|| (row * self.count() + column) / u64::from(near))
            }
            StripeLayout::Parity(parity) => match self.data_slot(parity, row, column as u64) {
                Some(slot) => Some(row * self.slots() + slot),
                None => return (Use::Parity, self.chunk - within),
            },
        };
        let used = match number.filter(|number| *number < self.chunks()) {
            Some(number) => Use::Data(number * self.chunk + within),
            None => Use::Nothing,
        };
        (used, self.chunk - within)
    }

    /// Where a column lies on the device below.
    pub(super) fn place(&self, column: usize, offset: u64) -> Option<u64> {
        self.columns
            .get(column)
            .copied()
            .flatten()?
            .checked_add(offset)
    }

    /// The places of the byte at `inner` on the device below, and how many bytes follow there.
    pub(super) fn places(&self, inner: u64) -> (impl Iterator<Item = u64> + '_, u64) {
        let (columns, length) = self.locate(inner);
        let places = columns.into_iter().filter_map(|(c, at)| self.place(c, at));
        (places, length)
    }

    /// All ranges of the device below that columns take up.
    pub(super) fn device_ranges(&self) -> impl Iterator<Item = ByteRange> + '_ {
        let columns = self.columns.iter().flatten();
        columns.filter_map(|start| ByteRange::at(*start, self.column))
    }

    /// The parts of the columns that hold a range of the segment, and more.
    pub(super) fn around(&self, inner: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        let far = matches!(self.layout, StripeLayout::Copies { far, .. } if far > 1);
        let row = self.chunk * self.slots() / self.near().max(1);
        let (from, to) = match far {
            true => (0, self.column),
            false => (
                inner.start() / row.max(1) * self.chunk,
                (inner.end().div_ceil(row.max(1)) + 1).saturating_mul(self.chunk),
            ),
        };
        let part = ByteRange::new(from.min(self.column), to.min(self.column));
        let columns = self.columns.iter().flatten();
        columns.filter_map(move |start| part.moved_up(*start))
    }

    /// What of the device below is in each column that is there, in offsets of the column.
    fn by_column(&self, device: &RangeSet) -> Vec<(usize, RangeSet)> {
        let there = self.columns.iter().enumerate();
        let there = there.filter_map(|(column, start)| Some((column, (*start)?)));
        there
            .filter_map(|(column, start)| {
                let range = ByteRange::at(start, self.column)?;
                let own = device.overlapping(range);
                Some((column, own.filter_map(|r| r.moved_down(start)).collect()))
            })
            .collect()
    }

    /// Calls `each` for the parts of columns that lie in `device`: column, offset, length, use.
    fn each_use(&self, device: &[(usize, RangeSet)], mut each: impl FnMut(usize, u64, u64, Use)) {
        for (column, parts) in device {
            for part in parts {
                let mut at = part.start();
                while at < part.end() {
                    let (used, length) = self.used_for(*column, at);
                    let length = length.min(part.end() - at);
                    each(*column, at, length, used);
                    at += length;
                }
            }
        }
    }

    /// The bytes of the segment that lie in `device`, whichever copy. What only parity could bring
    /// back lies wherever its row does.
    pub(super) fn to_segment(&self, device: &RangeSet) -> RangeSet {
        let mut columns = self.by_column(device);
        let mut found: Vec<ByteRange> = Vec::new();
        // Rows of which all is there are one range, however many.
        let all = columns.iter().map(|(_, parts)| parts.clone());
        let full: RangeSet = all
            .reduce(|one, other| one.intersection(&other))
            .unwrap_or_default()
            .iter()
            .filter_map(|range| {
                let start = range.start().checked_next_multiple_of(self.chunk)?;
                let end = range.end() / self.chunk * self.chunk;
                (start < end).then(|| ByteRange::new(start, end))
            })
            .collect();
        for range in &full {
            self.rows_between(
                range.start() / self.chunk,
                range.end() / self.chunk,
                &mut found,
            );
        }
        for (_, parts) in &mut columns {
            *parts = parts.difference(&full);
        }
        let lost = self.lost_data();
        self.each_use(&columns, |_, at, length, used| {
            if let Use::Data(inner) = used {
                found.extend(ByteRange::at(inner, length));
            }
            for column in &lost {
                if let (Use::Data(inner), _) = self.used_for(*column, at) {
                    found.extend(ByteRange::at(inner, length));
                }
            }
        });
        let whole = ByteRange::new(0, self.len());
        found.into_iter().collect::<RangeSet>().clipped(whole)
    }

    /// Columns that only parity could bring back.
    fn lost_data(&self) -> Vec<usize> {
        if !self.has_parity() {
            return Vec::new();
        }
        let columns = self.columns.iter().enumerate();
        columns
            .filter(|(_, start)| start.is_none())
            .map(|(column, _)| column)
            .collect()
    }

    /// The bytes of the segment in rows `from` to `to` of the columns.
    fn rows_between(&self, from: u64, to: u64, out: &mut Vec<ByteRange>) {
        let mut add = |from: u64, to: u64| {
            let chunks = |row: u64| row.saturating_mul(self.slots());
            let start = chunks(from) / self.near() * self.chunk;
            let end = chunks(to).div_ceil(self.near()).saturating_mul(self.chunk);
            out.push(ByteRange::new(start, end.max(start)));
        };
        match self.layout {
            StripeLayout::Copies {
                far, offset: true, ..
            } => {
                add(from / u64::from(far), to.div_ceil(far.into()));
            }
            StripeLayout::Copies { far, .. } if far > 1 => {
                let rows = self.rows();
                for copy in 0..u64::from(far) {
                    let (first, behind) = (copy * rows, (copy + 1) * rows);
                    let (from, to) = (from.max(first), to.min(behind));
                    if from < to {
                        add(from - first, to - first);
                    }
                }
            }
            _ => add(from, to),
        }
    }

    /// What of `device` is parity.
    pub(super) fn parity_in(&self, device: &RangeSet) -> RangeSet {
        if !self.has_parity() {
            return RangeSet::new();
        }
        let mut found = Vec::new();
        self.each_use(&self.by_column(device), |column, at, length, used| {
            if used == Use::Parity
                && let Some(place) = self.place(column, at)
            {
                found.extend(ByteRange::at(place, length));
            }
        });
        found.into_iter().collect()
    }

    /// The parity columns of the row at `offset` of the columns, where there are any.
    pub(super) fn parity_at(&self, offset: u64) -> Option<ParityColumns> {
        match self.layout {
            StripeLayout::Parity(parity) => Some(self.parity_of(parity, offset / self.chunk)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parity(count: u32, turn: Turn, symmetric: bool) -> StripeLayout {
        StripeLayout::Parity(Parity {
            count,
            turn,
            symmetric,
            apart: false,
        })
    }

    fn all_layouts() -> Vec<(StripeLayout, usize)> {
        let copies = |near, far, offset| StripeLayout::Copies { near, far, offset };
        let mut all = vec![
            (StripeLayout::Striped, 3),
            (copies(2, 1, false), 4),
            (copies(2, 1, false), 3),
            (copies(3, 1, false), 5),
            (copies(1, 2, false), 3),
            (copies(1, 2, true), 3),
            (copies(2, 2, true), 5),
            (copies(1, 3, false), 4),
        ];
        for turn in [Turn::Left, Turn::Right, Turn::First, Turn::Last] {
            for symmetric in [false, true] {
                for count in [1, 2] {
                    all.push((parity(count, turn, symmetric), 5));
                }
                let apart = StripeLayout::Parity(Parity {
                    count: 2,
                    turn,
                    symmetric,
                    apart: true,
                });
                all.push((apart, 5));
            }
        }
        all
    }

    fn stripes(layout: StripeLayout, count: usize) -> Stripes {
        let columns = (0..count as u64).map(|n| Some(n << 20)).collect();
        Stripes::new(columns, 4096, 60 * 4096, layout).unwrap()
    }

    #[test]
    fn each_byte_lies_where_its_place_says() {
        for (layout, count) in all_layouts() {
            let stripes = stripes(layout, count);
            let mut at = 0;
            let mut places = 0;
            while at < stripes.len() {
                let (found, length) = stripes.locate(at);
                places += found.len() as u64;
                for (column, offset) in found {
                    let (used, _) = stripes.used_for(column, offset);
                    assert_eq!(used, Use::Data(at), "{layout:?} {column} {offset}");
                }
                at += length;
            }
            // Each chunk of a column is a place, parity, or left over at the end.
            let (mut data, mut parity, mut nothing) = (0, 0, 0);
            for column in 0..count {
                for row in 0..60 {
                    match stripes.used_for(column, row * 4096).0 {
                        Use::Data(_) => data += 1,
                        Use::Parity => parity += 1,
                        Use::Nothing => nothing += 1,
                    }
                }
            }
            assert_eq!(data, places, "{layout:?}");
            assert_eq!(parity > 0, stripes.has_parity());
            assert!(nothing < count as u64 * 3, "{layout:?} {nothing}");
        }
    }

    #[test]
    fn back_from_the_device_is_the_same_by_rows_and_by_chunks() {
        for (layout, count) in all_layouts() {
            let stripes = stripes(layout, count);
            let from_places = |set: &RangeSet| {
                let mut found = RangeSet::new();
                let mut at = 0;
                while at < stripes.len() {
                    let (places, _) = stripes.places(at);
                    for place in places {
                        let chunk = ByteRange::at(place, 4096).unwrap();
                        for part in set.overlapping(chunk) {
                            let by = part.start() - place;
                            found.insert(ByteRange::at(at + by, part.len()).unwrap());
                        }
                    }
                    at += 4096;
                }
                found
            };
            let whole: RangeSet = stripes.device_ranges().collect();
            assert_eq!(
                stripes.to_segment(&whole),
                ByteRange::new(0, stripes.len()).into()
            );
            let rows: RangeSet = (0..count as u64)
                .map(|n| ByteRange::new((n << 20) + 10_000, (n << 20) + 50_000 + n * 3))
                .collect();
            assert_eq!(stripes.to_segment(&rows), from_places(&rows), "{layout:?}");
            let one: RangeSet = ByteRange::new((1 << 20) + 4000, (1 << 20) + 90_000).into();
            assert_eq!(stripes.to_segment(&one), from_places(&one), "{layout:?}");
            let parity = stripes.parity_in(&one).len();
            let data = stripes.to_segment(&one).len();
            assert!(data + parity <= one.len());
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let two = || vec![Some(0), Some(1 << 20)];
        let copies = |near, far| StripeLayout::Copies {
            near,
            far,
            offset: false,
        };
        for (columns, chunk, column, layout) in [
            (Vec::new(), 4096, 4096, StripeLayout::Striped),
            (vec![Some(0); 5000], 4096, 4096, StripeLayout::Striped),
            (two(), 0, 4096, StripeLayout::Striped),
            (two(), 1, 4096, StripeLayout::Striped),
            (two(), 4096, 4097, StripeLayout::Striped),
            (two(), 4096, 1 << 63, StripeLayout::Striped),
            (vec![Some(u64::MAX - 5)], 4096, 4096, StripeLayout::Striped),
            (two(), 4096, 4096, copies(0, 1)),
            (two(), 4096, 4096, copies(1, 0)),
            (two(), 4096, 4096, copies(2, 2)),
            (two(), 4096, 4096, copies(u32::MAX, u32::MAX)),
            (two(), 4096, 4096, parity(2, Turn::Left, true)),
            (two(), 4096, 4096, parity(3, Turn::Left, true)),
        ] {
            assert_eq!(Stripes::new(columns, chunk, column, layout), None);
        }
    }
}
