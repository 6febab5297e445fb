//! Partition tables and volume managers, and where a volume's bytes lie on the disk.

mod map;
mod mapped;
mod rebuild;
mod stripes;

pub use self::map::{ByteMap, Piece, Places, Rule, Segment};
pub use self::mapped::MappedReader;
pub use self::stripes::{Parity, StripeLayout, Stripes, Turn};
use crate::{ByteRange, Descriptor, Member, OpenContext, Probe, Records, Result, Role, Window};

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
    /// Members, by their index, that hold nothing of the volumes, each with the reason: their
    /// bytes come out raw.
    pub left: Vec<(usize, String)>,
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
