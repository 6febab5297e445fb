//! The accounting: every byte of every changed block in exactly one class.

use std::collections::BTreeMap;

use super::layout::{Content, DiskStructure, OpenVolume};
use super::refine::Differences;
use crate::report::{ClassBytes, Region, Summary, Unresolved};
use crate::{ByteRange, Class, RangeSet};

/// A piece of the changed blocks, on the disk, with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: ByteRange,
    pub(super) class: Class,
    pub(super) detail: &'static str,
    /// Index into the volumes of the report.
    pub(super) volume: Option<usize>,
    /// For unresolved bytes, an index into the reasons.
    pub(super) reason: usize,
}

/// The changed bytes as they are given away: what is left is unresolved.
pub(super) struct Ledger {
    left: RangeSet,
    pieces: Vec<Piece>,
    reasons: Vec<String>,
}

impl Ledger {
    /// All of `changed`, unresolved.
    pub(super) fn new(changed: RangeSet) -> Self {
        Self {
            left: changed,
            pieces: Vec::new(),
            reasons: vec![String::new()],
        }
    }

    /// Gives away what is left of `ranges`, which must be rising and disjoint.
    pub(super) fn give(
        &mut self,
        ranges: impl IntoIterator<Item = (ByteRange, Class, &'static str)>,
        volume: Option<usize>,
    ) {
        let mut given = Vec::new();
        for (range, class, detail) in ranges {
            for part in self.left.overlapping(range) {
                self.pieces.push(Piece {
                    range: part,
                    class,
                    detail,
                    volume,
                    reason: 0,
                });
                given.push(part);
            }
        }
        if !given.is_empty() {
            self.left = self.left.difference(&given.into_iter().collect());
        }
    }

    /// Gives away what belongs to partition tables and volume managers.
    pub(super) fn give_structures(&mut self, structures: &[DiskStructure]) {
        for s in structures {
            self.give([(s.range, s.role.class(), s.detail)], None);
        }
    }

    /// Gives away what is left when all volumes and structures have theirs: it lies between them.
    pub(super) fn give_gaps(&mut self) {
        let left = self.left.clone();
        self.give(left.iter().map(|r| (r, Class::Gap, "")), None);
    }

    /// Ends the account of a volume: what is left of it is unresolved, with the reason, or a gap
    /// between the volumes within it.
    pub(super) fn close(&mut self, volume: &OpenVolume, index: usize) {
        match &volume.content {
            Content::Volumes(_) => {
                let left = self.left.intersection(&volume.own);
                self.give(left.iter().map(|r| (r, Class::Gap, "")), Some(index));
            }
            _ => self.give_up(&volume.own, Some(index), volume.reason()),
        }
    }

    /// Calls what is left of `ranges` unresolved, for `reason`.
    fn give_up(&mut self, ranges: &RangeSet, volume: Option<usize>, reason: String) {
        let left = self.left.intersection(ranges);
        if left.is_empty() {
            return;
        }
        let index = self.reasons.len();
        self.reasons.push(reason);
        self.pieces.extend(left.iter().map(|range| Piece {
            range,
            class: Class::Unresolved,
            detail: "",
            volume,
            reason: index,
        }));
        self.left = self.left.difference(&left);
    }

    /// The pieces, by start, coalesced.
    pub(super) fn settle(mut self) -> (Vec<Piece>, Vec<String>) {
        debug_assert!(
            self.left.is_empty(),
            "bytes without a class: {:?}",
            self.left
        );
        self.pieces.sort_by_key(|p| p.range);
        self.pieces.dedup_by(|next, kept| {
            let same = kept.range.end() == next.range.start()
                && (kept.class, kept.detail, kept.volume, kept.reason)
                    == (next.class, next.detail, next.volume, next.reason);
            if same {
                kept.range = ByteRange::new(kept.range.start(), next.range.end());
            }
            same
        });
        (self.pieces, self.reasons)
    }
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
        for piece in pieces {
            let add = ClassBytes {
                bytes: piece.range.len(),
                changed: differences.map_or(0, |d| d.count(piece.range)),
                identical: identical.overlapping(piece.range).map(|r| r.len()).sum(),
            };
            let volume = piece
                .volume
                .map(|v| entry(sums.volumes.entry(v).or_default(), piece));
            for sum in volume.into_iter().chain([entry(&mut sums.disk, piece)]) {
                sum.bytes += add.bytes;
                sum.changed += add.changed;
                sum.identical += add.identical;
            }
        }
        sums
    }

    /// The summary; `changes` and `complete` are the caller's to fill in.
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
        }
    }
}

fn entry<'m>(classes: &'m mut BTreeMap<Class, ClassBytes>, piece: &Piece) -> &'m mut ClassBytes {
    classes.entry(piece.class).or_default()
}

/// The region and unresolved records of `pieces`, without what lies in `shown`: the ranges that
/// change records carry.
pub(super) fn regions(
    pieces: &[Piece],
    reasons: &[String],
    differences: &Differences,
    shown: &RangeSet,
) -> (Vec<Region>, Vec<Unresolved>) {
    let mut regions = Vec::new();
    let mut unresolved = Vec::new();
    for piece in pieces {
        if piece.class == Class::Unresolved {
            unresolved.push(Unresolved {
                volume: piece.volume,
                start: piece.range.start(),
                length: piece.range.len(),
                reason: reasons.get(piece.reason).cloned().unwrap_or_default(),
            });
            continue;
        }
        for range in &RangeSet::from(piece.range).difference(shown) {
            regions.push(Region {
                volume: piece.volume,
                class: piece.class,
                detail: piece.detail,
                start: range.start(),
                length: range.len(),
                changed: differences.count(range),
            });
        }
    }
    (regions, unresolved)
}
