//! The sweep of pass 1: one slice of the MFT, record by record, with what does not reach the
//! wanted bytes left out at once.

use std::collections::{BTreeSet, HashMap};

use hexz_resolve::{ByteRange, Claim, RangeSet, Result, Role, UnitReader};

use crate::mft::Slice;
use crate::ondisk::{Reference, corrupt, kind, number};
use crate::pieces::Holder;
use crate::record::{Attribute, Extent, Layout, Piece, Record, run_pieces};
use crate::runs::Run;

/// Base records that have an attribute list.
pub(crate) type Bases = BTreeSet<Reference>;
/// From where on an attribute with several extents reads as zeros; looked up only.
pub(crate) type Heads = HashMap<Head, u64>;
/// An attribute: its file, type and name.
type Head = (Reference, u32, Vec<u8>);

/// What one slice gave.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) claims: Vec<Claim>,
    pub(crate) bases: Vec<Reference>,
    pub(crate) heads: Vec<(Head, u64)>,
    /// Records of the directories that name the files whose records are wanted.
    pub(crate) parents: Vec<u64>,
    pub(crate) pending: Vec<Pending>,
}

/// What waits for its base record.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    /// An extension record, in one of its places.
    Record {
        id: Reference,
        number: u64,
        range: ByteRange,
    },
    /// A piece of an attribute; where `boundary` is not known, its first extent tells it.
    Piece {
        holder: Holder,
        name: Vec<u8>,
        piece: Piece,
        boundary: Option<u64>,
    },
}

impl Pending {
    pub(crate) fn base(&self) -> Reference {
        match self {
            Self::Record { id, .. } => *id,
            Self::Piece { holder, .. } => holder.id,
        }
    }

    /// The claims, now that the base is known to be there.
    pub(crate) fn resolve(
        &self,
        heads: &Heads,
        put: &mut dyn FnMut(Claim) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Record { id, range, .. } => put(id.claim(*range, Role::InodeRecord)),
            Self::Piece {
                holder,
                name,
                piece,
                boundary,
            } => {
                let head = || heads.get(&(holder.id, holder.kind, name.clone())).copied();
                let boundary = boundary.or_else(head).unwrap_or(u64::MAX);
                let mut claims = Vec::new();
                holder.claims(piece, boundary, |claim| claims.push(claim));
                claims.into_iter().try_for_each(put)
            }
        }
    }
}

/// Finds what of `wanted` the records of `slice` tell of.
pub(crate) fn sweep(slice: &Slice, wanted: &RangeSet, reader: &UnitReader<'_>) -> Result<Swept> {
    let mut found = Swept::default();
    slice.records(reader, |record| {
        let mut one = One {
            slice,
            wanted,
            record,
            id: record.file(),
            is_base: record.base().is_none(),
            found: &mut found,
        };
        let asked = one.own_bytes();
        for attribute in record.attributes() {
            let done = attribute.and_then(|attribute| one.attribute(&attribute, asked));
            if let Err(what) = done {
                reader.tolerate(
                    corrupt("attribute", slice.place(record.number), what)
                        .message(format!("record {}", record.number))
                        .layer("ntfs"),
                )?;
            }
        }
        Ok(())
    })?;
    Ok(found)
}

struct One<'a> {
    slice: &'a Slice,
    wanted: &'a RangeSet,
    record: Record<'a>,
    id: Reference,
    is_base: bool,
    found: &'a mut Swept,
}

