//! Pass 1: the claims of one view of one volume, and who has what once they are laid over each
//! other.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use super::run::Run;
use super::volume::OpenVolume;
use crate::{
    Bounded, ByteRange, Claim, Class, ErrorKind, ExtentKey, ExtentSet, FileKey, FileKind,
    Filesystem, Owner, RangeCursor, RangeSet, Result, Role, Scan, Sink, View,
};

/// Claims that share a byte with what was wanted, sorted by start.
pub(super) struct Claims<C = Claim> {
    sorted: Vec<C>,
    /// For each, how far it and those before it reach.
    reach: Vec<u64>,
}

impl<C> Default for Claims<C> {
    fn default() -> Self {
        Self {
            sorted: Vec::new(),
            reach: Vec::new(),
        }
    }
}

/// What claims bytes.
pub(super) trait Covers: Ord + Send {
    /// The bytes, in the volume.
    fn range(&self) -> ByteRange;
}

impl Covers for Claim {
    fn range(&self) -> ByteRange {
        self.range
    }
}

/// A file that made a claim, and its kind where a claim told it.
pub(super) type Claimant = (FileKey, Option<FileKind>);

/// The files that made `claims`, by key. Most plugins go through files in the order of their
/// numbers, which makes this cheap as long as the claims lie as they came.
fn claimants(claims: &[Claim]) -> Vec<Claimant> {
    let mut files: Vec<Claimant> = Vec::with_capacity(claims.len());
    files.extend(claims.iter().filter_map(|claim| match claim.owner {
        Owner::File(key) => Some((key, claim.kind)),
        _ => None,
    }));
    // A kind that is known comes before none.
    files.sort_by_key(|(file, kind)| (*file, Reverse(*kind)));
    files.dedup_by_key(|(file, _)| *file);
    files
}

/// Takes the claims of the files that share an extent in the place of the claim of the extent. An
/// extent that no file shares is claimed by no one.
pub(super) fn share_out(
    fs: &dyn Filesystem,
    scan: &Scan<'_>,
    extents: Vec<ExtentKey>,
    claims: &mut dyn Sink<Claim>,
) -> Result<()> {
    let extents: ExtentSet = extents.into_iter().collect();
    if extents.is_empty() {
        return Ok(());
    }
    fs.sharers(&extents, scan, claims)
}

/// Takes out the extents that are claimed as such.
fn shared_extents(claims: &mut Vec<Claim>) -> Vec<ExtentKey> {
    let mut extents = Vec::new();
    claims.retain(|claim| match claim.owner {
        Owner::Extent(key) => {
            extents.push(key);
            false
        }
        _ => true,
    });
    extents
}

/// What a filesystem does not reach is no one's.
pub(super) fn behind_filesystem(fs: &dyn Filesystem, volume: &OpenVolume) -> Option<Claim> {
    let (end, length) = (fs.info().size, volume.map.len());
    let behind = || Claim::structure(ByteRange::new(end, length), Role::Gap, "behind-filesystem");
    (end < length).then(behind)
}

/// The owner's word for a piece of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) class: Class,
    pub(super) detail: &'static str,
}

impl Claims {
    /// Asks the filesystem of `volume` who owns `wanted` (in volume offsets). Gives the claims with
    /// the files that made them; unless there are more than `most` claims: then `None`, and nothing
    /// was noted.
    pub(super) fn gather_few(
        run: &Run<'_>,
        volume: &OpenVolume,
        view: View,
        wanted: &RangeSet,
        most: usize,
    ) -> Result<Option<(Self, Vec<Claimant>)>> {
        let Some(fs) = volume.filesystem().filter(|_| !wanted.is_empty()) else {
            return Ok(Some(Default::default()));
        };
        // Of each range an owner, and of some of them one more.
        let expected = wanted.runs().saturating_add(wanted.runs() / 2);
        let mut claims = Bounded::new("claims", most).expecting(expected);
        let mut full = false;
        run.pass(view, volume, None, |scan| {
            let mut found = fs.claims(wanted, scan, &mut run.watched(&mut claims));
            if found.is_ok() {
                let extents = shared_extents(&mut claims.items);
                found = share_out(fs, scan, extents, &mut run.watched(&mut claims));
            }
            match found {
                Err(error) if error.kind() == ErrorKind::Limit && claims.items.len() >= most => {
                    full = true;
                    Ok(())
                }
                other => other,
            }
        })?;
        if full {
            return Ok(None);
        }
        let files = claimants(&claims.items);
        claims.items.extend(behind_filesystem(fs, volume));
        let claims = Self::sorted(run, claims.items, wanted);
        Ok(Some((claims, files)))
    }
}

