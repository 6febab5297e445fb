//! One view, piece by piece: what was found of the owners of a window, and how it is told.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::account::{Ledger, Piece};
use super::gather::{Claims, Label, heaviest};
use super::layout::{Layout, OpenVolume};
use super::names::Names;
use super::run::{Bound, Counted, Run};
use crate::report::{FileOwner, OwnerRecord, PathBytes};
use crate::{
    Attributes, ByteRange, Claim, Class, Error, FileId, FileKey, FileKind, FileSet, Owner,
    RangeSet, RawName, Result, Role, Sink, View,
};

/// Ranges whose owners one thread puts together at a time.
const RANGES_AT_ONCE: usize = 2048;
/// A window that is not cut further.
const SMALLEST_WINDOW: u64 = 4096;

/// The claims of a window in all volumes, and the names of the files that made them.
pub(super) struct Answer<'a> {
    run: &'a Run<'a>,
    layout: &'a Layout,
    volumes: &'a [&'a OpenVolume],
    found: Vec<Found>,
}

/// What one volume has of the window.
struct Found {
    /// Index into the volumes.
    index: usize,
    claims: Claims,
    files: Files,
}

/// Told of one part of a window.
struct Part {
    records: Vec<OwnerRecord>,
    /// Where more claims than are looked at cover a byte.
    crowded: Option<u64>,
}

impl<'a> Answer<'a> {
    /// Finds who owns `window`; `None` when there are too many claims, and it can be cut.
    pub(super) fn gather(
        run: &'a Run<'a>,
        layout: &'a Layout,
        volumes: &'a [&'a OpenVolume],
        window: &RangeSet,
    ) -> Result<Option<Self>> {
        let most = if window.len() <= SMALLEST_WINDOW {
            run.options.limits.claims
        } else {
            run.options.limits.claims_at_once
        };
        let mut found = Vec::new();
        for (index, volume) in volumes.iter().enumerate() {
            let wanted = volume.wanted(window);
            let claims = Claims::gather_few(run, volume, View::Merged, &wanted, most)?;
            let Some(claims) = claims else {
                if window.len() > SMALLEST_WINDOW {
                    return Ok(None);
                }
                let text = "more claims than are looked at";
                run.tolerate(Some(&volume.name), Error::limit("claims", text))?;
                continue;
            };
            let files = Files::find(run, volume, &claims)?;
            found.push(Found {
                index,
                claims,
                files,
            });
        }
        Ok(Some(Self {
            run,
            layout,
            volumes,
            found,
        }))
    }

    /// Tells the pieces of `window`, by start.
    pub(super) fn tell(
        &self,
        window: &RangeSet,
        mut out: impl FnMut(Vec<OwnerRecord>) -> Result<()>,
    ) -> Result<()> {
        let parts: Vec<RangeSet> = window
            .as_slice()
            .chunks(RANGES_AT_ONCE)
            .map(|part| part.iter().copied().collect())
            .collect();
        for parts in parts.chunks(self.run.threads()) {
            self.run.check()?;
            for (part, told) in parts.iter().zip(self.run.each(parts, |p| self.part(p))) {
                if let Some(at) = told.crowded {
                    self.run.note_crowded(at);
                }
                self.run.options.progress.advance(part.len());
                out(told.records)?;
            }
        }
        Ok(())
    }

    fn part(&self, window: &RangeSet) -> Part {
        let mut records = Vec::new();
        let mut crowded = None;
        for found in &self.found {
            let Some(volume) = self.volumes.get(found.index) else {
                continue;
            };
            let over =
                found
                    .claims
                    .for_each_piece(self.run, &volume.wanted(window), |range, claims| {
                        if let Some(label) = heaviest(claims) {
                            let owners = found.files.owners(range, claims);
                            place(volume, found.index, range, label, owners, &mut records);
                        }
                    });
            crowded = crowded.or(over);
        }
        // What is claimed is told with its owners; the rest as it is.
        let claimed = records.iter();
        let claimed = claimed.filter_map(|o: &OwnerRecord| ByteRange::at(o.start, o.length));
        let mut ledger = Ledger::new(window.difference(&claimed.collect()));
        let volumes = || self.volumes.iter().copied().enumerate();
        ledger.give_structures(&self.layout.structures, volumes());
        for (index, volume) in volumes() {
            ledger.close(volume, index);
        }
        ledger.give_gaps();
        let (pieces, reasons) = ledger.settle();
        records.extend(pieces.iter().map(|p| unclaimed(p, &reasons, self.volumes)));
        records.sort_by_key(|r| r.start);
        records.dedup_by(|next, last| continues(last, next));
        Part { records, crowded }
    }
}

