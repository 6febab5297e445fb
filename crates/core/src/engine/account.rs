//! The accounting: every byte of every changed block in exactly one class.

use std::collections::BTreeMap;

use super::layout::{DiskStructure, Layout};
use super::refine::{Counter, Differences};
use super::run::Run;
use super::volume::{Content, OpenVolume};
use super::words::Words;
use crate::report::{Before, ClassBytes, Region, Summary, Unresolved};
use crate::{ByteRange, Class, Disks, RangeCursor, RangeSet, Role};

/// A piece of the changed blocks, on the disk, with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: ByteRange,
    pub(super) class: Class,
    /// Number of the detail; for unresolved bytes, of the reason.
    text: u16,
    /// Index into the volumes of the report.
    volume: u32,
}

/// No volume.
const NONE: u32 = u32::MAX;

impl Piece {
    pub(super) fn volume(&self) -> Option<usize> {
        (self.volume != NONE).then_some(self.volume as usize)
    }
}

/// What is said of pieces.
#[derive(Default)]
pub(super) struct Texts {
    details: Words<&'static str>,
    reasons: Words<String>,
}

impl Texts {
    /// The finer word of a piece that is resolved.
    pub(super) fn detail(&self, piece: &Piece) -> &'static str {
        let detail = self.details.get(piece.text);
        let resolved = piece.class != Class::Unresolved;
        detail.filter(|_| resolved).copied().unwrap_or_default()
    }

    /// Why a piece is unresolved.
    pub(super) fn reason(&self, piece: &Piece) -> Option<&String> {
        let reason = self.reasons.get(piece.text);
        reason.filter(|_| piece.class == Class::Unresolved)
    }

    /// The number of `text`; that of none where there are too many.
    fn number<T: PartialEq>(all: &mut Words<T>, text: T) -> u16 {
        all.number(text).unwrap_or(Words::<T>::NONE)
    }
}

/// The changed bytes as they are given away: what is left is unresolved.
pub(super) struct Ledger {
    left: RangeSet,
    pieces: Vec<Piece>,
    texts: Texts,
}

impl Ledger {
    /// All of `changed`, unresolved.
    pub(super) fn new(changed: RangeSet) -> Self {
        Self {
            left: changed,
            pieces: Vec::new(),
            texts: Texts::default(),
        }
    }

