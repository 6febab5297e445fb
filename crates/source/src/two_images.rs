//! Two images of one disk, compared: what both are known to share is not read.

use std::fmt;
use std::sync::Arc;

use hexz_resolve::{
    ByteRange, ChangeSet, ChangeSource, Diagnostic, Diagnostics, Limits, Loaded, OpenGate,
    Precision, Progress, RangeSet, ReadAt, ReadError, Result, Silent,
};
use rayon::prelude::*;

use crate::chain::Chain;
use crate::hxz;
use crate::image::{Given, Image, Opened};
use crate::num::{u64_of, usize_of};
use crate::tail::{cut, past_end};

/// Bytes of one block of the comparison.
const BLOCK: u64 = 4096;
/// Bytes that are read from each at a time: what two threads hold of them stays in the cache.
const PIECE: u64 = 1 << 20;
/// Pieces whose results are held before they are put together.
const BATCH: usize = 256;

/// Two images, before and after. Runs on the threads of the pool it is loaded in.
pub struct TwoImages {
    /// The disk before.
    pub a: Given,
    /// The disk after.
    pub b: Given,
    /// Told of the bytes compared.
    pub progress: Arc<dyn Progress>,
}

impl TwoImages {
    /// Compares `a` and `b` in silence.
    #[must_use]
    pub fn new(a: impl Into<Given>, b: impl Into<Given>) -> Self {
        Self {
            a: a.into(),
            b: b.into(),
            progress: Arc::new(Silent),
        }
    }
}

impl fmt::Debug for TwoImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwoImages")
            .field("a", &self.a)
            .field("b", &self.b)
            .finish_non_exhaustive()
    }
}

impl ChangeSource for TwoImages {
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        let found = Diagnostics::new();
        let a = Opened::open(&self.a, &mut Chain::new(limits, gate, &found))?;
        let b = Opened::open(&self.b, &mut Chain::new(limits, gate, &found))?;
        let (shorter, longer) = if a.len() < b.len() {
            (&a, &b)
        } else {
            (&b, &a)
        };
        let common = ByteRange::new(0, shorter.len());
        let candidates = candidates(&a, &b, &found)?
            .aligned_out(BLOCK)
            .clipped(common);
        self.progress
            .stage("comparing images", Some(candidates.len()));
        let (changed, unreadable) = compare(&a, &b, &candidates, &*self.progress, &found);
        let tail = past_end(longer, common.end(), BLOCK, limits.ranges, &found);
        let whole = ByteRange::new(0, longer.len());
        let changed = changed
            .union(&tail.changed)
            .aligned_out(BLOCK)
            .clipped(whole);
        Ok(Loaded {
            changes: ChangeSet {
                ranges: changed,
                block_size: u32::try_from(BLOCK).unwrap_or(u32::MAX),
                precision: if unreadable > 0 || tail.unreadable {
                    Precision::Over
                } else {
                    Precision::Exact
                },
                diagnostics: found.take(),
            },
            base: Some(a.reader()),
            merged: Some(b.reader()),
            overlay_name: Some(self.b.path.display().to_string()),
            base_name: Some(self.a.path.display().to_string()),
        })
    }
}

/// Where the two may differ, from what their formats tell without reading the data.
fn candidates(a: &Opened, b: &Opened, found: &Diagnostics) -> Result<RangeSet> {
    if a.is_same(b) {
        return Ok(RangeSet::new());
    }
    if let (Image::Hxz(a), Image::Hxz(b)) = (&a.image, &b.image) {
        return hxz::candidates(a, b);
    }
    if let Some(shared) = shared_layer(a, b) {
        let (mut all, hidden) = above(&shared, found);
        for image in [a, b] {
            all = all.union(&image.data_in(hidden));
        }
        return Ok(all);
    }
    let whole = ByteRange::new(0, a.len().max(b.len()));
    Ok(a.data_in(whole).union(&b.data_in(whole)))
}

/// An image and what it stands on, the top first.
fn layers(image: &Opened) -> Vec<&Opened> {
    let mut all = vec![image];
    while let Some(below) = all.last().and_then(|image| below(image)) {
        all.push(below);
    }
    all
}

fn below(image: &Opened) -> Option<&Opened> {
    match &image.image {
        Image::Qcow2(image) => image.backing(),
        Image::Vhd(image) => image.parent(),
        Image::Hxz(_) | Image::Other(_) => None,
    }
}

/// The layers of two chains that lie above the first one that both have, and that one.
struct Shared<'a> {
    above: Vec<&'a Opened>,
    layer: &'a Opened,
}