/// Adds `next` to `last`, when it is the same answer for the bytes right behind it.
pub(super) fn continues(last: &mut OwnerRecord, next: &OwnerRecord) -> bool {
    let same = last.start + last.length == next.start
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

/// A piece that no claim covers.
fn unclaimed(piece: &Piece, reasons: &[String], volumes: &[&OpenVolume]) -> OwnerRecord {
    let unresolved = piece.class == Class::Unresolved;
    let known = piece
        .volume
        .and_then(|v| volumes.get(v))
        .is_some_and(|v| v.filesystem().is_some());
    OwnerRecord {
        volume: piece.volume,
        start: piece.range.start(),
        length: piece.range.len(),
        class: piece.class,
        detail: piece.detail,
        allocated: match piece.class {
            Class::Unresolved => known.then_some(true),
            Class::Gap => None,
            _ => Some(true),
        },
        owners: Vec::new(),
        reason: unresolved
            .then(|| reasons.get(piece.reason).cloned())
            .flatten(),
    }
}

/// Puts one piece of a volume where it lies on the disk, which may be in several places.
fn place(
    volume: &OpenVolume,
    index: usize,
    range: ByteRange,
    label: Label,
    mut owners: Vec<FileOwner>,
    out: &mut Vec<OwnerRecord>,
) {
    let mut places = volume.map.to_device(range).peekable();
    while let Some(device) = places.next() {
        let skipped = volume
            .map
            .to_volume(&device.into())
            .bounds()
            .map_or(0, |b| b.start().saturating_sub(range.start()));
        let owners = match places.peek() {
            Some(_) => owners.clone(),
            None => std::mem::take(&mut owners),
        };
        out.push(OwnerRecord {
            volume: Some(index),
            start: device.start(),
            length: device.len(),
            class: label.class,
            detail: label.detail,
            allocated: match label.class {
                Class::Free => Some(false),
                Class::Gap => None,
                _ => Some(true),
            },
            owners: moved_on(owners, skipped),
            reason: None,
        });
    }
}

fn moved_on(mut owners: Vec<FileOwner>, by: u64) -> Vec<FileOwner> {
    for owner in &mut owners {
        owner.file_offset = owner.file_offset.map(|o| o.saturating_add(by));
    }
    owners
}

/// What tells one piece of a file from another.
fn identity(owner: &FileOwner) -> (FileId, Role, Option<&RawName>, Option<u64>) {
    let stream = owner.stream.as_ref();
    (owner.file, owner.role, stream, owner.file_offset)
}

/// What is told of a file wherever it owns something.
struct Known {
    kind: Option<FileKind>,
    paths: Arc<[PathBytes]>,
}

/// By file.
struct Files(Vec<(FileKey, Known)>);

/// Keeps of attributes what is told with an owner.
struct Kinds<'a, 'b>(&'a mut Counted<'b, (FileKey, Kind)>);

/// The kind, and the name of a file that no directory names.
type Kind = (FileKind, Option<&'static str>);

impl Sink<Attributes> for Kinds<'_, '_> {
    fn put(&mut self, a: Attributes) -> Result<()> {
        self.0.put((a.id.key(), (a.kind, a.reserved)))
    }
}

impl Files {
    /// Names the files that made `claims`.
    fn find(run: &Run<'_>, volume: &OpenVolume, claims: &Claims) -> Result<Self> {
        let mut files: Vec<(FileKey, Option<FileKind>)> = claims
            .iter()
            .filter_map(|claim| match claim.owner {
                Owner::File(id) => Some((id.key(), claim.kind)),
                _ => None,
            })
            .collect();
        // A kind that is known comes before none.
        run.sort(&mut files, |a, b| {
            (a.0, Reverse(a.1)).cmp(&(b.0, Reverse(b.1)))
        });
        files.dedup_by_key(|(key, _)| *key);
        let wanted: FileSet = files.iter().map(|(key, _)| *key).collect();
        let names = Names::gather(run, volume, View::Merged, &wanted, None)?;
        let mut known = run.each(&files, |(key, kind)| {
            let named = names.paths_of(run, *key).into_iter().map(|n| n.path);
            let known = Known {
                kind: *kind,
                paths: named.collect(),
            };
            (*key, known)
        });
        let kinds = lacking(run, volume, &known)?;
        for (key, known) in &mut known {
            let Some((kind, reserved)) = kinds.get(key) else {
                continue;
            };
            known.kind = Some(*kind);
            if let (true, Some(reserved)) = (known.paths.is_empty(), reserved) {
                known.paths = [reserved.as_bytes().to_vec()].into();
            }
        }
        Ok(Self(known))
    }

    fn get(&self, key: FileKey) -> Option<&Known> {
        let at = self.0.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.0.get(at).map(|(_, known)| known)
    }

    /// The owners of `range`, each piece of a file once.
    fn owners(&self, range: ByteRange, claims: &[&Claim]) -> Vec<FileOwner> {
        let mut owners: Vec<FileOwner> = Vec::with_capacity(claims.len());
        for claim in claims {
            let (Owner::File(file), Some(claim)) = (claim.owner, claim.clipped(range)) else {
                continue;
            };
            let known = self.get(file.key());
            owners.push(FileOwner {
                file,
                kind: known.and_then(|k| k.kind),
                paths: known.map_or_else(|| Arc::from([]), |k| Arc::clone(&k.paths)),
                stream: claim.stream,
                role: claim.role,
                file_offset: claim.file_offset,
            });
        }
        owners.sort_by(|a, b| identity(a).cmp(&identity(b)));
        owners.dedup_by(|a, b| identity(a) == identity(b));
        owners
    }
}

/// Asks for the attributes of files of which the claims did not say all that is told.
fn lacking(
    run: &Run<'_>,
    volume: &OpenVolume,
    known: &[(FileKey, Known)],
) -> Result<HashMap<FileKey, Kind>> {
    let Some(fs) = volume.filesystem() else {
        return Ok(HashMap::new());
    };
    let lacks = |known: &Known| known.kind.is_none() || known.paths.is_empty();
    let asked = known.iter().filter(|(_, known)| lacks(known));
    let asked: FileSet = asked.map(|(key, _)| *key).collect();
    let bound = Bound {
        what: "attributes",
        limit: run.options.limits.files,
        at_once: 256,
    };
    let (view, name) = (View::Merged, &volume.name);
    let kinds = run.ask(view, name, &asked, bound, |files, scan, found| {
        fs.attributes(files, scan, &mut Kinds(found))
    })?;
    Ok(kinds.into_iter().collect())
}
