//! Names of the fields that differ in on-disk records.
//!
//! The records of neighbouring regions are read together, and some regions are looked at on each
//! thread. How many fields are told in all depends on those of the regions before, so that what is
//! too much is taken away at the end, in order.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::layout::{DiskStructure, Layout};
use super::named::{Named, compare};
use super::pairing::Pairing;
use super::refine::Differences;
use super::run::Run;
use super::volume::OpenVolume;
use crate::report::Region;
use crate::{
    ByteRange, Class, FieldTable, RangeSet, ReadAt, Records, Result, Structure, read_vec,
    with_buffer,
};

/// Fields that are told of one region, and of all.
const PER_REGION: usize = 256;
const IN_ALL: usize = 8192;
/// Bytes that a record may have.
const LONGEST: u64 = 16 << 10;
/// Regions that one thread looks at at a time.
const AT_ONCE: usize = 32;
/// So many bytes between two records cost less than another request.
const NEAR: u64 = 16 << 10;
/// Bytes of records that are read together: of a large region the first ones are enough.
const TOGETHER: u64 = 64 << 10;

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

/// Records of one region that follow one rule, and may be of several kinds.
struct Set<'a> {
    volume: Option<&'a OpenVolume>,
    /// The piece that they lie in.
    on_disk: RangeSet,
    /// Where it differs, in bytes of the volume, or of the disk.
    differing: RangeSet,
    origin: u64,
    stride: Option<u64>,
    /// Their fields, and bytes of a record.
    tables: Vec<(&'static FieldTable, u64)>,
}

/// What lies in one region.
struct Planned<'a> {
    sets: Vec<Set<'a>>,
    /// Whether no more fields are told of it than were found.
    full: Cell<bool>,
}

/// A record that is to be read: a part of a region, and where what is found of it goes.
struct Wanted<'p> {
    region: usize,
    list: usize,
    table: &'static FieldTable,
    place: ByteRange,
    within: &'p RangeSet,
}

