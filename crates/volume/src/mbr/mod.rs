//! Partition tables in the manner of MS-DOS, with logical partitions.

mod ebr;
mod ondisk;
mod open;
mod probe;

pub(crate) use ondisk::{SIZE, Table};

use crate::types::SECTORS;
use hexz_resolve::{
    Descriptor, Error, Member, OpenContext, Probe, Result, VolumeScheme, VolumeSet, Window,
};

/// Bytes of a sector, unless something tells otherwise.
const SECTOR: u64 = 512;

/// Partition tables in the manner of MS-DOS.
#[derive(Clone, Copy, Debug, Default)]
pub struct MbrScheme;

impl VolumeScheme for MbrScheme {
    fn descriptor(&self) -> &'static Descriptor {
        &probe::DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        probe::probe(window)
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<VolumeSet> {
        self.open_with_sectors(members, SECTOR, cx)
    }

    fn sector_sizes(&self) -> &'static [u64] {
        &SECTORS
    }

    fn open_with_sectors(
        &self,
        members: &[Member],
        sector: u64,
        cx: &OpenContext<'_>,
    ) -> Result<VolumeSet> {
        let device = members.first().map(|m| &*m.device);
        let device = device.ok_or_else(|| Error::corrupt("MBR").message("no device"))?;
        open::open(device, sector, cx).map_err(|error| error.layer("mbr"))
    }
}
