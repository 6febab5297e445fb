//! The claims of one view as far as a diff needs them, kept small: all are held at once, and there
//! may be millions.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::gather::{Claims, Covers, Label, behind_filesystem, share_out, weight};
use super::run::Run;
use super::volume::OpenVolume;
use super::words::Words;
use crate::{
    ByteRange, Claim, Error, ExtentKey, FileKey, Owner, RangeSet, RawName, Result, Role, Shared,
    Sink, View,
};

/// An offset in a file, or none: no byte can stand at the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Offset(u64);

impl Offset {
    fn new(offset: Option<u64>) -> Self {
        Self(offset.unwrap_or(u64::MAX))
    }

    pub(super) fn get(self) -> Option<u64> {
        (self.0 != u64::MAX).then_some(self.0)
    }
}

/// One claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PackedClaim {
    pub(super) range: ByteRange,
    file: FileKey,
    pub(super) file_offset: Offset,
    /// Index of the stream and one; 0 for the unnamed content.
    pub(super) stream: u32,
    /// Number of role and detail.
    word: u16,
    /// Of its owner.
    weight: u8,
    pub(super) encoded: bool,
}

impl Covers for PackedClaim {
    fn range(&self) -> ByteRange {
        self.range
    }
}

impl PackedClaim {
    /// The file that made it, if one did.
    pub(super) fn file(&self) -> Option<FileKey> {
        (self.weight == weight(Owner::File(self.file))).then_some(self.file)
    }
}

/// The claims of one view of one volume.
#[derive(Default)]
pub(super) struct Packed {
    claims: Claims<PackedClaim>,
    words: Words<(Role, &'static str)>,
    streams: Vec<RawName>,
}

impl Packed {
    /// Asks the filesystem of `volume` who owns `wanted` (in volume offsets).
    pub(super) fn gather(
        run: &Run<'_>,
        volume: &OpenVolume,
        view: View,
        wanted: &RangeSet,
        shared: Option<&Shared>,
    ) -> Result<Self> {
        let Some(fs) = volume.filesystem().filter(|_| !wanted.is_empty()) else {
            return Ok(Self::default());
        };
        let mut packing = Packing {
            limit: run.options.limits.claims,
            ..Packing::default()
        };
        run.pass(view, volume, shared, |scan| {
            fs.claims(wanted, scan, &mut run.watched(&mut packing))?;
            let extents = std::mem::take(&mut packing.extents);
            share_out(fs, scan, extents, &mut run.watched(&mut packing))
        })?;
        // It counts against no limit.
        packing.limit = usize::MAX;
        behind_filesystem(fs, volume)
            .into_iter()
            .try_for_each(|claim| packing.put(claim))?;
        let mut streams: Vec<(RawName, u32)> = packing.streams.into_iter().collect();
        streams.sort_unstable_by_key(|(_, index)| *index);
        Ok(Self {
            claims: Claims::sorted(run, packing.claims, wanted),
            words: packing.words,
            streams: streams.into_iter().map(|(name, _)| name).collect(),
        })
    }

    /// The claims, by start.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PackedClaim> {
        self.claims.iter()
    }

    /// The role that a claim's bytes have for its owner.
    pub(super) fn role(&self, claim: &PackedClaim) -> Option<Role> {
        self.words.get(claim.word).map(|(role, _)| *role)
    }

    /// The names of the streams, by [`PackedClaim::stream`], which counts from 1.
    pub(super) fn streams(&self) -> &[RawName] {
        &self.streams
    }

    /// Gives the claimed pieces of `wanted` with the word of the heaviest claim, coalesced.
    pub(super) fn labelled(
        &self,
        run: &Run<'_>,
        wanted: &RangeSet,
        mut out: impl FnMut(ByteRange, Label) -> Result<()>,
    ) -> Result<()> {
        let mut last: Option<(ByteRange, Label)> = None;
        let mut given = Ok(());
        let crowded = self.claims.for_each_piece(run, wanted, |range, claims| {
            let word = |claim: &PackedClaim| {
                let word = self.words.get(claim.word);
                word.map(|(role, detail)| (claim.weight, *role, *detail))
            };
            let Some((_, role, detail)) = claims.iter().filter_map(|claim| word(claim)).min()
            else {
                return ControlFlow::Continue(());
            };
            let label = Label {
                class: role.class(),
                detail,
            };
            match &mut last {
                Some((last, same)) if last.end() == range.start() && *same == label => {
                    *last = ByteRange::new(last.start(), range.end());
                }
                last => {
                    if let Some((range, label)) = last.replace((range, label)) {
                        given = out(range, label);
                    }
                }
            }
            match given.is_ok() && run.check().is_ok() {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        given?;
        run.check()?;
        if let Some((range, label)) = last {
            out(range, label)?;
        }
        if let Some(at) = crowded {
            run.crowded(at);
        }
        Ok(())
    }
}

/// Takes claims, and packs them.
#[derive(Default)]
struct Packing {
    claims: Vec<PackedClaim>,
    limit: usize,
    words: Words<(Role, &'static str)>,
    streams: BTreeMap<RawName, u32>,
    /// Extents whose sharers take the place of their claims.
    extents: Vec<ExtentKey>,
}

impl Packing {
    fn stream(&mut self, stream: Option<RawName>) -> Result<u32> {
        let Some(stream) = stream else {
            return Ok(0);
        };
        let new = u32::try_from(self.streams.len() + 1).ok();
        let new = new.filter(|new| *new <= u32::MAX / 2);
        let new = new.ok_or_else(|| Error::limit("claims", "too many streams"))?;
        Ok(*self.streams.entry(stream).or_insert(new))
    }
}

impl Sink<Claim> for Packing {
    fn put(&mut self, claim: Claim) -> Result<()> {
        let file = match claim.owner {
            Owner::File(file) => file,
            Owner::Extent(extent) => {
                self.extents.push(extent);
                return Ok(());
            }
            Owner::Structure | Owner::Free => FileKey::new(0),
        };
        if self.claims.len() >= self.limit {
            return Err(Error::limit("claims", format!("more than {}", self.limit)));
        }
        let word = self.words.number((claim.role, claim.detail));
        let packed = PackedClaim {
            range: claim.range,
            file,
            file_offset: Offset::new(claim.file_offset),
            stream: self.stream(claim.stream)?,
            word: word.ok_or_else(|| Error::limit("claims", "too many details"))?,
            weight: weight(claim.owner),
            encoded: claim.encoded,
        };
        self.claims.push(packed);
        Ok(())
    }
}
