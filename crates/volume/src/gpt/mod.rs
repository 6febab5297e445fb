//! GUID partition tables.

mod copies;
mod entries;
mod header;
mod open;
mod probe;

pub(crate) use probe::{SECTORS, has_sound_header};

use hexz_resolve::{
    Descriptor, Error, Member, OpenContext, Probe, Result, VolumeScheme, VolumeSet, Window,
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
        open::open(device, cx).map_err(|error| error.layer("gpt"))
    }
}