impl<C: Covers> Claims<C> {
    /// Those of the claims `sorted` that share a byte with `wanted`, each once.
    pub(super) fn sorted(run: &Run<'_>, mut sorted: Vec<C>, wanted: &RangeSet) -> Self {
        run.sort(&mut sorted, C::cmp);
        let wanted = RangeCursor::new(wanted);
        let (mut end, mut reach) = (0, Vec::with_capacity(sorted.len()));
        sorted.dedup();
        sorted.retain(|claim| {
            let kept = wanted.overlaps(claim.range());
            if kept {
                end = claim.range().end().max(end);
                reach.push(end);
            }
            kept
        });
        Self { sorted, reach }
    }

    /// The claims, by start.
    pub(super) fn iter(&self) -> impl Iterator<Item = &C> {
        self.sorted.iter()
    }

    /// Hands out the pieces of `wanted` that are claimed, rising, each with all claims that
    /// cover it, until `piece` has enough. No piece overlaps another, and claims don't change
    /// within one. Gives the first place that more claims cover than are looked at.
    pub(super) fn for_each_piece(
        &self,
        run: &Run<'_>,
        wanted: &RangeSet,
        mut piece: impl FnMut(ByteRange, &[&C]) -> ControlFlow<()>,
    ) -> Option<u64> {
        let limit = run.options.limits.owners_per_byte;
        let mut over = None;
        let first = wanted.bounds()?.start();
        let first = self.reach.partition_point(|reach| *reach <= first);
        let coming = self.sorted.get(first..).unwrap_or_default();
        let mut coming = coming.iter().peekable();
        let mut active: Vec<&C> = Vec::new();
        for range in wanted {
            let mut at = range.start();
            while at < range.end() {
                active.retain(|claim| claim.range().end() > at);
                while let Some(claim) = coming.next_if(|claim| claim.range().start() <= at) {
                    if claim.range().end() <= at {
                        continue;
                    }
                    if active.len() < limit {
                        active.push(claim);
                    } else {
                        over = over.or(Some(at));
                    }
                }
                let ends = active.iter().map(|claim| claim.range().end());
                let starts = coming.peek().map(|claim| claim.range().start());
                let end = ends.chain(starts).fold(range.end(), u64::min);
                if !active.is_empty() && piece(ByteRange::new(at, end), &active).is_break() {
                    return over;
                }
                at = end;
            }
        }
        over
    }
}

/// The word of the heaviest of the claims that cover a piece.
pub(super) fn heaviest(claims: &[&Claim]) -> Option<Label> {
    let weight = |claim: &&&Claim| (weight(claim.owner), claim.role, claim.detail);
    let claim = claims.iter().min_by_key(weight)?;
    Some(Label {
        class: claim.role.class(),
        detail: claim.detail,
    })
}

/// How much an owner weighs beside others; the lightest number decides.
pub(super) fn weight(owner: Owner) -> u8 {
    match owner {
        Owner::File(_) => 0,
        Owner::Extent(_) => 1,
        Owner::Structure => 2,
        Owner::Free => 3,
    }
}

/// Where the journals of the two views show other content than lies on the disk.
pub(super) fn replayed(filesystems: [Option<&dyn Filesystem>; 2]) -> RangeSet {
    filesystems
        .into_iter()
        .flatten()
        .fold(RangeSet::new(), |all, fs| all.union(&fs.replayed().ranges))
}