    /// Gives away what is left of `ranges`, which must be rising and disjoint.
    pub(super) fn give(
        &mut self,
        ranges: impl IntoIterator<Item = (ByteRange, Class, &'static str)>,
        volume: Option<usize>,
    ) {
        let mut given = Vec::new();
        let volume = index_of(volume);
        let left = RangeCursor::new(&self.left);
        for (range, class, detail) in ranges {
            let text = Texts::number(&mut self.texts.details, detail);
            for part in left.overlapping(range) {
                self.pieces.push(Piece {
                    range: part,
                    class,
                    text,
                    volume,
                });
                given.push(part);
            }
        }
        if !given.is_empty() {
            self.left = self.left.difference(&given.into_iter().collect());
        }
    }

    /// Gives away what belongs to partition tables and volume managers, each in the volume that it
    /// lies in, if any.
    pub(super) fn give_structures<'a>(
        &mut self,
        structures: &[DiskStructure],
        volumes: impl Iterator<Item = (usize, &'a OpenVolume)> + Clone,
    ) {
        for s in structures {
            let start = s.range.start();
            let around = volumes.clone().find(|(_, v)| v.own.contains(start));
            let volume = around.map(|(index, _)| index);
            self.give([(s.range, s.role.class(), s.detail)], volume);
        }
    }

    /// Gives away what is left to the structures and the volumes of one view.
    pub(super) fn give_view<'a>(
        &mut self,
        run: &Run<'_>,
        layout: &Layout,
        volumes: impl Iterator<Item = (usize, &'a OpenVolume)> + Clone,
    ) {
        self.give_structures(&layout.structures, volumes.clone());
        for (index, volume) in volumes {
            self.close(volume, index, run.diagnostics.is_whole(&volume.name));
        }
    }

    /// Gives away what is left when all volumes and structures have theirs: it lies between them.
    pub(super) fn give_gaps(&mut self) {
        let left = self.left.clone();
        self.give(left.iter().map(|r| (r, Class::Gap, "")), None);
    }

    /// Gives away what is left of the parity of a volume.
    pub(super) fn give_parity(&mut self, volume: &OpenVolume, index: usize) {
        if volume.map.has_parity() {
            let parity = volume.map.parity_in(&self.left.intersection(&volume.own));
            let class = Role::Parity.class();
            self.give(parity.iter().map(|r| (r, class, "")), Some(index));
        }
    }

    /// Ends the account of a volume, of which all was read or not: what is left of it is
    /// unresolved, with the reason, or a gap between the volumes within it.
    pub(super) fn close(&mut self, volume: &OpenVolume, index: usize, whole: bool) {
        self.give_parity(volume, index);
        match &volume.content {
            Content::Volumes(_) => {
                let left = self.left.intersection(&volume.own);
                self.give(left.iter().map(|r| (r, Class::Gap, "")), Some(index));
            }
            _ => self.give_up(&volume.own, Some(index), volume.reason(whole)),
        }
    }

    /// Calls what is left of `ranges` unresolved, for `reason`.
    fn give_up(&mut self, ranges: &RangeSet, volume: Option<usize>, reason: String) {
        let left = self.left.intersection(ranges);
        if left.is_empty() {
            return;
        }
        let text = Texts::number(&mut self.texts.reasons, reason);
        let volume = index_of(volume);
        self.pieces.extend(left.iter().map(|range| Piece {
            range,
            class: Class::Unresolved,
            text,
            volume,
        }));
        self.left = self.left.difference(&left);
    }

    /// The pieces, by start, coalesced.
    pub(super) fn settle(mut self) -> (Vec<Piece>, Texts) {
        debug_assert!(
            self.left.is_empty(),
            "bytes without a class: {:?}",
            self.left
        );
        self.pieces.sort_by_key(|p| p.range);
        self.pieces.dedup_by(|next, kept| {
            let same = kept.range.end() == next.range.start()
                && (kept.class, kept.text, kept.volume) == (next.class, next.text, next.volume);
            if same {
                kept.range = ByteRange::new(kept.range.start(), next.range.end());
            }
            same
        });
        (self.pieces, self.texts)
    }
}

/// An index as pieces have it: there are not nearly so many volumes.
fn index_of(volume: Option<usize>) -> u32 {
    volume
        .and_then(|index| u32::try_from(index).ok())
        .unwrap_or(NONE)
}

/// Sums of pieces: over the disk and by volume.
pub(super) struct Sums {
    pub(super) disk: BTreeMap<Class, ClassBytes>,
    pub(super) volumes: BTreeMap<usize, BTreeMap<Class, ClassBytes>>,
}

impl Sums {
    /// Adds up `pieces`; `identical` are the blocks that were rewritten with what they held.
    pub(super) fn of(
        pieces: &[Piece],
        differences: Option<&Differences>,
        identical: &RangeSet,
    ) -> Self {
        let mut sums = Self {
            disk: BTreeMap::new(),
            volumes: BTreeMap::new(),
        };
        let counter = differences.map(Differences::counter);
        let identical = RangeCursor::new(identical);
        for piece in pieces {
            let add = ClassBytes {
                bytes: piece.range.len(),
                changed: counter.as_ref().map_or(0, |c| c.count(piece.range)),
                identical: identical.overlapping(piece.range).map(|r| r.len()).sum(),
            };
            let volume = piece
                .volume()
                .map(|v| entry(sums.volumes.entry(v).or_default(), piece));
            for sum in volume.into_iter().chain([entry(&mut sums.disk, piece)]) {
                sum.bytes += add.bytes;
                sum.changed += add.changed;
                sum.identical += add.identical;
            }
        }
        sums
    }

