//! All directories of a volume and what they name, without the names.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use hexz_ondisk::to_usize;
use hexz_resolve::{ByteRange, Error, FileKey, ReadAt, Result, Scan, UnitReader};

use crate::chain::{Steps, clusters_of};
use crate::faults::Faults;
use crate::format::{Entry, Flow, Format};
use crate::slots::each_slot;
use crate::table::Table;
use crate::{ENTRY, Heap, ROOT};

/// A file that a directory names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub(crate) directory: u32,
    /// What its entries say.
    pub entry: Entry,
}

/// A directory that can be reached from the root.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) key: FileKey,
    /// Where its entries lie, in their order, each with its place in the directory.
    pub(crate) extents: Vec<(u64, ByteRange)>,
    /// What it names, by place in [`Tree::items`].
    pub(crate) items: Range<usize>,
}

/// A piece of a directory.
#[derive(Clone, Copy, Debug)]
struct Place {
    bytes: ByteRange,
    directory: u32,
    /// Where it lies in the directory.
    offset: u32,
}

/// Directories, what they name, and where that is described.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) directories: Vec<Directory>,
    pub(crate) items: Vec<Item>,
    /// By byte of the volume.
    places: Vec<Place>,
    by_key: HashMap<FileKey, u32>,
}

/// One directory: a unit of a scan. It holds all its result depends on beside the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Unit {
    extents: Vec<ByteRange>,
}

/// What was found in one.
#[derive(Clone, Debug, Default)]
struct Read {
    entries: Vec<Entry>,
    faults: Faults,
}

/// Directories whose clusters are known and which are still to be read.
struct Pending {
    key: FileKey,
    extents: Vec<ByteRange>,
}

impl Tree {
    /// Reads all directories from the root on, level by level. No cluster is read as a part of two
    /// directories, so this ends whatever the entries say.
    pub(crate) fn read<F: Format>(
        format: &F,
        reader: &Arc<dyn ReadAt>,
        root: Vec<ByteRange>,
        (heap, table): (&Heap, &Table),
        cx: &Scan<'_>,
        faults: &mut Faults,
    ) -> Result<Self> {
        let mut tree = Self::default();
        let mut taken = HashSet::new();
        let mut steps = Steps::of(table);
        let root = clipped(root, F::LARGEST_DIRECTORY, (heap, &mut taken));
        let mut level = vec![Pending {
            key: FileKey::new(ROOT),
            extents: root.0,
        }];
        while !level.is_empty() {
            let from = tree.items.len();
            tree.read_level(format, reader, level, cx, faults)?;
            let found: Vec<Item> = tree.items.get(from..).unwrap_or_default().to_vec();
            level = Vec::new();
            for item in found.iter().filter(|item| item.entry.is_directory) {
                let Some(place) = tree.place_of(item) else {
                    continue;
                };
                let (extents, fault) = extents::<F>(item, (heap, table), &mut steps, &mut taken);
                if let Some(text) = fault {
                    faults.push(&Error::corrupt("directory").at(place).message(text));
                }
                level.push(Pending {
                    key: FileKey::new(place),
                    extents,
                });
            }
            level.sort_by_key(|next| next.extents.first().map(ByteRange::start));
        }
        Ok(tree)
    }

    fn read_level<F: Format>(
        &mut self,
        format: &F,
        reader: &Arc<dyn ReadAt>,
        level: Vec<Pending>,
        cx: &Scan<'_>,
        faults: &mut Faults,
    ) -> Result<()> {
        let units: Vec<Unit> = level
            .iter()
            .map(|next| Unit {
                extents: next.extents.clone(),
            })
            .collect();
        let most = cx.limits().links;
        let mut coming = level.into_iter();
        let merge = |unit: &Unit, read: Read| {
            // A directory that could not be read at all would not come here: none is such.
            let next = coming.find(|next| next.extents == unit.extents);
            let key = next.map_or(FileKey::new(ROOT), |next| next.key);
            cx.advance(unit.extents.iter().map(ByteRange::len).sum());
            if self.items.len().saturating_add(read.entries.len()) > most {
                let text = format!("more than {most}");
                return Err(Error::limit("directory entries", text));
            }
            faults.append(read.faults);
            self.add(key, unit, &read.entries);
            Ok(())
        };
        cx.units_moved(
            "directories",
            reader,
            &units,
            |unit, reader| parse(format, unit, reader),
            merge,
        )?;
        self.places.sort_by_key(|place| place.bytes.start());
        Ok(())
    }

    fn add(&mut self, key: FileKey, unit: &Unit, entries: &[Entry]) {
        // As many as a u32 counts would not fit the limit of items.
        let directory = u32::try_from(self.directories.len()).unwrap_or(u32::MAX);
        let mut offset = 0u64;
        let mut extents = Vec::new();
        for bytes in &unit.extents {
            extents.push((offset, *bytes));
            self.places.push(Place {
                bytes: *bytes,
                directory,
                // No directory has as many bytes as 32 bits count.
                offset: u32::try_from(offset).unwrap_or(u32::MAX),
            });
            offset = offset.saturating_add(bytes.len());
        }
        let from = self.items.len();
        self.items.extend(entries.iter().map(|entry| Item {
            directory,
            entry: *entry,
        }));
        self.by_key.insert(key, directory);
        self.directories.push(Directory {
            key,
            extents,
            items: from..self.items.len(),
        });
    }

    /// The directory `key`.
    pub(crate) fn directory(&self, key: FileKey) -> Option<&Directory> {
        self.at(*self.by_key.get(&key)?)
    }

    pub(crate) fn at(&self, index: u32) -> Option<&Directory> {
        self.directories.get(to_usize(u64::from(index))?)
    }

