//! One view, piece by piece: what was found of the owners of a window, and how it is told.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use super::account::{Ledger, Piece, Texts};
use super::gather::{Claimant, Claims, Label, heaviest};
use super::layout::Layout;
use super::names::Names;
use super::run::{Bound, Counted, Run};
use super::teller::{Teller, Told, continues, identity};
use super::volume::OpenVolume;
use crate::report::{FileNames, FileOwner, MANY_NAMES, OwnerRecord, OwnerVisitor, PathBytes};
use crate::{
    Attributes, ByteRange, Claim, Class, Error, FileKey, FileKind, FileSet, Owner, RangeSet,
    Result, Scan, Sink, View,
};

/// Ranges whose owners one thread puts together at a time.
const RANGES: usize = 256;
/// Bytes of them at least, unless there are no more.
const PART_BYTES: u64 = 4 << 20;
/// So many parts a window has, where it is a few long ranges.
const PARTS: u64 = 256;
/// About so many parts for each thread wait to be told.
const PARTS_A_THREAD: usize = 32;
/// A window that is not cut further.
const SMALLEST_WINDOW: u64 = 4096;

/// The claims of a window in all volumes, and the names of the files that made them.
pub(super) struct Answer<'a> {
    run: &'a Run<'a>,
    layout: &'a Layout,
    volumes: &'a [&'a OpenVolume],
    found: Vec<Found>,
    spare: Spare,
}

/// What one volume has of the window.
struct Found {
    /// Index into the volumes.
    index: usize,
    claims: Claims,
    files: Files,
}

impl Found {
    /// Passes on the names of the files that have very many.
    fn names<V: OwnerVisitor>(&self, teller: &mut Teller<'_, V>) -> Result<()> {
        if self.files.paths.is_empty() {
            return Ok(());
        }
        let mut generations: BTreeMap<FileKey, Option<u64>> = BTreeMap::new();
        for claim in self.claims.iter() {
            if let Owner::File(file) = claim.owner
                && self.files.paths.contains_key(&file)
            {
                let known = generations.entry(file).or_default();
                *known = known.or(claim.generation);
            }
        }
        for (file, paths) in &self.files.paths {
            let known = self.files.kinds.get(file);
            let generation = generations.get(file).copied().flatten();
            teller.names(FileNames {
                volume: self.index,
                view: None,
                file: *file,
                generation: generation.or_else(|| known.and_then(|(_, known, _)| *known)),
                paths: Arc::clone(paths),
            })?;
        }
        Ok(())
    }
}

