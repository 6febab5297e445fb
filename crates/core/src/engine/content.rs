//! Whether two files have the same bytes, wherever those lie.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::refine::{Counter, count_bytes};
use super::run::Run;
use super::volume::OpenVolume;
use crate::content::{Extent, Piece, pieces};
use crate::{
    ByteRange, Claim, Diagnostic, Diagnostics, Error, ErrorKind, FileKey, FileSet, Filesystem,
    Owner, RangeCursor, RangeSet, ReadAt, Result, Role, Sink, View, read_vec,
};

const CHUNK: u64 = 1 << 20;

/// The unnamed content of files: for each, its pieces by rising file offset.
pub(super) type Extents = BTreeMap<FileKey, Vec<Extent>>;

/// Takes the unnamed content of files from claims.
struct Taken {
    by_file: Extents,
    /// How many more are taken.
    room: usize,
}

impl Sink<Claim> for Taken {
    fn put(&mut self, claim: Claim) -> Result<()> {
        let room = self.room.checked_sub(1);
        self.room = room.ok_or_else(|| Error::limit("extents", "too many"))?;
        if let (Owner::File(key), None) = (claim.owner, &claim.stream) {
            let extents = self.by_file.entry(key).or_default();
            extents.push(Extent::of(&claim));
        }
        Ok(())
    }
}

/// Where the content of `files` lies in one view.
pub(super) fn extents(
    run: &Run<'_>,
    (view, volume): (View, &OpenVolume),
    files: &FileSet,
    findings: &Diagnostics,
) -> Result<Extents> {
    let mut taken = Taken {
        by_file: Extents::new(),
        room: run.options.limits.claims,
    };
    let Some(fs) = volume.filesystem().filter(|_| !files.is_empty()) else {
        return Ok(taken.by_file);
    };
    run.pass_into(findings, (view, volume), |scan| {
        fs.extents(files, scan, &mut taken)
    })?;
    for extents in taken.by_file.values_mut() {
        extents.sort_by_key(|e| (e.file_offset, e.range));
    }
    Ok(taken.by_file)
}

/// A file in one view, and where its content lies.
#[derive(Clone, Copy)]
pub(super) struct Side<'c> {
    pub(super) file: FileKey,
    pub(super) extents: &'c [Extent],
}

impl<'c> Side<'c> {
    /// `file`, which lies where `extents` say.
    pub(super) fn of(extents: &'c Extents, file: FileKey) -> Self {
        Self {
            file,
            extents: extents.get(&file).map_or(&[], Vec::as_slice),
        }
    }
}

/// What the comparison of the disks told of a volume that lies at one place in both views.
pub(super) struct InPlace<'a> {
    pub(super) counter: Counter<'a>,
    /// Where the two views read otherwise than the disks do.
    pub(super) replayed: &'a RangeSet,
}

impl<'a> InPlace<'a> {
    /// What `tell` says of each place on the disk of `range` of `volume`. `None` where what is read
    /// there is not what lies at one place of the disk.
    fn of<T>(
        &self,
        volume: &OpenVolume,
        range: ByteRange,
        tell: impl Fn(&Counter<'a>, ByteRange) -> T,
        add: impl Fn(T, T) -> T,
    ) -> Option<T> {
        if self.replayed.overlaps(range) {
            return None;
        }
        let mut all = None;
        for piece in volume.map.pieces(range) {
            let mut copies = piece.on_device();
            let (Some(place), None) = (copies.next(), copies.next()) else {
                return None;
            };
            let told = tell(&self.counter, place);
            all = Some(match all {
                Some(before) => add(before, told),
                None => told,
            });
        }
        all
    }

    /// Whether a byte of `range` differs.
    fn any(&self, volume: &OpenVolume, range: ByteRange) -> Option<bool> {
        self.of(volume, range, Counter::any, |a, b| a || b)
    }

    /// How many bytes of `range` differ.
    fn count(&self, volume: &OpenVolume, range: ByteRange) -> Option<u64> {
        self.of(volume, range, Counter::count, u64::saturating_add)
    }
}

/// Compares contents of one volume between its two views.
pub(super) struct Comparer<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) volume: &'a OpenVolume,
    pub(super) base: &'a dyn Filesystem,
    pub(super) merged: &'a dyn Filesystem,
    /// Where the two views may differ; `None` when all of it may.
    pub(super) dirty: Option<RangeCursor<'a>>,
    /// What is known of bytes that lie at one place in both views.
    pub(super) in_place: Option<InPlace<'a>>,
    /// Bytes that may still be read: a hostile image can name the same blocks over and over.
    pub(super) budget: &'a AtomicU64,
    /// Where findings go.
    pub(super) findings: &'a Diagnostics,
}

/// What the contents of a pair of filesystems may cost to compare, in bytes.
pub(super) fn budget(filesystems: [Option<&dyn Filesystem>; 2]) -> AtomicU64 {
    let lengths = filesystems
        .into_iter()
        .flatten()
        .map(|fs| fs.reader().len());
    AtomicU64::new(lengths.fold(0, u64::saturating_add).saturating_mul(2))
}

