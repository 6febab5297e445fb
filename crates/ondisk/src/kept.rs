//! Records that are asked for more than once: their owners are asked for first, and then what the
//! files are and where their content lies.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hexz_resolve::{RangeSet, ReadAt, ReadError, UnitReader};

/// Bytes of records that are kept.
const MOST: usize = 8 << 20;

/// Some records of one view, by the place where they lie.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    by_place: HashMap<u64, Box<[u8]>>,
    bytes: usize,
}

impl Kept {
    /// Adds records with their places, while there is room.
    pub fn put<'r>(&self, records: impl Iterator<Item = (u64, &'r [u8])>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, record) in records {
            let bytes = kept.bytes.saturating_add(record.len());
            if bytes > MOST {
                return;
            }
            if kept.by_place.insert(place, record.into()).is_none() {
                kept.bytes = bytes;
            }
        }
    }

    /// Copies the records at `places`, each of `size` bytes, into `bytes`; nothing where one of
    /// them is not there.
    pub fn copy(
        &self,
        places: impl Iterator<Item = u64>,
        size: usize,
        bytes: &mut [u8],
    ) -> Option<()> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, out) in places.zip(bytes.chunks_exact_mut(size.max(1))) {
            let record = kept.by_place.get(&place)?;
            out.copy_from_slice(record.get(..size).filter(|_| record.len() == size)?);
        }
        Some(())
    }
}

/// An image as one unit of a scan reads it, without reading a record twice.
#[derive(Debug)]
pub struct KeptReader<'a> {
    reader: &'a UnitReader<'a>,
    kept: &'a Kept,
    size: usize,
}

impl<'a> KeptReader<'a> {
    /// Reads of `size` bytes are those of records.
    #[must_use]
    pub const fn new(reader: &'a UnitReader<'a>, kept: &'a Kept, size: usize) -> Self {
        Self { reader, kept, size }
    }
}

impl ReadAt for KeptReader<'_> {
    fn len(&self) -> u64 {
        self.reader.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        if buf.len() != self.size {
            return self.reader.read_exact_at(offset, buf);
        }
        let place = std::iter::once(offset);
        if self.kept.copy(place, self.size, buf).is_some() {
            // What is kept may be another in the other view.
            self.reader.do_not_share();
            return Ok(());
        }
        self.reader.read_exact_at(offset, buf)?;
        self.kept.put(std::iter::once((offset, &*buf)));
        Ok(())
    }

    fn data_in(&self, range: hexz_resolve::ByteRange) -> RangeSet {
        self.reader.data_in(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_given_when_all_are_there_and_not_more_are_kept_than_there_is_room_for() {
        let kept = Kept::default();
        let record = |n: u8| vec![n; 256];
        let records: Vec<Vec<u8>> = (0..3).map(record).collect();
        kept.put((0..).zip(records.iter().map(Vec::as_slice)));
        let mut bytes = vec![0; 512];
        assert!(kept.copy([0, 2].into_iter(), 256, &mut bytes).is_some());
        assert_eq!(bytes, [record(0), record(2)].concat());
        assert!(kept.copy([0, 3].into_iter(), 256, &mut bytes).is_none());
        assert!(kept.copy([1].into_iter(), 512, &mut bytes).is_none());
        let long = vec![7; MOST];
        kept.put([(9, long.as_slice())].into_iter());
        let mut bytes = vec![0; MOST];
        assert!(kept.copy([9].into_iter(), MOST, &mut bytes).is_none());
    }
}