impl One<'_> {
    /// The record itself; gives back whether any of it is wanted.
    fn own_bytes(&mut self) -> bool {
        let whole = ByteRange::new(0, self.slice.geometry.record);
        let number = self.record.number;
        let mut asked = false;
        for (_, range) in self.slice.places(number, whole) {
            if !self.wanted.overlaps(range) {
                continue;
            }
            asked = true;
            if self.is_base {
                let claim = self.id.claim(range, Role::InodeRecord);
                self.found.claims.push(claim);
            } else {
                let id = self.id;
                self.found
                    .pending
                    .push(Pending::Record { id, number, range });
            }
        }
        asked
    }

    fn attribute(&mut self, attribute: &Attribute<'_>, asked: bool) -> Result<(), &'static str> {
        if attribute.kind == kind::ATTRIBUTE_LIST && self.is_base {
            self.found.bases.push(self.id);
        }
        if !attribute.is_resident() {
            return self.extent(attribute, &attribute.extent()?);
        }
        if asked && attribute.kind == kind::FILE_NAME {
            let name = attribute
                .value()
                .and_then(|(name, _)| Reference::read(name, 0));
            self.found.parents.extend(name.map(|parent| parent.number));
        }
        if !asked || attribute.kind != kind::DATA {
            return Ok(());
        }
        let (_, value) = attribute.value().ok_or("a value out of bounds")?;
        let name = attribute.name()?;
        for (offset, within) in self.record.places(value) {
            let places: Vec<_> = self.slice.places(self.record.number, within).collect();
            for (at, range) in places {
                let piece = Piece {
                    offset: offset.saturating_add(at),
                    range,
                    encoded: false,
                };
                self.piece(attribute.kind, &name, piece, Some(u64::MAX));
            }
        }
        Ok(())
    }

    fn extent(
        &mut self,
        attribute: &Attribute<'_>,
        extent: &Extent<'_>,
    ) -> Result<(), &'static str> {
        let geometry = &self.slice.geometry;
        if self.id.number == number::MFT && attribute.kind == kind::DATA {
            // Its records are claimed one by one.
            return Ok(());
        }
        let boundary = (extent.lowest_vcn == 0).then(|| extent.boundary(geometry));
        if let (Some(boundary), true) = (boundary, extent.is_head_of_more(geometry)) {
            let key = (self.id, attribute.kind, attribute.name()?);
            self.found.heads.push((key, boundary));
        }
        let mut next = extent.lowest_vcn;
        if let Layout::Compressed(_) = extent.layout() {
            let runs: Vec<Run> = extent.runs(geometry).collect::<Result<_, _>>()?;
            for (index, run) in runs.iter().enumerate() {
                next = run.end_vcn();
                self.run(attribute, extent, &runs, index, boundary)?;
            }
        } else {
            for run in extent.runs(geometry) {
                let run = run?;
                next = run.end_vcn();
                self.run(attribute, extent, &[run], 0, boundary)?;
            }
        }
        if next != extent.end_vcn {
            return Err("mapping pairs that don't reach highest_vcn");
        }
        Ok(())
    }

    fn run(
        &mut self,
        attribute: &Attribute<'_>,
        extent: &Extent<'_>,
        runs: &[Run],
        index: usize,
        boundary: Option<u64>,
    ) -> Result<(), &'static str> {
        let geometry = self.slice.geometry;
        let Some((lcn, length)) = runs.get(index).and_then(|r| Some((r.lcn?, r.length))) else {
            return Ok(());
        };
        if !self.wanted.overlaps(geometry.bytes(lcn, length)) {
            return Ok(());
        }
        let name = attribute.name()?;
        run_pieces(index, runs, extent.layout(), &geometry, |piece| {
            if self.wanted.overlaps(piece.range) {
                self.piece(attribute.kind, &name, piece, boundary);
            }
        });
        Ok(())
    }

    fn piece(&mut self, kind: u32, name: &[u8], piece: Piece, boundary: Option<u64>) {
        let holder = Holder::new(self.id, kind, name);
        match boundary {
            Some(boundary) if self.is_base => {
                let claims = &mut self.found.claims;
                holder.claims(&piece, boundary, |claim| claims.push(claim));
            }
            _ => self.found.pending.push(Pending::Piece {
                holder,
                name: name.to_vec(),
                piece,
                boundary,
            }),
        }
    }
}