    pub(crate) fn items_of(&self, directory: &Directory) -> &[Item] {
        self.items.get(directory.items.clone()).unwrap_or_default()
    }

    /// The file `key`, which is no root.
    pub(crate) fn item(&self, key: FileKey) -> Option<&Item> {
        if key.subvolume != 0 {
            return None;
        }
        let behind = self
            .places
            .partition_point(|p| p.bytes.start() <= key.number);
        let place = self.places.get(behind.checked_sub(1)?)?;
        let within = key.number.checked_sub(place.bytes.start())?;
        if within >= place.bytes.len() {
            return None;
        }
        let offset = place.offset.checked_add(u32::try_from(within).ok()?)?;
        let items = self.items_of(self.at(place.directory)?);
        let at = items.binary_search_by_key(&offset, |item| item.entry.offset);
        items.get(at.ok()?)
    }

    /// Where on the volume the primary entry of a file lies.
    pub(crate) fn place_of(&self, item: &Item) -> Option<u64> {
        let directory = self.at(item.directory)?;
        let offset = u64::from(item.entry.offset);
        bytes_at(&directory.extents, offset..offset.checked_add(1)?)
            .first()
            .map(ByteRange::start)
    }

    pub(crate) fn key_of(&self, item: &Item) -> Option<FileKey> {
        self.place_of(item).map(FileKey::new)
    }

    /// Where on the volume all entries of a file lie.
    pub(crate) fn set_of(&self, item: &Item) -> Vec<ByteRange> {
        let entry = &item.entry;
        let size = u64::try_from(ENTRY).unwrap_or(32);
        let count = |entries: u8| u64::from(entries).saturating_mul(size);
        let primary = u64::from(entry.offset);
        let from = primary.saturating_sub(count(entry.before));
        let to = primary
            .saturating_add(size)
            .saturating_add(count(entry.after));
        let directory = self.at(item.directory);
        directory.map_or(Vec::new(), |d| bytes_at(&d.extents, from..to))
    }
}

/// The bytes of the volume at which bytes `range` of what lies in `extents` are.
fn bytes_at(extents: &[(u64, ByteRange)], range: Range<u64>) -> Vec<ByteRange> {
    let mut found = Vec::new();
    let from = extents.partition_point(|(at, bytes)| at.saturating_add(bytes.len()) <= range.start);
    for (at, bytes) in extents.get(from..).unwrap_or_default() {
        let (from, to) = (
            range.start.max(*at),
            range.end.min(at.saturating_add(bytes.len())),
        );
        if from >= to {
            break;
        }
        let start = bytes.start().saturating_add(from.saturating_sub(*at));
        let end = start.saturating_add(to.saturating_sub(from));
        found.push(ByteRange::new(start, end));
    }
    found
}

/// Reads the entries of a directory.
fn parse<F: Format>(format: &F, unit: &Unit, reader: &UnitReader<'_>) -> Result<Read> {
    let mut read = Read::default();
    let mut state = F::State::default();
    let mut lost = Faults::default();
    let (entries, faults) = (&mut read.entries, &mut read.faults);
    each_slot(
        reader,
        &unit.extents,
        &mut |error| lost.push(&error),
        &mut |slot| {
            let Some(slot) = slot else {
                state = F::State::default();
                return Ok(true);
            };
            let flow = format.slot(&mut state, &slot, &mut |error| faults.push(&error))?;
            if let Flow::File(entry) = flow {
                entries.push(entry);
            }
            Ok(flow != Flow::End)
        },
    )?;
    faults.append(lost);
    Ok(read)
}

/// Where the entries of a directory lie, and what is wrong with that.
fn extents<F: Format>(
    item: &Item,
    (heap, table): (&Heap, &Table),
    steps: &mut Steps,
    taken: &mut HashSet<u32>,
) -> (Vec<ByteRange>, Option<String>) {
    let entry = &item.entry;
    if entry.first == 0 {
        return match entry.size {
            0 => (Vec::new(), None),
            size => (Vec::new(), Some(format!("{size} bytes and no cluster"))),
        };
    }
    let chain = clusters_of(entry, (heap, table), steps);
    let all: Vec<ByteRange> = chain
        .runs
        .iter()
        .map(|r| heap.bytes_of(r.clone()))
        .collect();
    let (extents, cut) = clipped(all, F::LARGEST_DIRECTORY, (heap, taken));
    let fault = match (cut, extents.is_empty()) {
        (Some(cut), _) => Some(cut),
        (None, true) => Some(format!("its first cluster {} does not exist", entry.first)),
        (None, false) => None,
    };
    (extents, fault)
}

/// The first `most` bytes of `extents`, up to the first cluster that another directory has.
fn clipped(
    extents: Vec<ByteRange>,
    most: u64,
    (heap, taken): (&Heap, &mut HashSet<u32>),
) -> (Vec<ByteRange>, Option<String>) {
    let mut kept = Vec::new();
    let mut left = most;
    for extent in extents {
        let mut end = extent.start();
        for cluster in heap.clusters_in(extent) {
            let bytes = heap.bytes_of(cluster..cluster.saturating_add(1));
            let full = left < bytes.len();
            if full || !taken.insert(cluster) {
                if end > extent.start() {
                    kept.push(ByteRange::new(extent.start(), end));
                }
                let text = match full {
                    true => format!("it has more than {most} bytes; its rest is left out"),
                    false => format!(
                        "cluster {cluster} is one of another directory too, and is read there"
                    ),
                };
                return (kept, Some(text));
            }
            left = left.saturating_sub(bytes.len());
            end = bytes.end();
        }
        // The root of a small FAT lies before all clusters.
        kept.push(extent);
    }
    (kept, None)
}
