//! Names of the fields that differ in on-disk records.

use super::layout::{DiskStructure, Layout, OpenVolume};
use super::pairing::Pairing;
use super::refine::Differences;
use super::run::Run;
use crate::report::{FieldChange, FieldValue, Region};
use crate::{
    ByteRange, Class, Field, FieldForm, FieldTable, RangeSet, ReadAt, Records, Structure, read_vec,
};

/// Fields that are told of one region, and of all.
const PER_REGION: usize = 256;
const IN_ALL: usize = 8192;
/// Bytes of a field that is shown with its values.
const SHOWN: usize = 64;
/// Bytes that a record may have.
const LONGEST: u64 = 16 << 10;

/// What has records with fields.
fn has_records(class: Class) -> bool {
    matches!(
        class,
        Class::Superblock
            | Class::GroupDescriptors
            | Class::Boot
            | Class::PartitionTable
            | Class::InodeTable
    )
}

/// A view of both disks, with what there is to name.
pub(super) struct Namer<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) pairing: &'a Pairing<'a>,
    pub(super) layouts: &'a [Layout; 2],
    pub(super) differences: &'a Differences,
    /// The disks before and after.
    pub(super) disks: [&'a dyn ReadAt; 2],
}

impl Namer<'_> {
    /// Names what differs in the records of `regions`.
    pub(super) fn name(&self, regions: &mut [Region]) {
        let mut left = IN_ALL;
        for region in regions {
            if region.changed == 0 || !has_records(region.class) {
                continue;
            }
            let range = ByteRange::new(region.start, region.start.saturating_add(region.length));
            let mut told = Told {
                fields: Vec::new(),
                covered: 0,
                known: false,
                room: left.min(PER_REGION),
                more: false,
            };
            self.region(region, range, &mut told);
            if told.known {
                left -= told.fields.len();
                region.fields = Some(told.fields);
                region.unnamed = region.changed.saturating_sub(told.covered);
                region.more_fields = told.more;
            }
        }
    }

    fn region(&self, region: &Region, range: ByteRange, told: &mut Told) {
        let pair = region.volume.and_then(|v| self.pairing.pairs.get(v));
        if let Some(pair) = pair.filter(|pair| !pair.is_moved())
            && let [Some(before), Some(after)] = pair.filesystems()
            && before.info().filesystem == after.info().filesystem
            && let Some(volume) = pair.merged
            // A record of a mirror lies in several places, and is named in none.
            && !volume.map.has_copies()
        {
            for piece in &volume.map.to_volume(&range.into()) {
                for records in after.records(piece, region.class, region.detail) {
                    self.records(Some(volume), piece, &records, told);
                }
            }
        }
        if told.known {
            return;
        }
        let [before, after] = self
            .layouts
            .each_ref()
            .map(|layout| structure(layout, range.start()));
        let Some((before, after)) = before.zip(after).filter(|(a, b)| a.range == b.range) else {
            return;
        };
        // An MBR may become the one that protects a GPT, and is the same record.
        let [before, after] = [before, after].map(|found| Structure {
            range: found.range,
            role: found.role,
            detail: found.detail,
        });
        for scheme in self.run.options.registry.schemes() {
            let was = scheme.records(&before);
            let mut found = scheme.records(&after);
            found.retain(|records| was.contains(records));
            for records in found {
                self.records(None, range, &records, told);
            }
        }
    }

    /// The records that lie in `piece` of `volume`, or of the disk.
    fn records(
        &self,
        volume: Option<&OpenVolume>,
        piece: ByteRange,
        records: &Records,
        told: &mut Told,
    ) {
        let length = records.table.len() as u64;
        let length = records.stride.map_or(length, |stride| stride.min(length));
        if length == 0 || length > LONGEST {
            return;
        }
        told.known = true;
        let to_disk = |range: ByteRange| match volume {
            Some(volume) => volume.map.to_device(range).collect::<Vec<_>>(),
            None => vec![range],
        };
        let on_disk: RangeSet = to_disk(piece).into_iter().collect();
        // There are as many pieces as regions: all that differs is not gone through for each.
        let differing = on_disk.iter();
        let differing = differing.flat_map(|range| self.differences.ranges().overlapping(range));
        let differing: RangeSet = differing.collect();
        let differing = match volume {
            Some(volume) => volume.map.to_volume(&differing),
            None => differing,
        };
        let mut next = 0;
        for run in &differing {
            let first = index(records, run.start()).max(next);
            let last = index(records, run.end().saturating_sub(1));
            for number in first..=last {
                next = number + 1;
                let start = number.checked_mul(records.stride.unwrap_or(0));
                let start = start.and_then(|start| start.checked_add(records.origin));
                let Some(range) = start.and_then(|start| ByteRange::at(start, length)) else {
                    return;
                };
                // A record in two pieces of the disk is rare, and stays without names.
                let [place] = to_disk(range)[..] else {
                    continue;
                };
                if place.len() == length {
                    self.record(records.table, place, &on_disk, told);
                }
                if told.more {
                    return;
                }
            }
        }
    }

    fn record(&self, table: &FieldTable, place: ByteRange, within: &RangeSet, told: &mut Told) {
        let Ok(length) = usize::try_from(place.len()) else {
            return;
        };
        let read = |disk: &dyn ReadAt| read_vec(disk, place.start(), length).ok();
        let [Some(old), Some(new)] = self.disks.map(read) else {
            return;
        };
        let is_one = |bytes: &[u8]| {
            let signs = table.signs.iter();
            signs.clone().all(|(at, sign)| {
                let end = at.saturating_add(sign.len());
                bytes.get(*at..end) == Some(*sign)
            })
        };
        if !is_one(&old) || !is_one(&new) {
            return;
        }
        let end = extent(table, &old).min(extent(table, &new));
        for field in table.fields {
            for n in 0..field.count {
                let at = field.offset + n * field.width;
                let bytes = at..at + field.width;
                let (Some(a), Some(b)) = (old.get(bytes.clone()), new.get(bytes.clone())) else {
                    break;
                };
                let start = place.start() + at as u64;
                let here = ByteRange::new(start, start + field.width as u64);
                if a == b || bytes.end > end || !within.overlaps(here) {
                    continue;
                }
                if told.fields.len() == told.room {
                    told.more = true;
                    return;
                }
                let inside: Vec<ByteRange> = within.overlapping(here).collect();
                told.covered += a
                    .iter()
                    .zip(b)
                    .zip(start..)
                    .filter(|((a, b), at)| a != b && inside.iter().any(|r| r.contains(*at)))
                    .count() as u64;
                told.fields.push(FieldChange {
                    record: table.record,
                    start: place.start(),
                    name: match field.count {
                        1 => field.name.into(),
                        _ => format!("{}[{n}]", field.name).into(),
                    },
                    values: (field.width <= SHOWN).then(|| [value(field, a), value(field, b)]),
                });
            }
        }
    }
}