fn shared_layer<'a>(a: &'a Opened, b: &'a Opened) -> Option<Shared<'a>> {
    let (left, right) = (layers(a), layers(b));
    let (at, layer) = left
        .iter()
        .enumerate()
        .find(|(_, layer)| right.iter().any(|other| other.is_same(layer)))?;
    let other = right.iter().take_while(|other| !other.is_same(layer));
    let above = left.iter().take(at).chain(other).copied().collect();
    Some(Shared { above, layer })
}

/// What the layers above a shared one hold themselves, and where one may hide what is below it.
fn above(shared: &Shared<'_>, found: &Diagnostics) -> (RangeSet, ByteRange) {
    let mut all = RangeSet::new();
    let lengths = || {
        let above = shared.above.iter().map(|layer| layer.len());
        above.chain([shared.layer.len()])
    };
    for layer in &shared.above {
        let whole = ByteRange::new(0, layer.len());
        let held = match &layer.image {
            Image::Qcow2(layer) => layer.allocated(whole, found),
            // A damaged block is told of when it is compared.
            Image::Vhd(layer) => layer.allocated(|_, _| {}),
            Image::Hxz(_) | Image::Other(_) => continue,
        };
        all = all.union(&held);
    }
    // A layer hides what is behind its end, whatever stands above it.
    let shortest = lengths().min().unwrap_or(0);
    let longest = lengths().max().unwrap_or(0);
    (all, ByteRange::new(shortest, longest))
}

/// The blocks of `candidates` that differ, and how many could not be read: they are among them,
/// and `found` says why.
fn compare(
    a: &dyn ReadAt,
    b: &dyn ReadAt,
    candidates: &RangeSet,
    progress: &dyn Progress,
    found: &Diagnostics,
) -> (RangeSet, u64) {
    let common = ByteRange::new(0, a.len().min(b.len()));
    let mut changed = RangeSet::new();
    let mut unreadable = 0u64;
    let mut pieces = candidates
        .overlapping(common)
        .flat_map(|range| cut(range, PIECE));
    loop {
        let batch: Vec<ByteRange> = pieces.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        let buffers = || (Vec::new(), Vec::new());
        let compared: Vec<Found> = batch
            .par_iter()
            .map_init(buffers, |(x, y), piece| {
                progress.advance(piece.len());
                compare_piece(a, b, *piece, x, y)
            })
            .collect();
        for (ranges, errors) in compared {
            for range in ranges {
                changed.insert(range);
            }
            unreadable = unreadable.saturating_add(u64_of(errors.len()));
            for (offset, error) in errors {
                let text = format!("a block can't be read, and counts as changed: {error}");
                found.push(Diagnostic::error("image-unreadable", text).at(offset));
            }
        }
    }
    (changed, unreadable)
}

type Found = (Vec<ByteRange>, Vec<(u64, ReadError)>);

