//! LVM2 physical volumes: the logical volumes that lie on them.

mod area;
mod images;
mod label;
mod map;
mod open;
mod text;
mod vg;

use hexz_resolve::{
    Descriptor, Error, Group, Magic, Member, OpenContext, Probe, Result, VolumeScheme, VolumeSet,
    Window,
};

use label::{LABEL, Label, SECTOR, SECTORS};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "lvm2",
    name: "LVM2",
    magics: &[
        Magic::at(0, LABEL),
        Magic::at(512, LABEL),
        Magic::at(1024, LABEL),
        Magic::at(1536, LABEL),
    ],
    minimum_size: SECTORS * 512,
    container: true,
    specification: "https://github.com/libyal/libvslvm/blob/main/documentation/Logical%20Volume%20Manager%20%28LVM%29%20format.asciidoc",
};

/// LVM2 physical volumes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lvm2Scheme;

impl VolumeScheme for Lvm2Scheme {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        let sectors = (0..SECTORS).filter_map(|n| {
            let at = n.checked_mul(512)?;
            Label::parse(window.bytes(at, SECTOR)?, at)
        });
        let mut found: Vec<_> = sectors.collect();
        found.sort_by_key(|label| label.as_ref().is_ok_and(|l| l.checksum_good));
        match found.pop() {
            None => Probe::No,
            Some(Err(error)) => Probe::Damaged {
                reason: error.to_string(),
            },
            // All are one set, since those without metadata don't say whose they are.
            Some(Ok(label)) => Probe::Match {
                confidence: if label.checksum_good { 95 } else { 60 },
                group: Some(Group {
                    id: Vec::new(),
                    member: number(&label.uuid),
                    members: None,
                    generation: 0,
                }),
            },
        }
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<VolumeSet> {
        if members.is_empty() {
            return Err(Error::corrupt("lvm2").message("no device"));
        }
        open::open(members, cx).map_err(|error| error.layer("lvm2"))
    }
}

/// A number for an UUID: two are alike only where the UUIDs are, but for chance.
fn number(uuid: &str) -> u64 {
    // FNV-1a, without the number that stands for no place.
    let step = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    uuid.bytes().fold(0xCBF2_9CE4_8422_2325, step) >> 1
}