impl Namer<'_> {
    /// Names what differs in the records of `regions`.
    pub(super) fn name(&self, regions: &mut [Region]) -> Result<()> {
        let has_any = |region: &&mut Region| region.changed > 0 && has_records(region.class);
        let mut regions: Vec<&mut Region> = regions.iter_mut().filter(has_any).collect();
        let places: Vec<Place> = regions.iter().map(|region| Place::of(region)).collect();
        let parts: Vec<&[Place]> = places.chunks(AT_ONCE).collect();
        // What was told by then: those that are looked at need not find more.
        let left = AtomicUsize::new(IN_ALL);
        let mut coming = regions.iter_mut();
        let find = |part: &&[Place]| self.find(part, left.load(Ordering::Relaxed));
        self.run
            .in_order(&parts, find, |_, found: Vec<Option<Named>>| {
                for (named, region) in found.into_iter().zip(&mut coming) {
                    let Some(mut named) = named else { continue };
                    let room = left.load(Ordering::Relaxed);
                    named.keep(room.min(PER_REGION));
                    left.store(room.saturating_sub(named.fields.len()), Ordering::Relaxed);
                    region.unnamed = region.changed.saturating_sub(named.covered());
                    region.more_fields = named.more;
                    region.fields = Some(named.into_fields());
                }
                Ok(())
            })
    }

    /// What differs in the records at `places`, of which `left` are told at most; nothing for those
    /// of which it is not known which records lie there.
    fn find(&self, places: &[Place], left: usize) -> Vec<Option<Named>> {
        let room = left.min(PER_REGION);
        let planned: Vec<Planned<'_>> = places
            .iter()
            .map(|place| Planned {
                sets: self.sets(place),
                full: Cell::new(false),
            })
            .collect();
        // For each table of each set, in that order.
        let mut found: Vec<Vec<Named>> = planned
            .iter()
            .map(|planned| {
                let tables = planned.sets.iter().flat_map(|set| &set.tables);
                tables.map(|_| Named::default()).collect()
            })
            .collect();
        let wanted = planned.iter().enumerate();
        let wanted = wanted.flat_map(|(region, planned)| planned.wanted(region));
        let mut wanted = wanted.peekable();
        let mut together: Vec<Wanted<'_>> = Vec::new();
        while let Some(first) = wanted.next() {
            let start = first.place.start();
            let mut end = first.place.end();
            together.push(first);
            let near = |next: &Wanted<'_>, end: u64| {
                start <= next.place.start()
                    && next.place.start().saturating_sub(end) <= NEAR
                    && next.place.end().saturating_sub(start) <= TOGETHER
            };
            while let Some(next) = wanted.next_if(|next| near(next, end)) {
                end = end.max(next.place.end());
                together.push(next);
            }
            self.read(ByteRange::new(start, end), &together, |one, old, new| {
                let lists = found.get_mut(one.region);
                let (Some(planned), Some(lists)) = (planned.get(one.region), lists) else {
                    return;
                };
                if let Some(list) = lists.get_mut(one.list).filter(|_| !planned.full.get()) {
                    compare(
                        one.table,
                        (one.place.start(), one.within),
                        [old, new],
                        room,
                        list,
                    );
                    // What the first list has too much of, the others can't change.
                    planned.full.set(one.list == 0 && list.more);
                }
            });
            together.clear();
        }
        drop(wanted);
        let known = planned.iter().map(|planned| !planned.sets.is_empty());
        let lists = found.into_iter().zip(known);
        lists
            .map(|(lists, known)| known.then(|| Named::all(lists, room)))
            .collect()
    }

    /// Hands out the bytes of each of `wanted` before and after. They lie in `span`, which is read
    /// at once; where that can't be, each by itself.
    fn read(
        &self,
        span: ByteRange,
        wanted: &[Wanted<'_>],
        mut each: impl FnMut(&Wanted<'_>, &[u8], &[u8]),
    ) {
        let Ok(length) = usize::try_from(span.len()) else {
            return;
        };
        let whole = with_buffer(2 * length, |bytes| {
            let (before, after) = bytes.split_at_mut(length);
            let [old, new] = self.disks;
            let read = old.read_exact_at(span.start(), before);
            read.and_then(|()| new.read_exact_at(span.start(), after))
                .ok()?;
            for one in wanted {
                let within = one.place.moved_down(span.start())?;
                let within = within.start() as usize..within.end() as usize;
                each(one, before.get(within.clone())?, after.get(within)?);
            }
            Some(())
        });
        if whole.is_some() {
            return;
        }
        for one in wanted {
            let read = |disk: &dyn ReadAt| {
                let length = usize::try_from(one.place.len()).ok()?;
                read_vec(disk, one.place.start(), length).ok()
            };
            if let [Some(old), Some(new)] = self.disks.map(read) {
                each(one, &old, &new);
            }
        }
    }

    /// The records of a region; nothing where it is not known which there are.
    fn sets(&self, place: &Place) -> Vec<Set<'_>> {
        let range = place.range;
        let mut sets = Vec::new();
        let pair = place.volume.and_then(|v| self.pairing.pairs.get(v));
        if let Some(pair) = pair.filter(|pair| !pair.is_moved())
            && let [Some(before), Some(after)] = pair.filesystems()
            && before.info().filesystem == after.info().filesystem
            && let Some(volume) = pair.merged
            // A record of a mirror lies in several places, and is named in none.
            && !volume.map.has_copies()
        {
            for piece in &volume.map.to_volume(&range.into()) {
                let records = after.records(piece, place.class, place.detail);
                self.add(&mut sets, Some(volume), piece, &records);
            }
        }
        if !sets.is_empty() {
            return sets;
        }
        let [before, after] = self
            .layouts
            .each_ref()
            .map(|layout| structure(layout, range.start()));
        let Some((before, after)) = before.zip(after).filter(|(a, b)| a.range == b.range) else {
            return sets;
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
            self.add(&mut sets, None, range, &found);
        }
        sets
    }

    /// Adds the records that lie in `piece` of `volume`, or of the disk.
    fn add<'s>(
        &'s self,
        sets: &mut Vec<Set<'s>>,
        volume: Option<&'s OpenVolume>,
        piece: ByteRange,
        records: &[Records],
    ) {
        let first = sets.len();
        for records in records {
            let length = records.table.len() as u64;
            let length = records.stride.map_or(length, |stride| stride.min(length));
            if length == 0 || length > LONGEST {
                continue;
            }
            let table = (records.table, length);
            // Those of another kind at the same places are read along with them.
            if let Some(set) = sets.get_mut(first..).and_then(<[_]>::last_mut)
                && (set.origin, set.stride) == (records.origin, records.stride)
            {
                set.tables.push(table);
                continue;
            }
            let on_disk: RangeSet = match volume {
                Some(volume) => volume.map.to_device(piece).collect(),
                None => piece.into(),
            };
            // There are as many pieces as regions: all that differs is not gone through for each.
            let differing = on_disk.iter();
            let differing =
                differing.flat_map(|range| self.differences.ranges().overlapping(range));
            let differing: RangeSet = differing.collect();
            sets.push(Set {
                volume,
                differing: match volume {
                    Some(volume) => volume.map.to_volume(&differing),
                    None => differing,
                },
                on_disk,
                origin: records.origin,
                stride: records.stride,
                tables: vec![table],
            });
        }
    }
}