/// What one part of a window gave.
struct Part<M> {
    told: Told<M>,
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
            let Some((claims, files)) = claims else {
                if window.len() > SMALLEST_WINDOW {
                    return Ok(None);
                }
                let text = "more claims than are looked at";
                run.tolerate(Some(&volume.name), Error::limit("claims", text))?;
                continue;
            };
            let files = Files::find(run, volume, &files)?;
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
            spare: Spare::default(),
        }))
    }

    /// Tells the pieces of `window`, by start.
    pub(super) fn tell<V: OwnerVisitor>(
        &self,
        window: &RangeSet,
        teller: &mut Teller<'_, V>,
    ) -> Result<()> {
        self.found
            .iter()
            .try_for_each(|found| found.names(teller))?;
        let visitor = teller.visitor();
        let tell = |part: &RangeSet, told| {
            self.tell_part(part, told, teller)?;
            self.run.options.progress.advance(part.len());
            Ok(())
        };
        self.run
            .in_order(&parts(window), |part| self.part(part, visitor), tell)
    }

    /// Tells what was found of `part`; where that was too much at once, its two halves.
    fn tell_part<V: OwnerVisitor>(
        &self,
        part: &RangeSet,
        told: Option<Part<V::Made>>,
        teller: &mut Teller<'_, V>,
    ) -> Result<()> {
        let mut coming = vec![(part.clone(), told)];
        while let Some((part, told)) = coming.pop() {
            self.run.check()?;
            let Some(told) = told else {
                let (low, high) = halves(&part);
                for half in [high, low] {
                    let told = self.part(&half, teller.visitor());
                    coming.push((half, told));
                }
                continue;
            };
            if let Some(at) = told.crowded {
                self.run.crowded(at);
            }
            teller.tell(told.told)?;
        }
        Ok(())
    }

    /// Puts the pieces of `window` together; `None` when they say more than is held at once, and
    /// the window can be cut.
    fn part<V: OwnerVisitor>(&self, window: &RangeSet, visitor: &V) -> Option<Part<V::Made>> {
        let at_once = self.run.threads() * PARTS_A_THREAD;
        let most = self.run.options.limits.cache_bytes / at_once.max(1);
        let mut weight = 0usize;
        let mut records = self.spare.take();
        let mut crowded = None;
        for found in &self.found {
            let Some(volume) = self.volumes.get(found.index) else {
                continue;
            };
            let mut namer = Namer {
                run: self.run,
                files: &found.files,
                last: None,
                near: 0,
            };
            let wanted = volume.wanted(window);
            let over = found
                .claims
                .for_each_piece(self.run, &wanted, |range, claims| {
                    if let Some(label) = heaviest(claims) {
                        let owners = namer.owners(range, claims);
                        weight = owners
                            .iter()
                            .map(weight_of)
                            .fold(weight, usize::saturating_add);
                        let at = (range, window);
                        place(volume, found.index, at, label, owners, &mut records);
                    }
                    match weight > most && window.len() > SMALLEST_WINDOW {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                });
            crowded = crowded.or(over);
            if weight > most && window.len() > SMALLEST_WINDOW {
                return None;
            }
        }
        // What is claimed is told with its owners; the rest as it is.
        let claimed = records.iter();
        let claimed = claimed.filter_map(|o: &OwnerRecord| ByteRange::at(o.start, o.length));
        let mut ledger = Ledger::new(window.difference(&claimed.collect()));
        let volumes = || self.volumes.iter().copied().enumerate();
        ledger.give_view(self.run, self.layout, volumes());
        ledger.give_gaps();
        let (pieces, texts) = ledger.settle();
        let unclaimed = |p| unclaimed(self.run, p, &texts, self.volumes);
        records.extend(pieces.iter().map(unclaimed));
        records.sort_by_key(|r| r.start);
        for record in &mut records {
            (record.disk, record.start) = self.run.options.disks.place(record.start);
        }
        records.dedup_by(|next, last| continues(last, next));
        let told = Told::new(&records, visitor);
        self.spare.put(records);
        Some(Part { told, crowded })
    }
}

/// Vectors that were used before: memory that grows anew for each part is fresh at every size,
/// which costs more than what is done with it.
#[derive(Default)]
struct Spare(Mutex<Vec<Vec<OwnerRecord>>>);

impl Spare {
    fn take(&self) -> Vec<OwnerRecord> {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.pop().unwrap_or_default()
    }

    fn put(&self, mut records: Vec<OwnerRecord>) {
        records.clear();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(records);
    }
}

/// About the bytes that an owner is told in: a file may have very many names, and own very many
/// pieces.
fn weight_of(owner: &FileOwner) -> usize {
    let names = owner.paths.iter().take(MANY_NAMES);
    let names = names.map(|path| path.len() + 8);
    names.sum::<usize>() + size_of::<FileOwner>()
}

/// Cuts a set of several bytes in two, at a block border where that can be, with about as many
/// bytes in each half.
pub(super) fn halves(set: &RangeSet) -> (RangeSet, RangeSet) {
    let mut left = set.len() / 2;
    let end = set.bounds().map_or(0, |b| b.end());
    let mut at = end;
    for range in set {
        if range.len() > left {
            let middle = range.start() + left;
            let border = middle.checked_next_multiple_of(SMALLEST_WINDOW);
            at = border.filter(|b| *b < range.end()).unwrap_or(middle);
            break;
        }
        left -= range.len();
    }
    (
        set.clipped(ByteRange::new(0, at)),
        set.clipped(ByteRange::new(at, end)),
    )
}

