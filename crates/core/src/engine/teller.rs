//! Passing pieces on: made on the threads that found them, told in the order of the disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::{ClassBytes, FileNames, FileOwner, OwnerRecord, OwnerVisitor};
use crate::{Class, FileKey, RawName, Result, Role};

/// Pieces that follow each other, with something made of all but the first and the last: those
/// may be one with a neighbour that another thread found.
pub(super) struct Told<M> {
    first: Option<OwnerRecord>,
    rest: Option<(M, OwnerRecord)>,
    sums: BTreeMap<Class, ClassBytes>,
}

impl<M> Told<M> {
    /// Makes something of `records`.
    pub(super) fn new(records: &[OwnerRecord], visitor: &impl OwnerVisitor<Made = M>) -> Self {
        let mut sums: BTreeMap<Class, ClassBytes> = BTreeMap::new();
        for record in records {
            sums.entry(record.class).or_default().bytes += record.length;
        }
        let rest = match records {
            [_, between @ .., last] => Some((visitor.make(between), last.clone())),
            _ => None,
        };
        let first = records.first().cloned();
        Self { first, rest, sums }
    }
}

/// Passes pieces on, those that are one answer as one.
pub(super) struct Teller<'a, V> {
    out: &'a V,
    last: Option<OwnerRecord>,
    sums: BTreeMap<Class, ClassBytes>,
    /// The files whose names were passed on.
    named: BTreeSet<(usize, FileKey)>,
}

impl<'a, V: OwnerVisitor> Teller<'a, V> {
    pub(super) fn new(out: &'a V) -> Self {
        Self {
            out,
            last: None,
            sums: BTreeMap::new(),
            named: BTreeSet::new(),
        }
    }

    /// Passes on the names of a file, once.
    pub(super) fn names(&mut self, names: FileNames) -> Result<()> {
        match self.named.insert((names.volume, names.file)) {
            true => self.out.names(&names),
            false => Ok(()),
        }
    }

    pub(super) fn visitor(&self) -> &'a V {
        self.out
    }

    pub(super) fn tell(&mut self, told: Told<V::Made>) -> Result<()> {
        for (class, sums) in told.sums {
            self.sums.entry(class).or_default().bytes += sums.bytes;
        }
        let Some(first) = told.first else {
            return Ok(());
        };
        let goes_on = self.last.as_mut();
        if !goes_on.is_some_and(|last| continues(last, &first)) {
            self.hold(first)?;
        }
        if let Some((made, last)) = told.rest {
            // The first one is whole now, and comes before the others.
            self.hold(last)?;
            self.out.take(made)?;
        }
        Ok(())
    }

    /// Keeps `record` back, since what comes next may go on where it ends; what was kept before is
    /// told.
    fn hold(&mut self, record: OwnerRecord) -> Result<()> {
        match self.last.replace(record) {
            Some(whole) => self.out.take(self.out.make(&[whole])),
            None => Ok(()),
        }
    }

    /// Tells the last piece, and gives the sums.
    pub(super) fn finish(mut self) -> Result<BTreeMap<Class, ClassBytes>> {
        if let Some(last) = self.last.take() {
            self.out.take(self.out.make(&[last]))?;
        }
        Ok(self.sums)
    }
}

/// Adds `next` to `last`, when it is the same answer for the bytes right behind it.
pub(super) fn continues(last: &mut OwnerRecord, next: &OwnerRecord) -> bool {
    let same = (last.disk, last.start + last.length) == (next.disk, next.start)
        && (last.class, last.detail, last.allocated) == (next.class, next.detail, next.allocated)
        && (last.volume, &last.reason) == (next.volume, &next.reason)
        && last.owners.len() == next.owners.len()
        && last.owners.iter().zip(&next.owners).all(|(a, b)| {
            let mut behind = identity(a);
            behind.3 = behind.3.map(|o| o.saturating_add(last.length));
            behind == identity(b)
        });
    if same {
        last.length += next.length;
    }
    same
}

/// What tells one piece of a file from another.
pub(super) fn identity(owner: &FileOwner) -> (FileKey, Role, Option<&RawName>, Option<u64>) {
    let stream = owner.stream.as_ref();
    (owner.file, owner.role, stream, owner.file_offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileKind;
    use crate::report::{Header, VolumeRecord};
    use std::sync::Mutex;

    /// Keeps what it is told, as `start..end`.
    #[derive(Default)]
    struct Kept(Mutex<Vec<(u64, u64)>>);

    impl OwnerVisitor for Kept {
        type Made = Vec<(u64, u64)>;

        fn begin(&mut self, _: &Header, _: &[VolumeRecord]) -> Result<()> {
            Ok(())
        }

        fn make(&self, records: &[OwnerRecord]) -> Self::Made {
            let ends = |r: &OwnerRecord| (r.start, r.start + r.length);
            records.iter().map(ends).collect()
        }

        fn take(&self, mut made: Self::Made) -> Result<()> {
            self.0.lock().unwrap().append(&mut made);
            Ok(())
        }
    }

    /// A piece of a file that lies on the disk as it lies in the file, or of free space.
    fn piece(start: u64, length: u64, class: Class) -> OwnerRecord {
        let owner = FileOwner {
            file: FileKey::new(12),
            generation: Some(1),
            kind: Some(FileKind::File),
            paths: [b"/a".to_vec()].into(),
            stream: None,
            role: Role::Data,
            file_offset: Some(start),
        };
        OwnerRecord {
            volume: Some(0),
            start,
            disk: None,
            length,
            class,
            detail: "",
            allocated: None,
            owners: (class == Class::FileData)
                .then_some(owner)
                .into_iter()
                .collect(),
            reason: None,
        }
    }

    #[test]
    fn what_several_threads_found_of_one_piece_is_told_as_one() {
        let (data, free) = (Class::FileData, Class::Free);
        let parts = [
            vec![piece(0, 10, free), piece(10, 10, data)],
            vec![piece(20, 10, data)],
            vec![],
            vec![
                piece(30, 5, data),
                piece(35, 5, free),
                piece(40, 2, data),
                piece(42, 8, free),
            ],
            vec![piece(50, 5, free), piece(60, 1, free)],
        ];
        let kept = Kept::default();
        let mut teller = Teller::new(&kept);
        for part in parts {
            let told = Told::new(&part, teller.visitor());
            teller.tell(told).unwrap();
        }
        let sums = teller.finish().unwrap();
        let whole = [(0, 10), (10, 35), (35, 40), (40, 42), (42, 55), (60, 61)];
        assert_eq!(kept.0.into_inner().unwrap(), whole);
        assert_eq!((sums[&data].bytes, sums[&free].bytes), (27, 29));
    }
}
