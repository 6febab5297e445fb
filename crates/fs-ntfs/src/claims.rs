//! Pass 1: who owns given ranges.

use std::cell::RefCell;
use std::collections::BTreeSet;

use hexz_resolve::{ByteRange, Claim, Error, FsState, Owner, RangeSet, Result, Role, Scan, Sink};

use crate::file::{Body, File};
use crate::fs::Ntfs;
use crate::mft::Slice;
use crate::ondisk::{Geometry, Reference, corrupt, kind};
use crate::pieces::Holder;
use crate::sweep::{Bases, Heads, Pending, Swept, sweep};

/// Records that are kept for the metadata files and what they need.
const METADATA: u64 = 64;

/// What a sweep knows of records that belong together.
#[derive(Default)]
struct Sweeping {
    heads: Heads,
    bases: Bases,
    pending: Vec<Pending>,
    /// Records of the directories that name the files in wanted blocks.
    parents: BTreeSet<u64>,
}

impl Ntfs {
    pub(crate) fn all_claims(
        &self,
        wanted: &RangeSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        let end = self.info.size.min(self.reader.len());
        let wanted = &wanted.clipped(ByteRange::new(0, end));
        if wanted.is_empty() {
            return Ok(());
        }
        let explained = RefCell::new(Vec::new());
        let mut put = |claim: Claim| -> Result<()> {
            match claim.clipped(ByteRange::new(0, end)) {
                Some(claim) if wanted.overlaps(claim.range) => {
                    explained.borrow_mut().push(claim.range);
                    out.put(self.systems.apply(claim))
                }
                _ => Ok(()),
            }
        };
        self.fixed_claims(&mut put)?;
        self.free_claims(wanted, cx, &mut put)?;
        // A cluster has one owner: when the records that were read explain all that is wanted, the
        // others own none of it. So those in wanted blocks come first, and those of metadata files;
        // then the directories that name the former, since their entries change along with them.
        let mut sweeping = Sweeping::default();
        let mut rest: RangeSet = ByteRange::new(0, self.mft.records).into();
        for round in 0..3 {
            let now = match round {
                0 => {
                    let metadata = RangeSet::from(ByteRange::new(0, METADATA));
                    rest.intersection(&self.mft.numbers_in(wanted).union(&metadata))
                }
                1 => {
                    let parents = sweeping.parents.iter();
                    let numbers = parents.filter_map(|number| ByteRange::at(*number, 1));
                    rest.intersection(&numbers.collect())
                }
                _ => rest.clone(),
            };
            rest = rest.difference(&now);
            let slices = self.mft.slices_of(cx.limits().unit_bytes, &now);
            self.sweep_slices(&slices, wanted, cx, &mut sweeping, &mut put)?;
            let sound = !cx.is_partial() && self.info.state == FsState::Clean;
            if sound && sweeping.pending.is_empty() && round < 2 {
                let explained: RangeSet = explained.borrow().iter().copied().collect();
                if wanted.difference(&explained).is_empty() {
                    return Ok(());
                }
            }
        }
        self.settle(&sweeping, cx, &mut put)
    }

    /// What has its place whatever the records say.
    fn fixed_claims(&self, put: &mut dyn FnMut(Claim) -> Result<()>) -> Result<()> {
        for (_, range) in &self.mft.pieces {
            put(Claim::structure(*range, Role::InodeTable, "$MFT"))?;
        }
        let mut at = self.mft.geometry.clusters_end();
        if let Some(copy) = self.boot_copy {
            put(Claim::structure(copy, Role::Boot, "$Boot"))?;
            put(gap(ByteRange::new(at, copy.start())))?;
            at = copy.end();
        }
        put(gap(ByteRange::new(at, self.info.size)))
    }

    /// All that the file records of `slices` tell of, and the records themselves.
    fn sweep_slices(
        &self,
        slices: &[Slice],
        wanted: &RangeSet,
        cx: &Scan<'_>,
        sweeping: &mut Sweeping,
        put: &mut dyn FnMut(Claim) -> Result<()>,
    ) -> Result<()> {
        let Sweeping {
            heads,
            bases,
            pending,
            parents,
        } = sweeping;
        cx.units(
            "ntfs-claims",
            &self.reader,
            slices,
            |slice, reader| sweep(slice, wanted, reader),
            |slice, found: &Swept| {
                cx.advance(slice.length());
                for claim in &found.claims {
                    put(claim.clone())?;
                }
                bases.extend(found.bases.iter().copied());
                parents.extend(found.parents.iter().copied());
                heads.extend(found.heads.iter().map(|(k, v)| (k.clone(), *v)));
                pending.extend(found.pending.iter().cloned());
                if pending.len().max(bases.len()) > cx.limits().claims {
                    return Err(Error::limit("extension records", "too many"));
                }
                Ok(())
            },
        )
    }

    /// What waited for its base record, now that all were met.
    fn settle(
        &self,
        sweeping: &Sweeping,
        cx: &Scan<'_>,
        put: &mut dyn FnMut(Claim) -> Result<()>,
    ) -> Result<()> {
        for piece in &sweeping.pending {
            let id = piece.base();
            if sweeping.bases.contains(&id) {
                piece.resolve(&sweeping.heads, put)?;
            } else {
                self.stray(piece, id, cx)?;
            }
        }
        Ok(())
    }

    /// An extension record whose base is no such file.
    fn stray(&self, piece: &Pending, id: Reference, cx: &Scan<'_>) -> Result<()> {
        match piece {
            Pending::Record { number, .. } => {
                let what = format!("an extension of file {id}, which has none");
                let error = corrupt("file record", self.mft.place(*number), &what);
                cx.tolerate(error.message(format!("record {number}")).layer("ntfs"))
            }
            // Told with its record, if anyone asked for that.
            Pending::Piece { .. } => Ok(()),
        }
    }

    /// The whole content of files: their unnamed data, then their named streams.
    pub(crate) fn extents_of(
        &self,
        files: &hexz_resolve::FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Claim>,
    ) -> Result<()> {
        let end = self.info.size.min(self.reader.len());
        self.each_file(
            "ntfs-extents",
            files,
            cx,
            |file, _, found: &mut Vec<Claim>| {
                found.extend(file.data_claims(&self.mft.geometry));
                Ok(())
            },
            |claim| {
                let claim = self.systems.apply(claim.clone());
                let content = matches!(claim.role, Role::Data | Role::Unwritten);
                debug_assert!(matches!(claim.owner, Owner::File(_)));
                match claim.clipped(ByteRange::new(0, end)) {
                    Some(claim) if content => out.put(claim),
                    _ => Ok(()),
                }
            },
        )
    }
}

/// Behind the last whole cluster.
fn gap(range: ByteRange) -> Claim {
    Claim::structure(range, Role::Gap, "behind-clusters")
}

impl File {
    /// The claims of the unnamed data and of the named streams, each by rising offset.
    fn data_claims(&self, geometry: &Geometry) -> Vec<Claim> {
        let mut out = Vec::new();
        let mut boundary = u64::MAX;
        let data = self.attributes.iter().filter(|a| a.kind == kind::DATA);
        for attribute in data {
            let holder = Holder::new(self.id, kind::DATA, &attribute.name);
            let pieces = match &attribute.body {
                Body::Resident { pieces, .. } => {
                    boundary = u64::MAX;
                    pieces.clone()
                }
                Body::Extent(extent) => {
                    if extent.lowest_vcn == 0 {
                        boundary = extent.boundary;
                    }
                    extent.pieces(geometry)
                }
            };
            for piece in &pieces {
                holder.claims(piece, boundary, |claim| out.push(claim));
            }
        }
        out
    }
}
