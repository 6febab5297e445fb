//! Partition tables in the manner of MS-DOS, with logical partitions.

mod ebr;
mod ondisk;
mod open;
mod probe;

pub(crate) use ondisk::{SIZE, Table};

use hexz_resolve::{
    Descriptor, Error, Member, OpenContext, Probe, Result, VolumeScheme, VolumeSet, Window,
};

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
        let device = members.first().map(|m| &*m.device);
        let device = device.ok_or_else(|| Error::corrupt("MBR").message("no device"))?;
        open::open(device, cx).map_err(|error| error.layer("mbr"))
    }
}