/// What was found in one region.
struct Told {
    fields: Vec<FieldChange>,
    /// Differing bytes that are in one of them.
    covered: u64,
    /// Whether it is known which records lie there.
    known: bool,
    room: usize,
    more: bool,
}

/// The structure of a volume scheme in which a byte lies.
fn structure(layout: &Layout, at: u64) -> Option<&DiskStructure> {
    layout.structures.iter().find(|s| s.range.contains(at))
}

/// The number of the record in which the byte at `at` lies, counted from the origin.
fn index(records: &Records, at: u64) -> u64 {
    let from = at.saturating_sub(records.origin);
    records.stride.map_or(0, |stride| from / stride.max(1))
}

/// Where the fields of a record end.
fn extent(table: &FieldTable, bytes: &[u8]) -> usize {
    let Some((at, more)) = table.extent else {
        return usize::MAX;
    };
    let said = bytes.get(at..at + 2).and_then(|b| b.try_into().ok());
    said.map_or(0, |b| usize::from(u16::from_le_bytes(b)) + more)
}

fn value(field: &Field, bytes: &[u8]) -> FieldValue {
    let number = |bytes: &mut dyn Iterator<Item = &u8>| {
        let digit = |n: u64, byte: &u8| n << 8 | u64::from(*byte);
        FieldValue::Number(bytes.fold(0, digit))
    };
    match field.form {
        FieldForm::Le if bytes.len() <= 8 => number(&mut bytes.iter().rev()),
        FieldForm::Be if bytes.len() <= 8 => number(&mut bytes.iter()),
        _ => FieldValue::Bytes(bytes.to_vec()),
    }
}
