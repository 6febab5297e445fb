//! Whether two files have the same bytes, wherever those lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layout::OpenVolume;
use super::run::Run;
use crate::{
    Bounded, ByteRange, Claim, Diagnostic, FileKey, FileSet, Filesystem, Owner, RangeSet, ReadAt,
    Result, Role, View, read_vec,
};

const CHUNK: u64 = 1 << 20;

/// The unnamed content of files: for each, its pieces by rising file offset.
pub(super) type Extents = BTreeMap<FileKey, Vec<Claim>>;

/// Where the content of `files` lies in one view.
pub(super) fn extents(
    run: &Run<'_>,
    volume: &OpenVolume,
    view: View,
    files: &FileSet,
) -> Result<Extents> {
    let mut by_file = Extents::new();
    let Some(fs) = volume.filesystem().filter(|_| !files.is_empty()) else {
        return Ok(by_file);
    };
    let mut found = Bounded::new("extents", run.options.limits.claims);
    run.pass(view, volume, None, |scan| {
        fs.extents(files, scan, &mut found)
    })?;
    for claim in found.items {
        if let (Owner::File(id), None) = (claim.owner, &claim.stream) {
            by_file.entry(id.key()).or_default().push(claim);
        }
    }
    for claims in by_file.values_mut() {
        claims.sort_by_key(|c| (c.file_offset, c.range));
    }
    Ok(by_file)
}

/// Compares contents of one volume between its two views.
pub(super) struct Comparer<'a> {
    run: &'a Run<'a>,
    volume: &'a str,
    base: Arc<dyn ReadAt>,
    merged: Arc<dyn ReadAt>,
    /// Where the two views may differ; `None` when all of it may.
    dirty: Option<&'a RangeSet>,
    /// Bytes that may still be read: a hostile image can name the same blocks over and over.
    budget: u64,
}

/// A piece of a file: its bytes on the volume, or zeros.
#[derive(Clone, Copy)]
struct Piece {
    file: ByteRange,
    volume: Option<u64>,
}

impl<'a> Comparer<'a> {
    pub(super) fn new(
        run: &'a Run<'a>,
        volume: &'a OpenVolume,
        [base, merged]: [&dyn Filesystem; 2],
        dirty: Option<&'a RangeSet>,
    ) -> Self {
        let budget = base
            .reader()
            .len()
            .saturating_add(merged.reader().len())
            .saturating_mul(2);
        Self {
            run,
            volume: &volume.name,
            base: Arc::clone(base.reader()),
            merged: Arc::clone(merged.reader()),
            dirty,
            budget,
        }
    }

    /// Whether the first `size` bytes differ. What can't be read counts as different.
    pub(super) fn differ(&mut self, base: &[Claim], merged: &[Claim], size: u64) -> Result<bool> {
        let encoded = |claims: &[Claim]| claims.iter().any(|c| c.encoded);
        if encoded(base) || encoded(merged) {
            return self.encoded_differ(base, merged);
        }
        let (base, merged) = (pieces(base, size), pieces(merged, size));
        let (mut b, mut m) = (base.iter().peekable(), merged.iter().peekable());
        let mut at = 0;
        while at < size {
            while b.next_if(|p| p.file.end() <= at).is_some() {}
            while m.next_if(|p| p.file.end() <= at).is_some() {}
            let (x, y) = (cut(b.peek(), at), cut(m.peek(), at));
            let end = x.file.end().min(y.file.end()).min(size);
            if self.piece_differs(x.volume, y.volume, end - at)? {
                return Ok(true);
            }
            at = end;
        }
        Ok(false)
    }

    /// Compressed or encrypted content is equal when its raw pieces are.
    fn encoded_differ(&mut self, base: &[Claim], merged: &[Claim]) -> Result<bool> {
        if base.len() != merged.len() {
            return Ok(true);
        }
        for (x, y) in base.iter().zip(merged) {
            let shape = |c: &Claim| (c.file_offset, c.range.len(), c.role, c.encoded);
            if shape(x) != shape(y)
                || self.piece_differs(
                    Some(x.range.start()),
                    Some(y.range.start()),
                    x.range.len(),
                )?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn piece_differs(
        &mut self,
        base: Option<u64>,
        merged: Option<u64>,
        length: u64,
    ) -> Result<bool> {
        if base.is_none() && merged.is_none() {
            return Ok(false);
        }
        if let (Some(x), Some(y), Some(dirty)) = (base, merged, self.dirty)
            && x == y
            && !dirty.overlaps(ByteRange::new(x, x.saturating_add(length)))
        {
            return Ok(false);
        }
        let mut done = 0;
        while done < length {
            self.run.check()?;
            let now = (length - done).min(CHUNK);
            let Some(budget) = self.budget.checked_sub(now) else {
                let text = "contents were not compared to the end, and count as different";
                self.run.report(
                    Some(self.volume),
                    Diagnostic::warning("compare-limit", text).losing(),
                );
                return Ok(true);
            };
            self.budget = budget;
            let read = |reader: &dyn ReadAt, start: Option<u64>| match start {
                None => Ok(vec![0; now as usize]),
                Some(start) => read_vec(reader, start.saturating_add(done), now as usize),
            };
            match (read(&*self.base, base), read(&*self.merged, merged)) {
                (Ok(x), Ok(y)) if x == y => {}
                (Ok(_), Ok(_)) => return Ok(true),
                (Err(error), _) | (_, Err(error)) => {
                    let text = format!("content can't be read, and counts as different: {error}");
                    self.run.report(
                        Some(self.volume),
                        Diagnostic::error("content-unreadable", text).at(error.offset()),
                    );
                    return Ok(true);
                }
            }
            done += now;
        }
        Ok(false)
    }
}

/// The pieces that hold bytes, rising, without overlap, within the first `size` bytes.
fn pieces(claims: &[Claim], size: u64) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for claim in claims.iter().filter(|c| c.role == Role::Data) {
        let Some(offset) = claim.file_offset else {
            continue;
        };
        let from = out.last().map_or(0, |p| p.file.end()).max(offset);
        let to = offset.saturating_add(claim.range.len()).min(size);
        if from < to {
            out.push(Piece {
                file: ByteRange::new(from, to),
                volume: Some(claim.range.start().saturating_add(from - offset)),
            });
        }
    }
    out
}

/// What the file has from `at` on: the rest of `piece`, or a hole up to it.
fn cut(piece: Option<&&Piece>, at: u64) -> Piece {
    match piece {
        None => Piece {
            file: ByteRange::new(at, u64::MAX),
            volume: None,
        },
        Some(p) if p.file.start() > at => Piece {
            file: ByteRange::new(at, p.file.start()),
            volume: None,
        },
        Some(p) => Piece {
            file: ByteRange::new(at, p.file.end()),
            volume: p.volume.map(|v| v.saturating_add(at - p.file.start())),
        },
    }
}