/// What is needed of a region to find its records.
#[derive(Clone, Copy)]
struct Place {
    volume: Option<usize>,
    class: Class,
    detail: &'static str,
    range: ByteRange,
}

impl Place {
    fn of(region: &Region) -> Self {
        Self {
            volume: region.volume,
            class: region.class,
            detail: region.detail,
            range: ByteRange::new(region.start, region.start.saturating_add(region.length)),
        }
    }
}

impl Planned<'_> {
    /// The records that differ, until enough was found.
    fn wanted(&self, region: usize) -> impl Iterator<Item = Wanted<'_>> {
        let mut lists = 0;
        let sets = self.sets.iter().flat_map(move |set| {
            let first = lists;
            lists += set.tables.len();
            set.records(region, first)
        });
        sets.take_while(|_| !self.full.get())
    }
}

impl Set<'_> {
    /// Its records that differ; what is found of those of the first kind goes into `list`.
    fn records(&self, region: usize, list: usize) -> impl Iterator<Item = Wanted<'_>> {
        let mut next = 0;
        let numbers = self.differing.iter().flat_map(move |run| {
            let first = self.index(run.start()).max(next);
            let last = self.index(run.end().saturating_sub(1));
            next = next.max(last.saturating_add(1));
            first..=last
        });
        numbers.flat_map(move |number| {
            let kinds = (list..).zip(&self.tables);
            kinds.filter_map(move |(list, (table, length))| {
                Some(Wanted {
                    region,
                    list,
                    table,
                    place: self.place(number, *length)?,
                    within: &self.on_disk,
                })
            })
        })
    }

    /// The number of the record in which the byte at `at` lies, counted from the origin.
    fn index(&self, at: u64) -> u64 {
        let from = at.saturating_sub(self.origin);
        self.stride.map_or(0, |stride| from / stride.max(1))
    }

    /// Where a record lies on the disk. One in two pieces of it is rare, and stays without names.
    fn place(&self, number: u64, length: u64) -> Option<ByteRange> {
        let start = number.checked_mul(self.stride.unwrap_or(0))?;
        let range = ByteRange::at(start.checked_add(self.origin)?, length)?;
        let Some(volume) = self.volume else {
            return Some(range);
        };
        let mut pieces = volume.map.to_device(range);
        let place = pieces.next().filter(|place| place.len() == length)?;
        pieces.next().is_none().then_some(place)
    }
}

/// The structure of a volume scheme in which a byte lies.
fn structure(layout: &Layout, at: u64) -> Option<&DiskStructure> {
    layout.structures.iter().find(|s| s.range.contains(at))
}