impl Comparer<'_> {
    /// Whether the first `size` bytes of two files differ, which lie where these claims say. What
    /// can't be read counts as different.
    pub(super) fn differ(&self, base: Side<'_>, merged: Side<'_>, size: u64) -> Result<bool> {
        let encoded = |side: Side<'_>| side.extents.iter().any(|c| c.encoded);
        if encoded(base) || encoded(merged) {
            return self.encoded_differ(base, merged, size);
        }
        let (base, merged) = (pieces(base.extents, size), pieces(merged.extents, size));
        let (mut b, mut m) = (base.peekable(), merged.peekable());
        let mut at = 0;
        while at < size {
            while b.next_if(|p| p.file.end() <= at).is_some() {}
            while m.next_if(|p| p.file.end() <= at).is_some() {}
            let (x, y) = (cut(b.peek(), at), cut(m.peek(), at));
            let end = x.0.end().min(y.0.end()).min(size);
            if self.piece_differs(x.1, y.1, end - at)? {
                return Ok(true);
            }
            at = end;
        }
        Ok(false)
    }

    /// Bytes of the content after, of the sizes before and after, that are new or differ from what
    /// stood at their place in the file. `None` where that can't be read, or would take too long.
    pub(super) fn count(
        &self,
        base: Side<'_>,
        merged: Side<'_>,
        (before, size): (u64, u64),
    ) -> Result<Option<u64>> {
        let encoded = |side: Side<'_>| side.extents.iter().any(|c| c.encoded);
        if encoded(base) || encoded(merged) {
            return Ok(None);
        }
        let (base, merged) = (pieces(base.extents, before), pieces(merged.extents, size));
        let (mut b, mut m) = (base.peekable(), merged.peekable());
        let (mut at, mut sum) = (0, 0u64);
        while at < size {
            while b.next_if(|p| p.file.end() <= at).is_some() {}
            while m.next_if(|p| p.file.end() <= at).is_some() {}
            let (x, y) = (cut(b.peek(), at), cut(m.peek(), at));
            let mut end = x.0.end().min(y.0.end()).min(size);
            if at < before {
                end = end.min(before);
            }
            let found = match (x.1, y.1) {
                (None, None) => Some(0),
                // Past the end of what was there everything is new.
                (_, Some(_)) if at >= before => Some(end - at),
                (from, to) => self.count_piece(from, to, end - at)?,
            };
            let Some(found) = found else { return Ok(None) };
            sum = sum.saturating_add(found);
            at = end;
        }
        Ok(Some(sum))
    }

    /// Differing bytes of two pieces; where both lie at one place, only what may differ is read.
    fn count_piece(
        &self,
        base: Option<u64>,
        merged: Option<u64>,
        length: u64,
    ) -> Result<Option<u64>> {
        let whole = ByteRange::new(0, length);
        let place = base.filter(|_| base == merged);
        let place = place.and_then(|at| ByteRange::at(at, length));
        let dirty = place.zip(self.dirty.as_ref());
        let parts = || {
            let parts = dirty.into_iter().flat_map(|(place, dirty)| {
                let parts = dirty.overlapping(place);
                parts.filter_map(move |part| part.moved_down(place.start()))
            });
            parts.chain(dirty.is_none().then_some(whole))
        };
        if let (Some(place), Some(known)) = (place, &self.in_place) {
            // Nothing is read, but an image can have the same bytes counted over and over.
            if !self.spend(parts().map(|part| part.len()).sum()) {
                return Ok(None);
            }
            if let Some(count) = known.count(self.volume, place) {
                return Ok(Some(count));
            }
        }
        let (before, after) = (self.base.reader(), self.merged.reader());
        let mut sum = 0u64;
        for part in parts() {
            let mut done = part.start();
            while done < part.end() {
                self.run.check()?;
                let now = (part.end() - done).min(CHUNK);
                if !self.spend(now) {
                    return Ok(None);
                }
                let read = |reader: &dyn ReadAt, start: Option<u64>| match start {
                    None => Ok(vec![0; now as usize]),
                    Some(start) => read_vec(reader, start.saturating_add(done), now as usize),
                };
                match (read(&**before, base), read(&**after, merged)) {
                    (Ok(x), Ok(y)) => {
                        sum = sum.saturating_add(count_bytes(&x, &y));
                    }
                    // That it can't be read is said where contents are compared.
                    _ => return Ok(None),
                }
                done += now;
            }
        }
        Ok(Some(sum))
    }

    /// Compressed content is compared by what it says. What can't be decoded (it is encrypted) is
    /// equal when it lies in equal pieces with equal bytes.
    fn encoded_differ(&self, base: Side<'_>, merged: Side<'_>, size: u64) -> Result<bool> {
        if !self.lie_differently(base.extents, merged.extents) {
            return Ok(false);
        }
        let open = |fs: &dyn Filesystem, view, file| {
            let mut content = None;
            self.run
                .pass_into(self.findings, (view, self.volume), |scan| {
                    match fs.content(file, None, scan) {
                        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
                        other => other.map(|opened| content = Some(opened)),
                    }
                })?;
            Ok(content)
        };
        let before = open(self.base, View::Base, base.file)?;
        let after = open(self.merged, View::Merged, merged.file)?;
        match (before, after) {
            (Some(before), Some(after)) => {
                let whole = ByteRange::new(0, size);
                let data = before.data_in(whole).union(&after.data_in(whole));
                for range in &data {
                    let at = Some(range.start());
                    if self.bytes_differ((&*before, at), (&*after, at), range.len())? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (None, None) => self.raw_differ(base.extents, merged.extents),
            _ => Ok(true),
        }
    }

    /// Whether any of the bytes, as they are encoded, lie elsewhere or may differ: when none do,
    /// nothing needs decoding.
    fn lie_differently(&self, base: &[Extent], merged: &[Extent]) -> bool {
        let Some(dirty) = &self.dirty else {
            return true;
        };
        let shape = |e: &Extent| {
            (
                e.file_offset,
                e.range,
                e.role,
                e.encoded,
                e.decoded.as_deref().copied(),
            )
        };
        !base.iter().map(shape).eq(merged.iter().map(shape))
            || base.iter().any(|c| dirty.overlaps(c.range))
    }

    /// Whether the encoded bytes differ, or are cut otherwise.
    fn raw_differ(&self, base: &[Extent], merged: &[Extent]) -> Result<bool> {
        if base.len() != merged.len() {
            return Ok(true);
        }
        for (x, y) in base.iter().zip(merged) {
            let shape = |e: &Extent| {
                (
                    e.file_offset,
                    e.range.len(),
                    e.role,
                    e.encoded,
                    e.decoded.as_deref().copied(),
                )
            };
            let (from, to) = (Some(x.range.start()), Some(y.range.start()));
            let written = x.role == Role::Data;
            if shape(x) != shape(y) || (written && self.piece_differs(from, to, x.range.len())?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn piece_differs(&self, base: Option<u64>, merged: Option<u64>, length: u64) -> Result<bool> {
        if base.is_none() && merged.is_none() {
            return Ok(false);
        }
        if let (Some(x), Some(y), Some(dirty)) = (base, merged, &self.dirty)
            && x == y
            && !dirty.overlaps(ByteRange::new(x, x.saturating_add(length)))
        {
            return Ok(false);
        }
        if let (Some(x), Some(y), Some(known)) = (base, merged, &self.in_place)
            && x == y
            && let Some(range) = ByteRange::at(x, length)
            && let Some(differs) = known.any(self.volume, range)
        {
            return Ok(differs);
        }
        let (before, after) = (self.base.reader(), self.merged.reader());
        self.bytes_differ((&**before, base), (&**after, merged), length)
    }

    /// Compares `length` bytes of two readers; at no place there are zeros.
    fn bytes_differ(
        &self,
        (before, base): (&dyn ReadAt, Option<u64>),
        (after, merged): (&dyn ReadAt, Option<u64>),
        length: u64,
    ) -> Result<bool> {
        let mut done = 0;
        while done < length {
            self.run.check()?;
            let now = (length - done).min(CHUNK);
            if !self.spend(now) {
                let text = "contents were not compared to the end, and count as different";
                self.report(Diagnostic::warning("compare-limit", text).losing());
                return Ok(true);
            }
            let read = |reader: &dyn ReadAt, start: Option<u64>| match start {
                None => Ok(vec![0; now as usize]),
                Some(start) => read_vec(reader, start.saturating_add(done), now as usize),
            };
            match (read(before, base), read(after, merged)) {
                (Ok(x), Ok(y)) if x == y => {}
                (Ok(_), Ok(_)) => return Ok(true),
                (Err(error), _) | (_, Err(error)) => {
                    let text = format!("content can't be read, and counts as different: {error}");
                    self.report(Diagnostic::error("content-unreadable", text).at(error.offset()));
                    return Ok(true);
                }
            }
            done += now;
        }
        Ok(false)
    }

    /// Takes `bytes` from what may still be read; whether there were so many.
    fn spend(&self, bytes: u64) -> bool {
        let less = |budget: u64| budget.checked_sub(bytes);
        let order = Ordering::Relaxed;
        self.budget.fetch_update(order, order, less).is_ok()
    }

    fn report(&self, finding: Diagnostic) {
        self.findings.push(finding.volume(&self.volume.name));
    }
}

/// A stretch of a file: its place on the volume, or `None` where it reads as zeros.
type Stretch = (ByteRange, Option<u64>);

/// What the file has from `at` on: the rest of `piece`, or a hole up to it.
fn cut(piece: Option<&Piece>, at: u64) -> Stretch {
    match piece {
        None => (ByteRange::new(at, u64::MAX), None),
        Some(p) if p.file.start() > at => (ByteRange::new(at, p.file.start()), None),
        Some(p) => (
            ByteRange::new(at, p.file.end()),
            Some(p.volume + (at - p.file.start())),
        ),
    }
}
