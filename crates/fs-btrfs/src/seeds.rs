//! Seeds: devices of a filesystem that is never written any more, and that another one grew out of.
//! The chunk tree of the other one names them, each with the UUID of the filesystem it is of.

use hexz_ondisk::Fields;
use hexz_resolve::{Member, Result};

use crate::checksum::Checksum;
use crate::chunks::{ChunkMap, Devices};
use crate::devices::join;
use crate::node::Blocks;
use crate::ondisk::{Key, SUPER_OFFSETS, Superblock, item, objectid};
use crate::superblock::{device, superblock_at, system_chunks};
use crate::tree::Tree;

/// `struct btrfs_dev_item`, as far as it says which device it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceItem {
    pub(crate) devid: u64,
    pub(crate) uuid: [u8; 16],
    pub(crate) fsid: [u8; 16],
}

impl DeviceItem {
    fn parse(fields: &Fields<'_>) -> Result<Self> {
        Ok(Self {
            devid: fields.le64(0)?,
            uuid: fields.array(66)?,
            fsid: fields.array(82)?,
        })
    }

    /// Whether it is about the device with this superblock.
    pub(crate) fn is_of(&self, superblock: &Superblock) -> bool {
        self.devid == superblock.devid
            && self.uuid == superblock.device_uuid
            && self.fsid == superblock.fsid
    }
}

/// The devices that a chunk tree names.
pub(crate) fn device_items(chunk_tree: &Tree<'_>) -> Result<Vec<DeviceItem>> {
    let mut found = Vec::new();
    chunk_tree.each(
        Key::new(objectid::DEV_ITEMS, item::DEV_ITEM, 0),
        Key::new(objectid::DEV_ITEMS, item::DEV_ITEM, u64::MAX),
        |item| {
            found.push(DeviceItem::parse(&item.fields)?);
            Ok(true)
        },
    )?;
    Ok(found)
}

/// The devices of other filesystems that the one on `members` names: the UUID of each of these, and
/// the number of the device.
pub(crate) fn named(members: &[Member]) -> Result<Vec<(Vec<u8>, u64)>> {
    let supers = members.iter().map(|member| {
        let found = superblock_at(&*member.device, SUPER_OFFSETS[0]).ok();
        found.map(|found| (found, member))
    });
    let supers: Vec<(Superblock, &Member)> = supers.flatten().collect();
    let newest = supers.iter().max_by_key(|(found, _)| found.generation);
    let Some((newest, _)) = newest.filter(|(found, _)| !found.is_seed) else {
        return Ok(Vec::new());
    };
    newest.check_features()?;
    let devices: Devices = supers
        .iter()
        .map(|(found, member)| (found.devid, device(found, member)))
        .collect();
    let chunks = ChunkMap::new(system_chunks(newest)?, &devices)?;
    let checksum = Checksum::of(newest.csum_type)?;
    let uuids = vec![newest.metadata_uuid];
    let blocks = Blocks::new(chunks, checksum, newest.nodesize, uuids, 1 << 20);
    let volume = join(members);
    let items = device_items(&Tree {
        blocks: &blocks,
        volume: &*volume,
        findings: None,
        root: newest.chunk_root,
        overlay: None,
        stash: None,
    })?;
    let others = items.into_iter().filter(|item| item.fsid != newest.fsid);
    Ok(others
        .map(|item| (item.fsid.to_vec(), item.devid))
        .collect())
}
