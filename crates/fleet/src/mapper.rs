//! From what the engine finds to a map in memory.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use hexz_resolve::Result;
use hexz_resolve::report::{Header, OwnerRecord, OwnerVisitor, VolumeRecord};

use crate::answers::{NewAnswer, too_many};
use crate::map::{DiskMap, NO_OFFSET, Number};
use crate::starts::Starts;

/// Makes a [`DiskMap`] of what `visit_owners` finds of a whole disk.
#[derive(Debug, Default)]
pub struct Mapper {
    hasher: RandomState,
    growing: Mutex<Growing>,
}

#[derive(Debug, Default)]
struct Growing {
    size: u64,
    starts: Vec<u64>,
    map: DiskMap,
    /// The numbers of the answers by their hash, or by one of the next where that is taken.
    known: HashMap<u64, Number>,
}

/// A piece of the disk before its answer has a number.
#[derive(Debug)]
pub struct Piece {
    start: u64,
    file_offset: u64,
    answer: NewAnswer,
    /// Of the answer.
    hash: u64,
}

impl Mapper {
    /// A mapper that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The map, once all pieces came.
    ///
    /// # Errors
    /// Where the disk has more pieces than a map numbers.
    pub fn finish(self) -> Result<DiskMap> {
        let growing = self.growing.into_inner();
        let growing = growing.unwrap_or_else(PoisonError::into_inner);
        let mut map = growing.map;
        map.numbers.shrink_to_fit();
        map.file_offsets.shrink_to_fit();
        map.answers.shrink_to_fit();
        if growing.size > 0 {
            map.starts = Starts::new(growing.starts, growing.size).ok_or_else(too_many)?;
        }
        mark_shared(&mut map);
        Ok(map)
    }
}

/// Marks the answers that several pieces have.
fn mark_shared(map: &mut DiskMap) {
    let mut counts = vec![0u8; map.answers.len()];
    for number in &map.numbers {
        if let Some(count) = counts.get_mut(number.answer()) {
            *count = count.saturating_add(1);
        }
    }
    for number in &mut map.numbers {
        if counts.get(number.answer()).is_some_and(|count| *count > 1) {
            *number = number.shared();
        }
    }
}

impl OwnerVisitor for Mapper {
    type Made = Vec<Piece>;

    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> Result<()> {
        let growing = self.growing.get_mut();
        let growing = growing.unwrap_or_else(PoisonError::into_inner);
        growing.size = header.disk_size;
        growing.map.volumes = volumes.iter().map(|v| v.volume.clone()).collect();
        Ok(())
    }

    fn make(&self, records: &[OwnerRecord]) -> Self::Made {
        let piece = |record: &OwnerRecord| {
            let first = record.owners.first();
            let answer = NewAnswer {
                volume: record.volume,
                class: record.class,
                paths: (record.owners.iter())
                    .filter_map(|owner| owner.paths.first().cloned())
                    .collect(),
            };
            Piece {
                start: record.start,
                file_offset: first.and_then(|o| o.file_offset).unwrap_or(NO_OFFSET),
                hash: self.hasher.hash_one(&answer),
                answer,
            }
        };
        records.iter().map(piece).collect()
    }

    fn take(&self, pieces: Self::Made) -> Result<()> {
        let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.into_iter().try_for_each(|piece| growing.add(piece))
    }
}

impl Growing {
    fn add(&mut self, piece: Piece) -> Result<()> {
        let number = self.number(&piece.answer, piece.hash)?;
        self.starts.push(piece.start);
        self.map.numbers.push(number);
        self.map.file_offsets.push(piece.file_offset);
        Ok(())
    }

    /// The number of an answer with some hash, which may be new.
    fn number(&mut self, answer: &NewAnswer, hash: u64) -> Result<Number> {
        let answers = &mut self.map.answers;
        let mut key = hash;
        while let Some(number) = self.known.get(&key) {
            if answers
                .get(number.answer())
                .is_some_and(|known| answer.is(&known))
            {
                return Ok(*number);
            }
            key = key.wrapping_add(1);
        }
        let number = Number::new(answers.len()).ok_or_else(too_many)?;
        answers.push(answer)?;
        self.known.insert(key, number);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexz_resolve::Class;

    #[test]
    fn answers_of_one_hash_keep_their_numbers() {
        let answer = |volume| NewAnswer {
            volume: Some(volume),
            class: Class::Free,
            paths: Vec::new(),
        };
        let mut growing = Growing::default();
        for _ in 0..2 {
            for volume in 0..5 {
                let number = growing.number(&answer(volume), u64::MAX).unwrap();
                assert_eq!(number.answer(), volume);
            }
        }
        assert_eq!(growing.map.answers.len(), 5);
    }
}
