//! The page of a map: every file, and what each piece of the disk is.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{Result, Write};
use std::sync::{Arc, Mutex, PoisonError};

use hexz_resolve::report::{Header, OwnerEnd, OwnerRecord, OwnerVisitor, PathBytes, VolumeRecord};
use hexz_resolve::{Class, FileKey, FileKind, Role};

use super::cells::Cells;
use super::page::{Data, Page};
use crate::escape::escaped;
use crate::listing::letter;
use crate::places::Places;
use crate::text::{count, size};

/// Collects the pieces of a map for its page.
#[derive(Debug, Default)]
pub struct MapPage {
    header: Header,
    volumes: Vec<VolumeRecord>,
    found: Mutex<Found>,
}

/// What was found on a part of the disk.
#[derive(Debug, Default)]
pub struct Found {
    cells: Cells,
    files: BTreeMap<(usize, FileKey), File>,
    /// Bytes of each volume that are free.
    free: BTreeMap<usize, u64>,
}

/// What one file has on the disk, its record in a table of inodes apart.
#[derive(Debug)]
struct File {
    kind: Option<FileKind>,
    paths: Arc<[PathBytes]>,
    bytes: u64,
    pieces: u64,
}

impl Found {
    fn add(&mut self, record: &OwnerRecord) {
        self.cells.add(record.start, record.length, record.class);
        let Some(volume) = record.volume else {
            return;
        };
        if record.class == Class::Free {
            *self.free.entry(volume).or_default() += record.length;
        }
        let mut last = None;
        for owner in &record.owners {
            let file = self.files.entry((volume, owner.file));
            let file = file.or_insert_with(|| File {
                kind: owner.kind,
                paths: Arc::clone(&owner.paths),
                bytes: 0,
                pieces: 0,
            });
            // A file may own a piece twice, at two places in it.
            if owner.role != Role::InodeRecord && last != Some(owner.file) {
                file.bytes = file.bytes.saturating_add(record.length);
                file.pieces += 1;
                last = Some(owner.file);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.cells.merge(other.cells);
        for (key, file) in other.files {
            match self.files.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(file);
                }
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    known.bytes = known.bytes.saturating_add(file.bytes);
                    known.pieces += file.pieces;
                }
            }
        }
        for (volume, bytes) in other.free {
            *self.free.entry(volume).or_default() += bytes;
        }
    }
}

impl OwnerVisitor for MapPage {
    type Made = Found;

    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> hexz_resolve::Result<()> {
        self.header = header.clone();
        self.volumes = volumes.to_vec();
        self.found = Mutex::new(self.nothing());
        Ok(())
    }

    fn make(&self, records: &[OwnerRecord]) -> Self::Made {
        let mut found = self.nothing();
        records.iter().for_each(|record| found.add(record));
        found
    }

    fn take(&self, made: Self::Made) -> hexz_resolve::Result<()> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.merge(made);
        Ok(())
    }
}

impl MapPage {
    fn nothing(&self) -> Found {
        Found {
            cells: Cells::new(self.header.disk_size),
            ..Found::default()
        }
    }

    /// The volumes that were found.
    #[must_use]
    pub fn volumes(&self) -> &[VolumeRecord] {
        &self.volumes
    }

    /// Writes the page of the disk that is called `name`.
    ///
    /// # Errors
    /// Of `out`.
    pub fn write(
        self,
        out: &mut dyn Write,
        name: &str,
        places: &Places,
        end: &OwnerEnd,
    ) -> Result<()> {
        let found = self.found.into_inner();
        let found = found.unwrap_or_else(PoisonError::into_inner);
        let bytes = |class| end.summary.classes.get(&class).map_or(0, |sum| sum.bytes);
        let text = format!(
            "{}: {} with names or space of their own, {} of file data, {} free.",
            size(self.header.disk_size),
            count(found.files.len() as u64, "file"),
            size(bytes(Class::FileData)),
            size(bytes(Class::Free)),
        );
        let title = format!("What is on {name}");
        let mut page = Page::begin(out, &title, &text, end.summary.complete)?;
        let mut files: Vec<_> = found.files.into_iter().collect();
        files.sort_unstable_by(|((v, k), a), ((w, l), b)| (v, &a.paths, k).cmp(&(w, &b.paths, l)));
        for ((volume, key), file) in &files {
            let name = match file.paths.first() {
                Some(path) => escaped(&places.shown(*volume, path)),
                None => format!("(no name) {}", key.shown(None)),
            };
            let letter = match file.kind {
                Some(FileKind::File) => 'f',
                Some(kind) => letter(kind),
                None => '?',
            };
            let details = details(file);
            page.row(&(
                letter,
                Some(file.bytes),
                *volume,
                name,
                None,
                details.into(),
                None,
            ))?;
        }
        let free = |index| {
            let free = found.free.get(&index);
            free.map_or_else(String::new, |bytes| format!("{} free", size(*bytes)))
        };
        let (disk, nothing) = (self.header.disk_size, Cells::default());
        let pictures = (&found.cells, &nothing);
        let data = Data::new("map", disk, pictures, &end.summary, &end.diagnostics)
            .volumes(&self.volumes, free);
        page.end(&data)
    }
}

/// In how many pieces it lies, and what else it is called.
fn details(file: &File) -> String {
    let mut details = match file.pieces {
        0 => "nothing beside its record".to_owned(),
        pieces => count(pieces, "piece"),
    };
    if file.paths.len() > 1 {
        details.push_str(&format!(", {}", count(file.paths.len() as u64, "name")));
    }
    details
}
