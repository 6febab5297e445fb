//! GUID partition tables.

mod copies;
mod entries;
mod header;
mod open;
mod probe;

pub(crate) use probe::has_sound_header;

use crate::fields;
use crate::types::SECTORS;

use hexz_resolve::{
    Descriptor, Error, Member, OpenContext, Probe, Records, Result, Structure, VolumeScheme,
    VolumeSet, Window,
};

/// GUID partition tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct GptScheme;

impl VolumeScheme for GptScheme {
    fn descriptor(&self) -> &'static Descriptor {
        &probe::DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        probe::probe(window)
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<VolumeSet> {
        let device = members.first().map(|m| &*m.device);
        let device = device.ok_or_else(|| Error::corrupt("GPT").message("no device"))?;
        open::open(device, &SECTORS, cx).map_err(|error| error.layer("gpt"))
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
        let device = device.ok_or_else(|| Error::corrupt("GPT").message("no device"))?;
        open::open(device, &[sector], cx).map_err(|error| error.layer("gpt"))
    }

    fn records(&self, structure: &Structure) -> Vec<Records> {
        fields::records(structure)
    }
}
