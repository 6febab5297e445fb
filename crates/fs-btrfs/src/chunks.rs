//! Chunks: how logical addresses, by which all of the filesystem speaks, lie on the devices.
//!
//! A volume address is a byte of the devices laid end to end, in the order in which they were
//! given; a device that is missing has none.

use std::collections::BTreeMap;

use hexz_ondisk::Fields;
use hexz_resolve::{ByteRange, Error, Result};

use crate::ondisk::{Key, profile};

/// Stripes of a chunk: no device holds more than one or two, and there are not many devices.
const MOST_STRIPES: u16 = 1024;

/// A device of the filesystem that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    /// Volume address of its first byte.
    pub(crate) start: u64,
    /// How much of it the filesystem uses, as far as it reaches.
    pub(crate) length: u64,
}

/// The devices that were found, by `devid`.
pub(crate) type Devices = BTreeMap<u64, Device>;

/// Where one stripe of a chunk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stripe {
    devid: u64,
    /// Byte of the device.
    physical: u64,
}

/// `struct btrfs_chunk`.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// Logical addresses.
    pub(crate) range: ByteRange,
    /// Block group flags.
    pub(crate) kind: u64,
    stripe_len: u64,
    /// Stripes that hold the same bytes, for RAID10.
    sub_stripes: u64,
    stripes: Vec<Stripe>,
    /// Bytes that each stripe takes up on its device.
    stripe_size: u64,
}

impl Chunk {
    /// Bytes of the item before its stripes, and of a stripe.
    const HEADER: usize = 48;
    const STRIPE: usize = 32;

    /// The chunk in an item, and how many bytes the item has.
    pub(crate) fn parse(key: Key, fields: &Fields<'_>) -> Result<(Self, usize)> {
        let length = fields.le64(0)?;
        let range = ByteRange::at(key.offset, length).filter(|r| !r.is_empty());
        let Some(range) = range else {
            return Err(fields.corrupt(0).found(format_args!("length {length}")));
        };
        let (stripe_len, kind) = (fields.le64(16)?, fields.le64(24)?);
        let (count, sub_stripes) = (fields.le16(44)?, fields.le16(46)?);
        if count == 0 || count > MOST_STRIPES || stripe_len == 0 {
            let error = fields.corrupt(44).expected("some stripes");
            return Err(error.found(format_args!("{count} of {stripe_len} bytes")));
        }
        let mut stripes = Vec::new();
        let mut at = Self::HEADER;
        for _ in 0..count {
            stripes.push(Stripe {
                devid: fields.le64(at)?,
                physical: fields.le64(at.saturating_add(8))?,
            });
            at = at.saturating_add(Self::STRIPE);
        }
        let mut chunk = Self {
            range,
            kind,
            stripe_len,
            sub_stripes: u64::from(sub_stripes),
            stripes,
            stripe_size: 0,
        };
        let data = chunk.data_stripes();
        let Some(data) = data.filter(|data| *data > 0) else {
            let error = fields
                .corrupt(24)
                .expected("a profile that fits its stripes");
            return Err(error.found(format_args!("{kind:#x} with {count} stripes")));
        };
        chunk.stripe_size = length.div_ceil(data);
        Ok((chunk, at))
    }

    fn is(&self, kind: u64) -> bool {
        self.kind & kind != 0
    }

    fn count(&self) -> u64 {
        u64::try_from(self.stripes.len()).unwrap_or_default()
    }

    fn parities(&self) -> u64 {
        match (self.is(profile::RAID5), self.is(profile::RAID6)) {
            (_, true) => 2,
            (true, _) => 1,
            _ => 0,
        }
    }

    /// How many stripes hold different bytes.
    fn data_stripes(&self) -> Option<u64> {
        if self.is(profile::RAID0) {
            Some(self.count())
        } else if self.is(profile::RAID10) {
            self.count().checked_div(self.sub_stripes)
        } else if self.parities() > 0 {
            self.count().checked_sub(self.parities())
        } else {
            Some(1)
        }
    }

    /// Whether neighbouring bytes lie on different devices.
    fn is_striped(&self) -> bool {
        self.is(profile::RAID0 | profile::RAID10 | profile::RAID5 | profile::RAID6)
    }

    /// The stripes that hold the byte at `inner` of the chunk, the offset in each, and how many
    /// bytes follow it there.
    fn locate(&self, inner: u64) -> Option<(std::ops::Range<u64>, u64, u64)> {
        let rest = self.range.len().checked_sub(inner)?;
        if !self.is_striped() {
            return Some((0..self.count(), inner, rest));
        }
        let number = inner.checked_div(self.stripe_len)?;
        let within = inner.checked_rem(self.stripe_len)?;
        let data = self.data_stripes()?;
        let (row, column) = (number.checked_div(data)?, number.checked_rem(data)?);
        let first = if self.is(profile::RAID10) {
            column.checked_mul(self.sub_stripes)?
        } else if self.parities() > 0 {
            // Parity moves on by one device with each row.
            row.checked_add(column)?.checked_rem(self.count())?
        } else {
            column
        };
        let copies = match self.is(profile::RAID10) {
            true => self.sub_stripes,
            false => 1,
        };
        let offset = row.checked_mul(self.stripe_len)?.checked_add(within)?;
        let length = self.stripe_len.checked_sub(within)?.min(rest);
        Some((first..first.checked_add(copies)?, offset, length))
    }

