//! Partition tables and volume managers, and where a volume's bytes lie on the disk.

use std::sync::Arc;

use crate::{
    ByteRange, Descriptor, Error, OpenContext, Probe, RangeSet, ReadAt, ReadError, Records, Result,
    Role, Window, check_bounds,
};

/// One contiguous piece of a volume on the device below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Offset in the volume.
    pub volume: u64,
    /// Offset on the device below.
    pub device: u64,
    /// Bytes.
    pub length: u64,
}

/// Where the bytes of a volume lie on the device below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ByteMap {
    segments: Vec<Segment>,
}

impl ByteMap {
    /// One contiguous volume, such as a partition.
    #[must_use]
    pub fn contiguous(device: ByteRange) -> Self {
        Self {
            segments: vec![Segment {
                volume: 0,
                device: device.start(),
                length: device.len(),
            }],
        }
    }

    /// A volume of several segments, which must follow each other in the volume from 0 on without
    /// gap or overlap and stay within 64 bits.
    #[must_use]
    pub fn from_segments(segments: Vec<Segment>) -> Option<Self> {
        let mut at = 0u64;
        for segment in &segments {
            if segment.volume != at {
                return None;
            }
            at = at.checked_add(segment.length)?;
            segment.device.checked_add(segment.length)?;
        }
        Some(Self { segments })
    }

    /// The segments, in the order of the volume.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Length of the volume in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.segments.last().map_or(0, |s| s.volume + s.length)
    }

    /// Whether the volume has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces of a range of the volume on the device, in the order of the volume. What lies
    /// past the end of the volume has none.
    pub fn to_device(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        let from = self
            .segments
            .partition_point(|s| s.volume + s.length <= range.start());
        self.segments
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(move |s| s.volume < range.end())
            .filter_map(move |s| {
                let part = range.intersection(&ByteRange::new(s.volume, s.volume + s.length))?;
                part.moved_down(s.volume)?.moved_up(s.device)
            })
    }

    /// Where one byte of the volume lies on the device.
    #[must_use]
    pub fn device_offset(&self, offset: u64) -> Option<u64> {
        self.to_device(ByteRange::at(offset, 1)?)
            .next()
            .map(|r| r.start())
    }

    /// The part of a set of device ranges that lies in this volume, in volume offsets.
    #[must_use]
    pub fn to_volume(&self, device: &RangeSet) -> RangeSet {
        self.segments
            .iter()
            .flat_map(|s| {
                let range = ByteRange::new(s.device, s.device + s.length);
                device
                    .overlapping(range)
                    .filter_map(move |r| r.moved_down(s.device)?.moved_up(s.volume))
            })
            .collect()
    }

    /// The device ranges the volume takes up.
    #[must_use]
    pub fn device_ranges(&self) -> RangeSet {
        self.segments
            .iter()
            .map(|s| ByteRange::new(s.device, s.device + s.length))
            .collect()
    }

    /// This map, whose device is itself a volume mapped by `below`, as a map onto the device of
    /// `below`; cut where `below` ends.
    #[must_use]
    pub fn through(&self, below: &Self) -> Self {
        let mut segments = Vec::new();
        let mut volume = 0;
        for segment in &self.segments {
            let range = ByteRange::new(segment.device, segment.device + segment.length);
            let mut had = 0;
            for device in below.to_device(range) {
                segments.push(Segment {
                    volume,
                    device: device.start(),
                    length: device.len(),
                });
                volume += device.len();
                had += device.len();
            }
            if had < segment.length {
                break;
            }
        }
        Self { segments }
    }
}

/// A volume as bytes: its map over the device below.
pub struct MappedReader {
    device: Arc<dyn ReadAt>,
    map: ByteMap,
}

impl MappedReader {
    /// The bytes of `device` in the order of `map`.
    #[must_use]
    pub fn new(device: Arc<dyn ReadAt>, map: ByteMap) -> Self {
        Self { device, map }
    }
}

impl ReadAt for MappedReader {
    fn len(&self) -> u64 {
        self.map.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        check_bounds(offset, buf.len(), self.len())?;
        let mut rest = buf;
        for piece in self
            .map
            .to_device(ByteRange::new(offset, offset + rest.len() as u64))
        {
            // A piece is never longer than what is left of `buf`.
            let (now, later) = rest.split_at_mut(piece.len() as usize);
            self.device.read_exact_at(piece.start(), now)?;
            rest = later;
        }
        Ok(())
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let device: RangeSet = self
            .map
            .to_device(range)
            .flat_map(|r| Vec::from(self.device.data_in(r).as_slice()))
            .collect();
        self.map.to_volume(&device).clipped(range)
    }
}

/// A device that a plugin opens, alone or as one of several that hold one volume.
#[derive(Clone)]
pub struct Member {
    /// Its bytes.
    pub device: Arc<dyn ReadAt>,
    /// Its two ends.
    pub window: Window,
    /// Where its bytes begin among the offsets of the volume: after those of the members before
    /// it.
    pub start: u64,
}

impl Member {
    /// The only member of a volume.
    #[must_use]
    pub fn alone(device: Arc<dyn ReadAt>) -> Self {
        let window = Window::read(&*device);
        Self {
            device,
            window,
            start: 0,
        }
    }

