//! From a place on the disk to the file that holds it.

use std::ops::ControlFlow;

use hexz_resolve::{ByteRange, Error, Result};

use super::header::SECTOR;
use super::sparse::Sparse;
use crate::file::RawFile;
use crate::layer::{ImageId, Layer, Packed, Place, Visit};

/// An open image: what its files hold.
pub(super) struct Vmdk {
    /// In the order of the disk, without gaps.
    extents: Vec<(ByteRange, Source)>,
    cid: Option<ImageId>,
}

/// What holds a stretch of the disk.
pub(super) enum Source {
    Zeros,
    Flat { file: RawFile, skip: u64 },
    Sparse(Box<Sparse>),
}

impl Vmdk {
    pub(super) fn new(extents: Vec<(ByteRange, Source)>, cid: Option<ImageId>) -> Self {
        Self { extents, cid }
    }

    /// The extents that `range` touches, and their numbers.
    fn touched(&self, range: ByteRange) -> impl Iterator<Item = (usize, &(ByteRange, Source))> {
        let before = |extent: &(ByteRange, Source)| extent.0.end() <= range.start();
        let first = self.extents.partition_point(before);
        let rest = self.extents.iter().enumerate().skip(first);
        rest.take_while(move |(_, (extent, _))| extent.start() < range.end())
    }
}

impl Layer for Vmdk {
    fn size(&self) -> u64 {
        self.extents.last().map_or(0, |(range, _)| range.end())
    }

    fn unit(&self) -> u64 {
        let grains = self.extents.iter().filter_map(|(_, source)| match source {
            Source::Sparse(sparse) => Some(sparse.grain()),
            Source::Zeros | Source::Flat { .. } => None,
        });
        let least = grains.min().filter(|grain| grain.is_power_of_two());
        least.unwrap_or(SECTOR)
    }

    fn pieces(&self, range: ByteRange, visit: &mut Visit<'_>) -> ControlFlow<()> {
        for (number, (extent, source)) in self.touched(range) {
            let Some(piece) = extent.intersection(&range) else {
                continue;
            };
            let inside = piece.moved_down(extent.start()).unwrap_or(piece);
            match source {
                Source::Zeros => visit(piece, Place::Zero)?,
                Source::Flat { skip, .. } => {
                    let offset = inside.start().saturating_add(*skip);
                    let file = number;
                    visit(piece, Place::At { file, offset })?;
                }
                Source::Sparse(sparse) => {
                    let mut moved = |piece: ByteRange, place| {
                        visit(piece.moved_up(extent.start()).unwrap_or(piece), place)
                    };
                    sparse.pieces(number, inside, &mut moved)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn file(&self, number: usize) -> Option<&RawFile> {
        match self.extents.get(number) {
            Some((_, Source::Flat { file, .. })) => Some(file),
            Some((_, Source::Sparse(sparse))) => Some(&sparse.file),
            _ => None,
        }
    }

    fn read_packed(&self, packed: Packed, piece: ByteRange, out: &mut [u8]) -> Result<()> {
        let Some((extent, Source::Sparse(sparse))) = self.extents.get(packed.file) else {
            return Err(Error::corrupt("vmdk extent").message("no file with grains"));
        };
        let inside = piece.moved_down(extent.start()).unwrap_or(piece);
        sparse.read_packed(packed.offset, inside, out)
    }

    fn id(&self) -> Option<ImageId> {
        self.cid.clone()
    }
}