    /// What lies at byte `offset` of stripe `index`, and how many bytes of it follow.
    fn used_for(&self, index: u64, offset: u64) -> Option<(Use, u64)> {
        let rest = self.stripe_size.checked_sub(offset)?;
        if !self.is_striped() {
            let logical = self.range.start().checked_add(offset)?;
            return Some((Use::Logical(logical), rest));
        }
        let row = offset.checked_div(self.stripe_len)?;
        let within = offset.checked_rem(self.stripe_len)?;
        let length = self.stripe_len.checked_sub(within)?.min(rest);
        let data = self.data_stripes()?;
        let column = if self.is(profile::RAID10) {
            index.checked_div(self.sub_stripes)?
        } else if self.parities() > 0 {
            let turned = row.checked_rem(self.count())?;
            let index = index.checked_add(self.count())?.checked_sub(turned)?;
            index.checked_rem(self.count())?
        } else {
            index
        };
        if column >= data {
            return Some((Use::Parity, length));
        }
        let number = row.checked_mul(data)?.checked_add(column)?;
        let inner = number.checked_mul(self.stripe_len)?.checked_add(within)?;
        let logical = self.range.start().checked_add(inner)?;
        match self.range.contains(logical) {
            true => Some((
                Use::Logical(logical),
                length.min(self.range.end().checked_sub(logical)?),
            )),
            false => Some((Use::Nothing, length)),
        }
    }
}

/// What a range of a volume is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The bytes at this logical address.
    Logical(u64),
    /// Parity of RAID5 or RAID6.
    Parity,
    /// Nothing: it is in no chunk.
    Nothing,
}

/// A logical range that is contiguous on each device that has it, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) logical: ByteRange,
    /// Volume addresses of all copies that were found.
    pub(crate) copies: Vec<u64>,
}

/// A stripe on its device.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Volume addresses.
    range: ByteRange,
    chunk: usize,
    stripe: u64,
}

/// All chunks, and what they take up of the devices.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChunkMap {
    /// By logical address; they do not overlap.
    chunks: Vec<Chunk>,
    /// By volume address. On a sound filesystem they do not overlap.
    extents: Vec<Extent>,
    devices: Devices,
}

impl ChunkMap {
    /// The map of `chunks` on `devices`.
    ///
    /// # Errors
    /// `Corrupt` when chunks overlap.
    pub(crate) fn new(mut chunks: Vec<Chunk>, devices: &Devices) -> Result<Self> {
        chunks.sort_by_key(|chunk| chunk.range);
        chunks.dedup_by_key(|chunk| chunk.range);
        let pairs = chunks.iter().zip(chunks.iter().skip(1));
        for (one, next) in pairs {
            if one.range.end() > next.range.start() {
                let error = Error::corrupt("chunk").expected("chunks that do not overlap");
                return Err(error.found(format_args!("{:?} and {:?}", one.range, next.range)));
            }
        }
        let mut map = Self {
            chunks,
            extents: Vec::new(),
            devices: devices.clone(),
        };
        for (number, chunk) in map.chunks.iter().enumerate() {
            for (stripe, index) in chunk.stripes.iter().zip(0u64..) {
                let range = map
                    .address(*stripe, 0)
                    .and_then(|at| ByteRange::at(at, chunk.stripe_size));
                map.extents.extend(range.map(|range| Extent {
                    range,
                    chunk: number,
                    stripe: index,
                }));
            }
        }
        map.extents.sort_by_key(|extent| extent.range);
        Ok(map)
    }

    fn address(&self, stripe: Stripe, offset: u64) -> Option<u64> {
        let device = self.devices.get(&stripe.devid)?;
        let physical = stripe.physical.checked_add(offset)?;
        device.start.checked_add(physical)
    }

    /// The devices that were found.
    pub(crate) const fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Devices that chunks name and that were not found.
    pub(crate) fn missing(&self) -> Vec<u64> {
        let named = self.chunks.iter().flat_map(|c| &c.stripes);
        let mut missing: Vec<u64> = named
            .map(|stripe| stripe.devid)
            .filter(|devid| !self.devices.contains_key(devid))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// The chunk that holds a logical address.
    pub(crate) fn chunk(&self, logical: u64) -> Option<&Chunk> {
        let at = self.chunks.partition_point(|c| c.range.end() <= logical);
        self.chunks.get(at).filter(|c| c.range.contains(logical))
    }

    /// The chunks, by logical address.
    #[cfg(test)]
    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Where the byte at `logical` and those that follow it lie.
    pub(crate) fn place(&self, logical: u64) -> Option<Place> {
        let chunk = self.chunk(logical)?;
        let inner = logical.checked_sub(chunk.range.start())?;
        let (stripes, offset, length) = chunk.locate(inner)?;
        let first = usize::try_from(stripes.start).ok()?;
        let end = usize::try_from(stripes.end).ok()?;
        let stripes = chunk.stripes.get(first..end)?;
        Some(Place {
            logical: ByteRange::at(logical, length)?,
            copies: stripes
                .iter()
                .filter_map(|stripe| self.address(*stripe, offset))
                .collect(),
        })
    }

    /// The places of a logical range, rising; what is in no chunk is left out.
    pub(crate) fn places(&self, range: ByteRange) -> impl Iterator<Item = Place> + '_ {
        let mut at = range.start();
        std::iter::from_fn(move || {
            while at < range.end() {
                let Some(mut place) = self.place(at) else {
                    let next = self.chunks.partition_point(|c| c.range.start() <= at);
                    at = self.chunks.get(next)?.range.start();
                    continue;
                };
                place.logical = place.logical.intersection(&range)?;
                at = place.logical.end();
                return Some(place);
            }
            None
        })
    }