/// The blocks of `piece` that differ or can't be read.
fn compare_piece(
    a: &dyn ReadAt,
    b: &dyn ReadAt,
    piece: ByteRange,
    x: &mut Vec<u8>,
    y: &mut Vec<u8>,
) -> Found {
    let (mut changed, mut unreadable) = (Vec::new(), Vec::new());
    let length = usize_of(piece.len());
    x.resize(length, 0);
    y.resize(length, 0);
    let start = piece.start();
    let read = a
        .read_exact_at(start, x)
        .and_then(|()| b.read_exact_at(start, y));
    let blocks = |x: &[u8], y: &[u8], out: &mut Vec<ByteRange>| {
        if x == y {
            return;
        }
        let mut at = start;
        let size = usize_of(BLOCK);
        for (x, y) in x.chunks(size).zip(y.chunks(size)) {
            let end = at.saturating_add(u64_of(x.len()));
            if x != y {
                out.push(ByteRange::new(at, end));
            }
            at = end;
        }
    };
    match read {
        Ok(()) => blocks(x, y, &mut changed),
        // Once more by block: one bad block must not blur its neighbours.
        Err(_) => {
            let mut at = start;
            while at < piece.end() {
                let end = at.saturating_add(BLOCK).min(piece.end());
                let size = usize_of(end.saturating_sub(at));
                x.resize(size, 0);
                y.resize(size, 0);
                let read = a.read_exact_at(at, x).and_then(|()| b.read_exact_at(at, y));
                match read {
                    Ok(()) if x == y => {}
                    Ok(()) => changed.push(ByteRange::new(at, end)),
                    Err(error) => {
                        changed.push(ByteRange::new(at, end));
                        unreadable.push((at, error));
                    }
                }
                at = end;
            }
        }
    }
    (changed, unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DefaultGate;

    struct Bad(Vec<u8>, u64);

    impl ReadAt for Bad {
        fn len(&self) -> u64 {
            ReadAt::len(&self.0)
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
            if offset <= self.1 && self.1 < offset + buf.len() as u64 {
                let reason = "bad sector".into();
                return Err(ReadError::Damaged { offset, reason });
            }
            self.0.read_exact_at(offset, buf)
        }
    }

    #[test]
    fn changed_blocks_are_found_wherever_they_lie() {
        let a = vec![5u8; (3 << 20) + 100];
        let mut b = a.clone();
        let flips = [0, 4095, 4096, (1 << 20) - 1, 1 << 20, (3 << 20) + 99];
        for at in flips {
            b[at] ^= 1;
        }
        let all: RangeSet = ByteRange::new(0, 4 << 20).into();
        let found = Diagnostics::new();
        let (changed, unreadable) = compare(&a, &b, &all, &Silent, &found);
        let expected: RangeSet = flips
            .iter()
            .map(|at| ByteRange::new(*at as u64, *at as u64 + 1))
            .collect();
        let expected = expected.aligned_out(BLOCK);
        assert_eq!(changed, expected.clipped(ByteRange::new(0, a.len() as u64)));
        assert_eq!(unreadable, 0);
    }

    #[test]
    fn a_bad_block_counts_as_changed_and_the_rest_goes_on() {
        let a = vec![5u8; 2 << 20];
        let mut b = a.clone();
        b[9 * 4096] ^= 1;
        let all: RangeSet = ByteRange::new(0, 2 << 20).into();
        let found = Diagnostics::new();
        let bad = Bad(a, 5 * 4096 + 7);
        let (changed, unreadable) = compare(&bad, &b, &all, &Silent, &found);
        let block = |n: u64| ByteRange::new(n * 4096, (n + 1) * 4096);
        assert_eq!(changed.as_slice(), [block(5), block(9)]);
        assert_eq!(unreadable, 1);
        assert_eq!(found.take()[0].offset, Some(5 * 4096));
    }

    #[test]
    fn behind_the_end_of_the_shorter_one_zeros_are_no_change_however_stored() {
        let dir = tempfile::tempdir().unwrap();
        let [short, dense, sparse] = ["short", "dense", "sparse"].map(|name| dir.path().join(name));
        let mut bytes = vec![1; 10_000];
        std::fs::write(&short, &bytes).unwrap();
        bytes.resize(3 << 20, 0);
        bytes[1 << 20] = 1;
        std::fs::write(&dense, &bytes).unwrap();
        std::fs::write(&sparse, &bytes[..=1 << 20]).unwrap();
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(&sparse)
            .unwrap();
        file.set_len(3 << 20).unwrap();
        let ranges = |a, b| {
            let loaded = TwoImages::new(a, b).load(&Limits::default(), &DefaultGate::new());
            loaded.unwrap().changes.ranges
        };
        let block = ByteRange::new(1 << 20, (1 << 20) + 4096);
        for (a, b) in [(&short, &dense), (&short, &sparse), (&dense, &short)] {
            assert_eq!(ranges(a, b), block.into());
        }
        assert!(ranges(&dense, &sparse).is_empty());
    }

    #[test]
    fn sparse_images_of_different_length() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| dir.path().join(name));
        for (path, length) in paths.iter().zip([1u64 << 40, (1 << 40) + (64 << 20)]) {
            use std::os::unix::fs::FileExt;
            let file = std::fs::File::create(path).unwrap();
            file.set_len(length).unwrap();
            file.write_all_at(&[1; 8192], 1 << 30).unwrap();
            file.write_all_at(&length.to_le_bytes(), 1 << 33).unwrap();
            if length > 1 << 40 {
                file.write_all_at(&[1; 4096], length - 4096).unwrap();
            }
        }
        let loaded = TwoImages::new(&paths[0], &paths[1])
            .load(&Limits::default(), &DefaultGate::new())
            .unwrap();
        assert_eq!(loaded.changes.precision, Precision::Exact);
        let end = (1 << 40) + (64 << 20);
        let expected = [
            ByteRange::new(1 << 33, (1 << 33) + 4096),
            ByteRange::new(end - 4096, end),
        ];
        assert_eq!(loaded.changes.ranges.as_slice(), expected);
    }
}