    /// The summary; `changes`, `complete` and what it cost are the caller's to fill in.
    pub(super) fn summary(&self, blocks: u64) -> Summary {
        let total = |f: fn(&ClassBytes) -> u64| self.disk.values().map(f).sum();
        Summary {
            blocks,
            bytes: total(|c| c.bytes),
            changed: total(|c| c.changed),
            identical: total(|c| c.identical),
            classes: self.disk.clone(),
            changes: BTreeMap::new(),
            complete: true,
            ..Summary::default()
        }
    }
}

fn entry<'m>(classes: &'m mut BTreeMap<Class, ClassBytes>, piece: &Piece) -> &'m mut ClassBytes {
    classes.entry(piece.class).or_default()
}

/// The region and unresolved records of `pieces`, in the space of all disks, without what lies in `shown`: the ranges that
/// change records carry.
pub(super) fn regions(
    pieces: &[Piece],
    texts: &Texts,
    counter: &Counter<'_>,
    shown: &RangeSet,
) -> (Vec<Region>, Vec<Unresolved>) {
    let mut regions = Vec::new();
    let mut unresolved = Vec::new();
    let shown = RangeCursor::new(shown);
    for piece in pieces {
        if piece.class == Class::Unresolved {
            unresolved.push(Unresolved {
                volume: piece.volume(),
                start: piece.range.start(),
                disk: None,
                length: piece.range.len(),
                reason: texts.reason(piece).cloned().unwrap_or_default(),
            });
            continue;
        }
        for range in shown.outside(piece.range) {
            regions.push(Region {
                volume: piece.volume(),
                class: piece.class,
                detail: texts.detail(piece),
                start: range.start(),
                disk: None,
                length: range.len(),
                changed: counter.count(range),
                fields: None,
                unnamed: 0,
                more_fields: false,
            });
        }
    }
    (regions, unresolved)
}

/// What the changed blocks were before, from `pieces` of base in the space of all disks.
pub(super) fn befores(pieces: &[Piece], disks: &Disks) -> Vec<Before> {
    let mut befores: Vec<Before> = Vec::new();
    for piece in pieces {
        let (disk, start) = disks.place(piece.range.start());
        let length = piece.range.len();
        match befores.last_mut() {
            Some(last)
                if (last.disk, last.class) == (disk, piece.class)
                    && last.start + last.length == start =>
            {
                last.length += length;
            }
            _ => befores.push(Before {
                class: piece.class,
                start,
                disk,
                length,
            }),
        }
    }
    befores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ByteMap;
    use crate::report::VolumeStatus;

    #[test]
    fn boot_code_in_a_partition_is_that_volumes_and_a_table_is_no_ones() {
        let range = ByteRange::new(100, 200);
        let volume = OpenVolume {
            snapshot_of: None,
            name: "p1".to_owned(),
            map: ByteMap::contiguous(range),
            scheme: None,
            partition_type: None,
            label: None,
            sector_size: None,
            content: Content::Nothing {
                status: VolumeStatus::Unsupported,
                reason: "raw".to_owned(),
                hidden: false,
                named: None,
            },
            own: range.into(),
        };
        let structure = |start, end, role| DiskStructure {
            range: ByteRange::new(start, end),
            role,
            detail: "it",
        };
        let structures = [
            structure(0, 50, Role::PartitionTable),
            structure(100, 180, Role::Boot),
        ];
        let mut ledger = Ledger::new(ByteRange::new(0, 300).into());
        ledger.give_structures(&structures, [(7, &volume)].into_iter());
        ledger.close(&volume, 7, true);
        ledger.give_gaps();
        let (pieces, texts) = ledger.settle();
        let told: Vec<_> = pieces
            .iter()
            .map(|p| {
                (
                    p.range.start(),
                    p.class,
                    p.volume(),
                    texts.reason(p).map_or("", String::as_str),
                )
            })
            .collect();
        let expected = [
            (0, Class::PartitionTable, None, ""),
            (50, Class::Gap, None, ""),
            (100, Class::Boot, Some(7), ""),
            (180, Class::Unresolved, Some(7), "raw"),
            (200, Class::Gap, None, ""),
        ];
        assert_eq!(told, expected);
    }
}
