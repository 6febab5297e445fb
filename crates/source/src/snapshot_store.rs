//! The persistent store of a dm-snapshot, which LVM snapshots have too: the chunks of an origin that
//! read otherwise in the snapshot.
//!
//! The first chunk begins with the header; then areas follow, a chunk of exceptions each, with as
//! many chunks of data behind it. An exception is a chunk of the origin and the chunk of the store
//! that takes its place; the first one with a new chunk of 0 ends them. Facts from Linux,
//! `drivers/md/dm-snap-persistent.c`.

use std::path::PathBuf;
use std::sync::Arc;

use hexz_ondisk::{Fields, read};
use hexz_resolve::{
    ByteRange, ChangeSet, ChangeSource, Diagnostic, Diagnostics, Error, Limits, Loaded, OpenGate,
    Precision, ReadAt, Result,
};

use crate::file::RawFile;
use crate::hexz_overlay::OverlayReader;
use crate::moved::Moved;
use crate::num::usize_of;
use crate::open::Given;

/// `SNAP_MAGIC`, as it lies on the disk.
const MAGIC: &[u8; 4] = b"SnAp";
/// `SNAPSHOT_DISK_VERSION`.
const VERSION: u32 = 1;
/// Bytes of the header.
const HEADER: usize = 16;
const SECTOR: u64 = 512;
/// Bytes of an exception: old chunk and new chunk.
const EXCEPTION: u64 = 16;
/// Bytes of the largest chunk; LVM makes none beyond 512 KiB.
const MAX_CHUNK: u64 = 16 << 20;

/// What a store says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceptions {
    /// Bytes of a chunk.
    pub chunk: u64,
    /// Bytes of the origin with the byte of the store at which they lie, in the order of the store.
    pub pieces: Vec<(ByteRange, u64)>,
    /// Why exceptions may be missing.
    pub damaged: Option<String>,
}

/// The size of a chunk, when `store` begins with a header.
fn header(store: &dyn ReadAt) -> Option<Result<u64>> {
    let bytes = read(store, "snapshot store", 0, HEADER).ok()?;
    bytes.starts_with(MAGIC).then(|| {
        let fields = Fields::new("snapshot store", 0, &bytes);
        let (valid, version) = (fields.le32(4)?, fields.le32(8)?);
        if version != VERSION {
            let text = format!("version {version}");
            return Err(Error::unsupported("snapshot store", text).at(8));
        }
        if valid == 0 {
            let text = "the snapshot is invalid: its store ran full, and what it was is lost";
            return Err(Error::unsupported("snapshot store", text).at(4));
        }
        let chunk = u64::from(fields.le32(12)?).saturating_mul(SECTOR);
        if !chunk.is_power_of_two() || chunk > MAX_CHUNK {
            return Err(fields.corrupt(12).expected("a size of chunks").found(chunk));
        }
        Ok(chunk)
    })
}

/// Whether `store` begins like one.
pub(crate) fn is_one(store: &dyn ReadAt) -> bool {
    header(store).is_some()
}

impl Exceptions {
    /// Reads the exceptions of `store`.
    ///
    /// # Errors
    /// `Unsupported` for a snapshot that is invalid, `Corrupt` for what is no store, `Limit` for
    /// more exceptions than are held.
    pub fn read(store: &dyn ReadAt, limits: &Limits) -> Result<Self> {
        let chunk = header(store)
            .unwrap_or_else(|| Err(Error::corrupt("snapshot store").at(0).expected("SnAp")))?;
        let mut found = Self {
            chunk,
            pieces: Vec::new(),
            damaged: None,
        };
        let per_area = chunk / EXCEPTION;
        let stride = per_area.saturating_add(1);
        for area in 0u64.. {
            let at = area.saturating_mul(stride).saturating_add(1);
            let Some(at) = at.checked_mul(chunk).filter(|at| *at < store.len()) else {
                found.damaged = Some("its exceptions have no end".to_owned());
                break;
            };
            let bytes = match read(store, "snapshot exceptions", at, usize_of(chunk)) {
                Ok(bytes) => bytes,
                Err(error) => {
                    found.damaged = Some(error.chain());
                    break;
                }
            };
            let fields = Fields::new("snapshot exceptions", at, &bytes);
            if !found.add(&fields, per_area, stride, store.len(), limits.ranges)? {
                break;
            }
        }
        Ok(found)
    }

    /// Adds the exceptions of an area. Gives whether there may be more behind it.
    fn add(
        &mut self,
        area: &Fields<'_>,
        count: u64,
        stride: u64,
        end: u64,
        most: usize,
    ) -> Result<bool> {
        for n in 0..count {
            let at = usize_of(n.saturating_mul(EXCEPTION));
            let (old, new) = (area.le64(at)?, area.le64(at.saturating_add(8))?);
            if new == 0 {
                return Ok(false);
            }
            let place = |number: u64| {
                let start = number.checked_mul(self.chunk)?;
                ByteRange::at(start, self.chunk)
            };
            // The header and the areas themselves are no data.
            let is_area = new.checked_rem(stride) == Some(1);
            let kept = place(new).filter(|range| range.end() <= end && !is_area);
            let (Some(of), Some(kept)) = (place(old), kept) else {
                let text = format!("an exception at byte {} leads nowhere", area.offset_of(at));
                self.damaged.get_or_insert(text);
                continue;
            };
            if self.pieces.len() >= most {
                let text = format!("more than {most} exceptions");
                return Err(Error::limit("snapshot store", text));
            }
            self.pieces.push((of, kept.start()));
        }
        Ok(true)
    }