/// Cuts a window into what one thread puts together at a time: few ranges, and few bytes of them.
fn parts(window: &RangeSet) -> Vec<RangeSet> {
    let most = (window.len() / PARTS).max(PART_BYTES);
    let mut parts = Vec::new();
    let (mut part, mut left) = (RangeSet::new(), most);
    for range in window {
        let mut at = range.start();
        while at < range.end() {
            let end = range.end().min(at.saturating_add(left));
            part.insert(ByteRange::new(at, end));
            left -= end - at;
            at = end;
            if left == 0 || part.runs() == RANGES {
                parts.push(std::mem::take(&mut part));
                left = most;
            }
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// A piece that no claim covers.
fn unclaimed(run: &Run<'_>, piece: &Piece, texts: &Texts, volumes: &[&OpenVolume]) -> OwnerRecord {
    let unresolved = piece.class == Class::Unresolved;
    // What is free is known when all was read that tells it.
    let volume = piece.volume().and_then(|v| volumes.get(v));
    let known =
        volume.is_some_and(|v| v.filesystem().is_some() && run.diagnostics.is_whole(&v.name));
    OwnerRecord {
        volume: piece.volume(),
        start: piece.range.start(),
        disk: None,
        length: piece.range.len(),
        class: piece.class,
        detail: texts.detail(piece),
        allocated: match piece.class {
            Class::Unresolved => known.then_some(true),
            Class::Gap => None,
            _ => Some(true),
        },
        owners: Vec::new(),
        reason: unresolved.then(|| texts.reason(piece).cloned()).flatten(),
    }
}

/// Puts one piece of a volume where it lies in the window of the disk, which may be in several
/// places.
fn place(
    volume: &OpenVolume,
    index: usize,
    (range, window): (ByteRange, &RangeSet),
    label: Label,
    mut owners: Vec<FileOwner>,
    out: &mut Vec<OwnerRecord>,
) {
    let pieces = volume.map.pieces(range);
    let mut places = pieces
        .flat_map(|piece| {
            let skipped = piece.volume.start() - range.start();
            // A copy outside of the window is told with the window that it is in.
            let places = piece.on_device().flat_map(|place| {
                let parts = window.overlapping(place);
                parts.map(move |part| (skipped + (part.start() - place.start()), part))
            });
            places.collect::<Vec<_>>()
        })
        .peekable();
    while let Some((skipped, device)) = places.next() {
        let owners = match places.peek() {
            Some(_) => owners.clone(),
            None => std::mem::take(&mut owners),
        };
        out.push(OwnerRecord {
            volume: Some(index),
            start: device.start(),
            disk: None,
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

/// What is known of the files that made the claims of a volume.
struct Files {
    names: Names,
    /// Of those that the claims did not tell everything about.
    kinds: HashMap<FileKey, Kind>,
    /// Of those that have many.
    paths: BTreeMap<FileKey, Arc<[PathBytes]>>,
}

/// Keeps of attributes what is told with an owner.
struct Kinds<'a, 'b>(&'a mut Counted<'b, (FileKey, Kind)>);

/// The kind, the generation, and the name of a file that no directory names.
type Kind = (FileKind, Option<u64>, Option<&'static str>);

impl Sink<Attributes> for Kinds<'_, '_> {
    fn put(&mut self, a: Attributes) -> Result<()> {
        self.0.put((a.key, (a.kind, a.generation, a.reserved)))
    }
}

impl Files {
    /// Names `files`.
    fn find(run: &Run<'_>, volume: &OpenVolume, files: &[Claimant]) -> Result<Self> {
        let wanted: FileSet = files.iter().map(|(key, _)| *key).collect();
        let names = Names::gather(run, volume, View::Merged, &wanted, None)?;
        let (without_path, paths) = names.apart(run, &wanted);
        let without_kind = files.iter().filter(|(_, kind)| kind.is_none());
        let lacking = without_kind.map(|(key, _)| *key).chain(without_path.iter());
        let lacking: FileSet = lacking.collect();
        Ok(Self {
            kinds: kinds(run, volume, &lacking)?,
            paths,
            names,
        })
    }

    /// All paths of a file, or what it is usually called when no directory names it.
    fn paths(&self, run: &Run<'_>, near: &mut usize, key: FileKey) -> Arc<[PathBytes]> {
        if let Some(paths) = self.paths.get(&key) {
            return Arc::clone(paths);
        }
        let paths = self.names.shared_paths(run, near, key);
        match self.kinds.get(&key) {
            Some((_, _, Some(reserved))) if paths.is_empty() => {
                [reserved.as_bytes().to_vec()].into()
            }
            _ => paths,
        }
    }
}

/// Puts owners together. Most of what follows each other on a disk is one file's, whose paths are
/// remembered.
struct Namer<'a> {
    run: &'a Run<'a>,
    files: &'a Files,
    last: Option<(FileKey, Arc<[PathBytes]>)>,
    /// Where the links of the last one are.
    near: usize,
}

impl Namer<'_> {
    /// The owners of `range`, each piece of a file once.
    fn owners(&mut self, range: ByteRange, claims: &[&Claim]) -> Vec<FileOwner> {
        let mut owners: Vec<FileOwner> = Vec::with_capacity(claims.len());
        for claim in claims {
            let (Owner::File(file), Some(claim)) = (claim.owner, claim.clipped(range)) else {
                continue;
            };
            let last = self.last.take().filter(|(last, _)| *last == file);
            let last =
                last.unwrap_or_else(|| (file, self.files.paths(self.run, &mut self.near, file)));
            let (_, paths) = self.last.insert(last);
            let known = self.files.kinds.get(&file);
            let kind = || known.map(|(kind, ..)| *kind);
            let generation = || known.and_then(|(_, generation, _)| *generation);
            owners.push(FileOwner {
                file,
                generation: claim.generation.or_else(generation),
                kind: claim.kind.or_else(kind),
                paths: Arc::clone(paths),
                stream: claim.stream,
                role: claim.role,
                // Bytes that are the content only once decoded stand at no single place in it.
                file_offset: claim.file_offset.filter(|_| !claim.encoded),
            });
        }
        owners.sort_by(|a, b| identity(a).cmp(&identity(b)));
        owners.dedup_by(|a, b| identity(a) == identity(b));
        owners
    }
}

/// Asks for the kinds of files of which the claims did not say all that is told.
fn kinds(run: &Run<'_>, volume: &OpenVolume, asked: &FileSet) -> Result<HashMap<FileKey, Kind>> {
    let Some(fs) = volume.filesystem() else {
        return Ok(HashMap::new());
    };
    let bound = Bound {
        what: "attributes",
        limit: run.options.limits.files,
        at_once: 256,
    };
    let mut kinds = HashMap::new();
    let question = |files: &FileSet, scan: &Scan<'_>, found: &mut Counted<'_, (FileKey, Kind)>| {
        fs.attributes(files, scan, &mut Kinds(found))
    };
    run.ask_each(
        View::Merged,
        volume,
        asked,
        bound,
        question,
        |(key, kind)| {
            kinds.insert(key, kind);
        },
    )?;
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_all_of_it_and_never_empty() {
        let sets: [&[(u64, u64)]; 6] = [
            &[(4000, 8100)],
            &[(0, 4097)],
            &[(0, 2)],
            &[(5, 6), (9, 10)],
            &[(0, 4096), (8192, 8192 + 4096)],
            &[(0, 1), (10, 1 << 40)],
        ];
        for ranges in sets {
            let set: RangeSet = ranges.iter().map(|(a, b)| ByteRange::new(*a, *b)).collect();
            let (low, high) = halves(&set);
            assert!(!low.is_empty() && !high.is_empty(), "{set:?}");
            assert!(low.bounds().unwrap().end() <= high.bounds().unwrap().start());
            assert_eq!(low.union(&high), set);
        }
    }

    #[test]
    fn a_window_is_cut_into_parts_that_are_all_of_it() {
        let long: RangeSet = ByteRange::new(4096, 4096 + PARTS * PART_BYTES * 3 + 7).into();
        let many = (0..5000u64).map(|n| ByteRange::new(n * 9000, n * 9000 + 4096));
        for window in [long, many.collect(), RangeSet::new()] {
            let parts = parts(&window);
            let end = |set: &RangeSet| set.bounds().map_or(0, |b| b.end());
            assert!(parts.iter().is_sorted_by_key(end));
            assert_eq!(parts.iter().map(RangeSet::len).sum::<u64>(), window.len());
            let most = (window.len() / PARTS).max(PART_BYTES);
            assert!(parts.iter().all(|p| p.runs() <= RANGES && p.len() <= most));
            let all = parts.iter().flat_map(RangeSet::iter);
            assert_eq!(all.collect::<RangeSet>(), window);
        }
    }
}
