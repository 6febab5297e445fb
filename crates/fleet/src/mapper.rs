//! From what the engine finds to a map in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hexz_resolve::report::{Header, OwnerRecord, OwnerVisitor, VolumeRecord};
use hexz_resolve::{Error, Result};

use crate::map::{Answer, DiskMap, Entry, NO_OFFSET, Names};

/// Makes a [`DiskMap`] of what `visit_owners` finds of a whole disk.
#[derive(Debug, Default)]
pub struct Mapper(Mutex<Growing>);

#[derive(Debug, Default)]
struct Growing {
    map: DiskMap,
    known: HashMap<Answer, u32>,
    /// The owners of pieces, so that all pieces of a file share one list of its names.
    lists: HashMap<Vec<Names>, Arc<[Names]>>,
}

impl Mapper {
    /// A mapper that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The map, once all pieces came.
    #[must_use]
    pub fn finish(self) -> DiskMap {
        let growing = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut map = growing.map;
        map.starts.shrink_to_fit();
        map.entries.shrink_to_fit();
        map.answers.shrink_to_fit();
        map
    }
}

impl OwnerVisitor for Mapper {
    type Made = Vec<OwnerRecord>;

    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> Result<()> {
        let growing = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        growing.map.size = header.disk_size;
        growing.map.volumes = volumes.iter().map(|v| v.volume.clone()).collect();
        Ok(())
    }

    fn make(&self, records: &[OwnerRecord]) -> Self::Made {
        records.to_vec()
    }

    fn take(&self, records: Self::Made) -> Result<()> {
        let mut growing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records
            .into_iter()
            .try_for_each(|record| growing.add(record))
    }
}

impl Growing {
    fn add(&mut self, record: OwnerRecord) -> Result<()> {
        let names: Vec<_> = record.owners.iter().map(|o| Arc::clone(&o.paths)).collect();
        let owners = match self.lists.get(&names) {
            Some(list) => Arc::clone(list),
            None => {
                let list: Arc<[_]> = names.clone().into();
                self.lists.insert(names, Arc::clone(&list));
                list
            }
        };
        let answer = Answer {
            volume: record.volume,
            class: record.class,
            owners,
        };
        let answer = match self.known.get(&answer) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.map.answers.len())
                    .map_err(|_| Error::limit("map", "more than 2^32 different owners"))?;
                self.map.answers.push(answer.clone());
                self.known.insert(answer, number);
                number
            }
        };
        let offset = record.owners.first().and_then(|owner| owner.file_offset);
        self.map.starts.push(record.start);
        self.map.entries.push(Entry {
            file_offset: offset.unwrap_or(NO_OFFSET),
            answer,
        });
        Ok(())
    }
}