    /// The device, for a format that lies on one.
    ///
    /// # Errors
    /// `Unsupported` when there are several, or none.
    pub fn only(members: &[Self]) -> Result<&Arc<dyn ReadAt>> {
        match members {
            [member] => Ok(&member.device),
            _ => Err(Error::unsupported(
                "volume",
                format!("{} devices for a format that lies on one", members.len()),
            )),
        }
    }
}

/// One volume that a scheme found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundVolume {
    /// `p2` for a partition, `vg/lv` for a logical volume.
    pub name: String,
    /// Where it lies on the (first) member.
    pub map: ByteMap,
    /// GUID of a GPT partition, `0x83` for an MBR one, in the words of its specification.
    pub partition_type: Option<String>,
    /// Name in the table.
    pub label: Option<String>,
    /// Why it can't be read, when it can't.
    pub unusable: Option<Unusable>,
}

/// Why a volume can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The table says of it what can't be: that it lies beyond the disk.
    Damaged(String),
    /// It needs what is not here, or not implemented: another member, a kind of mapping.
    Unsupported(String),
    /// It is the store of a snapshot, and holds only what differs between that and its origin.
    Snapshot {
        /// Name of the origin, `vg/lv`.
        origin: String,
        /// For people.
        reason: String,
    },
}

impl Unusable {
    /// For people.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Damaged(reason) | Self::Unsupported(reason) | Self::Snapshot { reason, .. } => {
                reason
            }
        }
    }
}

/// A range that belongs to the scheme itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Bytes of the (first) member.
    pub range: ByteRange,
    /// [`Role::PartitionTable`], [`Role::VolumeMetadata`] or [`Role::Boot`].
    pub role: Role,
    /// The finer word: `gpt-header`, `gpt-entries`, `mbr`, `ebr`.
    pub detail: &'static str,
}

/// What a scheme found on a device. What is in no volume and no structure is a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeSet {
    /// The volumes, in the order of their names' numbers. They should not overlap; where they do
    /// the engine gives a byte to the first.
    pub volumes: Vec<FoundVolume>,
    /// The scheme's own ranges.
    pub structures: Vec<Structure>,
    /// Bytes of a sector in which it counts, where it does.
    pub sector_size: Option<u64>,
}

/// A partition table or volume manager format.
pub trait VolumeScheme: Send + Sync + 'static {
    /// What it is.
    fn descriptor(&self) -> &'static Descriptor;

    /// Whether a device with this window is of this format. Pure and bounded; must not panic.
    fn probe(&self, window: &Window) -> Probe;

    /// Reads the table. Where it is damaged, gives what can be had and a diagnostic.
    ///
    /// # Errors
    /// When nothing can be had.
    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<VolumeSet>;

    /// The records with named fields in a structure of a table of this format; offsets are those
    /// of `structure`. The detail of a structure tells which format's it is.
    fn records(&self, _structure: &Structure) -> Vec<Records> {
        Vec::new()
    }

    /// Sizes of a sector in which a partition table of this format may count; none for what
    /// counts in bytes. Detection tries them all, and takes the one that fits what the partitions
    /// hold.
    fn sector_sizes(&self) -> &'static [u64] {
        &[]
    }

    /// As [`open`](Self::open), counting in sectors of `sector` bytes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn open_with_sectors(
        &self,
        members: &[Member],
        _sector: u64,
        cx: &OpenContext<'_>,
    ) -> Result<VolumeSet> {
        self.open(members, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> ByteMap {
        ByteMap::from_segments(vec![
            Segment {
                volume: 0,
                device: 100,
                length: 10,
            },
            Segment {
                volume: 10,
                device: 20,
                length: 30,
            },
        ])
        .unwrap()
    }

    #[test]
    fn segments_must_follow_each_other() {
        let gap = vec![Segment {
            volume: 1,
            device: 0,
            length: 5,
        }];
        assert_eq!(ByteMap::from_segments(gap), None);
    }

    #[test]
    fn maps_both_ways() {
        let device: Vec<_> = map().to_device(ByteRange::new(5, 15)).collect();
        assert_eq!(device, [ByteRange::new(105, 110), ByteRange::new(20, 25)]);
        let back = map().to_volume(&device.into_iter().collect());
        assert_eq!(back, ByteRange::new(5, 15).into());
    }

    #[test]
    fn a_volume_in_a_volume_is_cut_where_the_lower_one_ends() {
        let upper = ByteMap::contiguous(ByteRange::new(8, 60));
        let through = upper.through(&map());
        assert_eq!(
            through.segments(),
            [
                Segment {
                    volume: 0,
                    device: 108,
                    length: 2
                },
                Segment {
                    volume: 2,
                    device: 20,
                    length: 30
                }
            ]
        );
    }

    #[test]
    fn reads_across_segments() {
        let disk: Vec<u8> = (0..=255).collect();
        let reader = MappedReader::new(Arc::new(disk), map());
        let mut buf = [0; 4];
        reader.read_exact_at(8, &mut buf).unwrap();
        assert_eq!(buf, [108, 109, 20, 21]);
        assert!(reader.read_exact_at(38, &mut buf).is_err());
    }
}