    /// Calls `visit` with what each part of a volume range is used for, rising. A byte that two
    /// chunks of a damaged filesystem claim is visited for each.
    pub(crate) fn uses(&self, range: ByteRange, mut visit: impl FnMut(ByteRange, Use)) {
        let mut reached = range.start();
        // Stripes are not sorted by their ends where they overlap; that is rare, and few are long.
        let first = self
            .extents
            .partition_point(|e| e.range.start() <= range.start());
        let mut from = first;
        while from > 0 && first.saturating_sub(from) < 4 {
            from = from.saturating_sub(1);
        }
        for extent in self.extents.get(from..).unwrap_or_default() {
            if extent.range.start() >= range.end() {
                break;
            }
            let Some(part) = extent.range.intersection(&range).filter(|p| !p.is_empty()) else {
                continue;
            };
            if part.start() > reached {
                visit(ByteRange::new(reached, part.start()), Use::Nothing);
            }
            reached = reached.max(part.end());
            self.extent_uses(extent, part, &mut visit);
        }
        if reached < range.end() {
            visit(ByteRange::new(reached, range.end()), Use::Nothing);
        }
    }

    fn extent_uses(
        &self,
        extent: &Extent,
        part: ByteRange,
        visit: &mut impl FnMut(ByteRange, Use),
    ) {
        let Some(chunk) = self.chunks.get(extent.chunk) else {
            return;
        };
        let mut at = part.start();
        while at < part.end() {
            let offset = at.saturating_sub(extent.range.start());
            let Some((used, length)) = chunk.used_for(extent.stripe, offset) else {
                return;
            };
            let end = at.saturating_add(length.max(1)).min(part.end());
            visit(ByteRange::new(at, end), used);
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(kind: u64, count: u64, sub_stripes: u64, length: u64) -> ChunkMap {
        let devices: Devices = (0..count)
            .map(|n| {
                let start = n * 0x1000_0000;
                (
                    n + 1,
                    Device {
                        start,
                        length: 0x1000_0000,
                    },
                )
            })
            .collect();
        let mut chunk = Chunk {
            range: ByteRange::new(0x5000_0000, 0x5000_0000 + length),
            kind,
            stripe_len: 65536,
            sub_stripes,
            stripes: (1..=count)
                .map(|devid| Stripe {
                    devid,
                    physical: 1 << 20,
                })
                .collect(),
            stripe_size: 0,
        };
        chunk.stripe_size = length / chunk.data_stripes().unwrap();
        ChunkMap::new(vec![chunk], &devices).unwrap()
    }

    /// Each byte of a logical range lies where its place says, and no parity is elsewhere.
    #[test]
    fn places_and_uses_agree() {
        for (kind, count, sub, copies, parities) in [
            (0, 1, 1, 1, 0),
            (1 << 4, 2, 1, 2, 0),
            (profile::RAID0, 3, 1, 1, 0),
            (profile::RAID10, 4, 2, 2, 0),
            (profile::RAID5, 3, 1, 1, 1),
            (profile::RAID6, 5, 1, 1, 2),
        ] {
            let length = 6 * 4 * 65536;
            let map = map(kind, count, sub, length);
            let logical = map.chunks()[0].range;
            let mut seen = 0;
            for place in map.places(logical) {
                assert_eq!(place.copies.len(), copies, "{kind:#x}");
                seen += place.logical.len();
                for copy in place.copies {
                    let range = ByteRange::at(copy, place.logical.len()).unwrap();
                    let mut at = place.logical.start();
                    map.uses(range, |part, used| {
                        assert_eq!(used, Use::Logical(at), "{kind:#x}");
                        at += part.len();
                    });
                }
            }
            assert_eq!(seen, length);
            let (mut data, mut parity) = (0, 0);
            for n in 0..count {
                let range = ByteRange::at(n * 0x1000_0000, 0x1000_0000).unwrap();
                map.uses(range, |part, used| match used {
                    Use::Logical(_) => data += part.len(),
                    Use::Parity => parity += part.len(),
                    Use::Nothing => {}
                });
            }
            assert_eq!(data, length * copies as u64, "{kind:#x}");
            let rows = length / 65536 / (count - parities).max(1);
            assert_eq!(parity, rows * parities * 65536, "{kind:#x}");
        }
    }
}
