//! Linux RAID arrays (md).

mod array;
mod open;
mod superblock;

use hexz_resolve::{
    Descriptor, Group, Member, OpenContext, Probe, Result, VolumeScheme, VolumeSet, Window,
};

use superblock::{Superblock, places};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "md",
    name: "Linux RAID",
    // Two of its places count from the end of the device.
    magics: &[],
    minimum_size: 128 << 10,
    container: true,
    specification: "https://docs.kernel.org/admin-guide/md.html",
};

/// Members of Linux RAID arrays.
#[derive(Clone, Copy, Debug, Default)]
pub struct MdScheme;

impl VolumeScheme for MdScheme {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn probe(&self, window: &Window) -> Probe {
        let found = places(window.size()).into_iter().find_map(|place| {
            let bytes = window.bytes(place.at, superblock::LENGTH)?;
            Superblock::parse(bytes, place)
        });
        match found {
            None => Probe::No,
            Some(Err(error)) => Probe::Damaged {
                reason: error.to_string(),
            },
            Some(Ok(superblock)) => Probe::Match {
                confidence: if superblock.checksum_good { 95 } else { 60 },
                group: Some(Group {
                    id: superblock.set.to_vec(),
                    member: superblock.role.unwrap_or(u64::MAX),
                    members: Some(superblock.disks),
                    generation: superblock.events,
                }),
            },
        }
    }

    fn open(&self, members: &[Member], cx: &OpenContext<'_>) -> Result<VolumeSet> {
        open::open(members, cx).map_err(|error| error.layer("md"))
    }
}