    /// The change that the snapshot in `store` is, to what `base` reads as: `pieces` are those of
    /// the store, as ranges of `base`.
    #[must_use]
    pub fn loaded(
        self,
        base: Arc<dyn ReadAt>,
        store: Arc<dyn ReadAt>,
        names: (String, String),
        found: &Diagnostics,
    ) -> Loaded {
        let disk = ByteRange::new(0, base.len());
        let cut = |(range, at): (ByteRange, u64)| {
            let range = range.intersection(&disk);
            range.map(|range| (range, at))
        };
        let count = self.pieces.len();
        let pieces: Vec<_> = self.pieces.into_iter().filter_map(cut).collect();
        let mut damaged = self.damaged;
        if pieces.len() < count {
            let text = format!("it has chunks past the end of its origin at {}", base.len());
            damaged.get_or_insert(text);
        }
        if let Some(why) = &damaged {
            let text = format!("{}: {why}: changed chunks may be missing", names.1);
            found.push(Diagnostic::warning("snapshot-store-damaged", text).losing());
        }
        let moved = Moved::new(store, pieces);
        let ranges = moved.ranges();
        let merged = OverlayReader::new(Arc::clone(&base), Arc::new(moved), ranges.clone());
        Loaded {
            changes: ChangeSet {
                ranges,
                block_size: u32::try_from(self.chunk).unwrap_or(u32::MAX),
                candidates: false,
                // A chunk is kept whole, however little of it was written.
                precision: match damaged {
                    Some(_) => Precision::MayMiss,
                    None => Precision::Over,
                },
                diagnostics: found.take(),
            },
            base: Some(base),
            merged: Some(Arc::new(merged)),
            overlay_name: Some(names.1),
            base_name: Some(names.0),
        }
    }
}

/// A store in a file of its own (a COW device), over its origin.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotStore {
    pub(crate) path: PathBuf,
    pub(crate) base: Given,
}

impl ChangeSource for SnapshotStore {
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        let found = Diagnostics::new();
        let store: Arc<dyn ReadAt> = Arc::new(RawFile::open(&self.path)?);
        let base = self.base.open_disk(limits, gate, &found)?;
        let name = self.path.display().to_string();
        let exceptions = Exceptions::read(&*store, limits).map_err(|e| {
            Error::new(e.kind(), "snapshot store")
                .message(name.clone())
                .source(e)
        })?;
        let names = (self.base.path.display().to_string(), name);
        Ok(exceptions.loaded(base, store, names, &found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store of chunks of 512 bytes, with `exceptions` in areas of 32.
    fn store(exceptions: &[(u64, u64)], chunks: usize) -> Vec<u8> {
        let mut bytes = vec![0; chunks * 512];
        bytes[..16].copy_from_slice(b"SnAp\x01\0\0\0\x01\0\0\0\x01\0\0\0");
        for (n, (old, new)) in exceptions.iter().enumerate() {
            let at = (1 + n / 32 * 33) * 512 + n % 32 * 16;
            bytes[at..at + 8].copy_from_slice(&old.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&new.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn areas_follow_each_other_until_an_exception_is_none() {
        // Chunk 34 is the second area.
        let all: Vec<(u64, u64)> = (0..40)
            .map(|n| (100 - n, n + 2 + u64::from(n >= 32)))
            .collect();
        let found = Exceptions::read(&store(&all, 80), &Limits::default()).unwrap();
        assert_eq!(found.damaged, None);
        assert_eq!(found.chunk, 512);
        let expected = all
            .iter()
            .map(|(old, new)| (ByteRange::new(old * 512, old * 512 + 512), new * 512));
        assert_eq!(found.pieces, expected.collect::<Vec<_>>());
    }

    #[test]
    fn what_leads_nowhere_is_told_and_the_rest_holds() {
        let read = |all: &[(u64, u64)], chunks| {
            Exceptions::read(&store(all, chunks), &Limits::default()).unwrap()
        };
        for wrong in [(1, 34), (1, 80), (1, u64::MAX), (u64::MAX, 5)] {
            let found = read(&[(7, 2), wrong, (8, 3)], 80);
            assert_eq!(found.pieces.len(), 2, "{wrong:?}");
            assert!(found.damaged.is_some(), "{wrong:?}");
        }
        let full: Vec<(u64, u64)> = (0..32).map(|n| (n, n + 2)).collect();
        assert!(
            read(&full, 34).damaged.is_some(),
            "no area behind a full one"
        );
        let mut invalid = store(&[], 4);
        invalid[4] = 0;
        let error = Exceptions::read(&invalid, &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("ran full"), "{error}");
        invalid[4] = 1;
        invalid[12] = 3;
        assert!(Exceptions::read(&invalid, &Limits::default()).is_err());
    }
}
