//! Opening: superblocks, chunks, the tree of trees.

use std::sync::Arc;

use hexz_ondisk::Guid;
use hexz_resolve::{
    Diagnostic, Error, ErrorKind, FsInfo, FsState, JournalMode, Member, OpenContext, RangeSet,
    ReadAt, Replayed, Result,
};

use crate::btrfs::Btrfs;
use crate::checksum::Checksum;
use crate::chunks::{Chunk, ChunkMap, Devices};
use crate::devices::join;
use crate::logged::Logged;
use crate::logs::Logs;
use crate::node::{Blocks, Findings};
use crate::ondisk::{Key, SUPER_OFFSETS, Superblock, incompat, item, objectid};
use crate::replay::{Rules, replay};
use crate::roots::Roots;
use crate::seeds::{DeviceItem, device_items};
use crate::stash::Stash;
use crate::superblock::{device, superblock_at, system_chunks};
use crate::tree::Tree;

/// Bytes of log trees that are replayed: they are dropped with each commit, and stay small.
const MOST_LOG: u32 = 128 << 20;

/// Opens the filesystem on `members`.
pub(crate) fn open(members: &[Member], cx: &OpenContext<'_>) -> Result<Btrfs> {
    let mut supers = Vec::new();
    for member in members {
        supers.push((superblock(&*member.device, member.start, cx)?, member));
    }
    // What it grew out of is another filesystem.
    let newest = supers
        .iter()
        .max_by_key(|(found, _)| (!found.is_seed, found.generation));
    let Some((superblock, _)) = newest else {
        return Err(Error::corrupt("superblock").message("no device"));
    };
    superblock.check_features()?;
    if superblock.incompat_flags & incompat::RAID56 != 0 && supers.len() > 1 {
        // Only what parity could bring back is not read.
        let text = "what can be had by parity only is not read";
        cx.diagnose(Diagnostic::info("parity-not-used", text));
    }
    let checksum = Checksum::of(superblock.csum_type)?;
    let volume = join(members);
    let mut devices = devices(&supers, superblock, cx);
    let findings = |finding: Diagnostic| cx.diagnose(finding);
    let system = system_chunks(superblock)?;
    let blocks = |chunks: ChunkMap, uuids, cache| {
        Blocks::new(chunks, checksum, superblock.nodesize, uuids, cache)
    };
    let mut uuids = vec![superblock.metadata_uuid];
    let first = blocks(ChunkMap::new(system, &devices)?, uuids.clone(), 1 << 20);
    let ChunkTree {
        chunks,
        devices: named,
        uuid: identity,
    } = ChunkTree::read(&first, &volume, superblock, &findings)?;
    let other = |found: &Superblock| found.is_seed && found.fsid != superblock.fsid;
    for (seed, member) in supers.iter().filter(|(found, _)| other(found)) {
        if named.iter().any(|item| item.is_of(seed)) {
            let place = device(seed, member);
            devices.entry(seed.devid).or_insert(place);
            uuids.push(seed.metadata_uuid);
        } else {
            cx.diagnose(foreign(seed, member));
        }
    }
    let chunks = ChunkMap::new(chunks, &devices)?;
    for devid in chunks.missing() {
        let text = format!("device {devid} is missing: what only it holds can't be read");
        let finding = Diagnostic::warning("device-missing", text);
        cx.diagnose(finding);
    }
    let blocks = blocks(chunks, uuids, cx.limits.cache_bytes);
    let tree = Tree {
        blocks: &blocks,
        volume: &*volume,
        findings: Some(&findings),
        root: superblock.root,
        overlay: None,
        stash: None,
    };
    let mut roots = Roots::default();
    roots.read(&tree)?;
    roots.add(objectid::ROOT_TREE, superblock.root);
    roots.add(objectid::CHUNK_TREE, superblock.chunk_root);
    // What the superblock of a filesystem names that is no more can't be read.
    for id in [objectid::FS_TREE, objectid::EXTENT_TREE] {
        let Some(found) = roots.get(id) else {
            let text = format!("the tree of trees has no tree {id}");
            return Err(Error::corrupt("root tree").message(text));
        };
        let readable = blocks.read(&*volume, found.root, Some(&findings));
        if id == objectid::FS_TREE {
            readable?;
        } else if let Err(error) = readable {
            cx.diagnose(Diagnostic::from(&error));
        }
    }
    let (logged, state) = replay_logs(&tree, &roots, superblock, cx);
    Ok(Btrfs {
        info: FsInfo {
            filesystem: "btrfs",
            label: superblock.label.clone(),
            uuid: Some(Guid::from_bytes(superblock.fsid).to_string()),
            identity: [superblock.fsid.as_slice(), &identity].concat(),
            block_size: superblock.sectorsize,
            size: devices
                .values()
                .filter_map(|device| device.start.checked_add(device.length))
                .max()
                .unwrap_or_default(),
            state,
            transactions_replayed: logged.replayed,
            local_times: false,
        },
        volume,
        blocks,
        roots,
        replayed: Replayed {
            ranges: RangeSet::new(),
            files: logged.files(),
        },
        logged,
        stash: Stash::default(),
    })
}

/// Replays what the superblock's log leads to. A subvolume whose log can't be replayed stays as
/// it was.
fn replay_logs(
    tree: &Tree<'_>,
    roots: &Roots,
    superblock: &Superblock,
    cx: &OpenContext<'_>,
) -> (Logged, FsState) {
    let mut logged = Logged::default();
    if superblock.log_root.bytenr == 0 {
        return (logged, FsState::Clean);
    }
    let failed = |error: &Error, what: &str| {
        let text = format!(
            "{what} is not replayed: what was written and synchronised last is missing: {}",
            error.chain()
        );
        let mut finding = Diagnostic::warning("log-not-replayed", text).losing();
        if let Some(at) = error.offset() {
            finding = finding.at(at);
        }
        cx.diagnose(finding);
    };
    let rules = Rules {
        transaction: superblock.generation.saturating_add(1),
        sectorsize: superblock.sectorsize,
        nodesize: superblock.nodesize,
        no_holes: superblock.incompat_flags & incompat::NO_HOLES != 0,
    };
    let at = |root| Tree { root, ..*tree };
    let most = MOST_LOG
        .checked_div(superblock.nodesize)
        .unwrap_or_default();
    let most = usize::try_from(most).unwrap_or_default();
    let logs = match Logs::read(&at(superblock.log_root), most) {
        Ok(logs) => logs,
        Err(error) => {
            failed(&error, "the log");
            logged.unknown = true;
            return (logged, FsState::NeedsRecovery);
        }
    };
    logged.blocks = logs.blocks;
    if cx.journal == JournalMode::Ignore {
        return (logged, FsState::NeedsRecovery);
    }
    let mut state = FsState::Clean;
    for (id, root) in logs.trees {
        // The log of a subvolume that is gone is thrown away.
        let Some(subvolume) = roots.subvolume(id) else {
            continue;
        };
        let result = replay(at(subvolume.root), at(root), rules);
        if let Err(error) = result.and_then(|outcome| logged.add(id, outcome)) {
            logged.unknown = true;
            failed(&error, &format!("the log of subvolume {id}"));
            state = FsState::NeedsRecovery;
        }
    }
    (logged, state)
}

/// The newest sound superblock of a device.
fn superblock(device: &dyn ReadAt, start: u64, cx: &OpenContext<'_>) -> Result<Superblock> {
    let mut best: Option<Superblock> = None;
    let mut failed = None;
    for (number, at) in SUPER_OFFSETS.into_iter().enumerate() {
        if at.checked_add(4096).is_none_or(|end| end > device.len()) {
            break;
        }
        match superblock_at(device, at) {
            Ok(found) => {
                let newer = best
                    .as_ref()
                    .is_none_or(|b| found.generation > b.generation);
                // A copy that an older filesystem left is none of this one.
                let same = best.as_ref().is_none_or(|b| b.fsid == found.fsid);
                if newer && same {
                    best = Some(found);
                }
            }
            Err(error) if number == 0 => failed = Some(error),
            // Copies are refreshed each time the superblock is written, and may be absent on
            // devices that have grown.
            Err(_) => {}
        }
    }
    match (best, failed) {
        (Some(best), Some(error)) if error.kind() != ErrorKind::Unsupported => {
            let text = format!("{}: a copy is used", error.chain());
            let finding = Diagnostic::warning("superblock-copy", text);
            cx.diagnose(finding.at(start.saturating_add(SUPER_OFFSETS[0])));
            Ok(best)
        }
        (_, Some(error)) => Err(error),
        (Some(best), None) => Ok(best),
        (None, None) => Err(Error::corrupt("superblock").message("the device is too short")),
    }
}

/// The finding about a device that is of another filesystem.
fn foreign(found: &Superblock, member: &Member) -> Diagnostic {
    let text = format!("device {} is of another filesystem", found.devid);
    Diagnostic::warning("foreign-device", text).at(member.start)
}

/// The devices of the filesystem that were found.
fn devices(supers: &[(Superblock, &Member)], newest: &Superblock, cx: &OpenContext<'_>) -> Devices {
    let mut devices = Devices::new();
    for (found, member) in supers {
        if found.fsid != newest.fsid {
            // Whether a seed belongs to it, its chunk tree says.
            if !found.is_seed {
                cx.diagnose(foreign(found, member));
            }
            continue;
        }
        if found.generation != newest.generation {
            let text = format!(
                "device {} was last written in transaction {}, others in {}",
                found.devid, found.generation, newest.generation
            );
            cx.diagnose(Diagnostic::warning("stale-device", text).at(member.start));
        }
        let length = member.device.len();
        if found.device_bytes > length {
            let text = format!(
                "device {} has {} bytes, and is {length} long",
                found.devid, found.device_bytes
            );
            cx.diagnose(Diagnostic::warning("volume-short", text).losing());
        }
        let device = device(found, member);
        devices.entry(found.devid).or_insert(device);
    }
    devices
}

/// What the chunk tree holds.
struct ChunkTree {
    chunks: Vec<Chunk>,
    devices: Vec<DeviceItem>,
    /// That of the tree, which `mkfs` makes anew each time.
    uuid: [u8; 16],
}

impl ChunkTree {
    fn read(
        blocks: &Blocks,
        volume: &Arc<dyn ReadAt>,
        superblock: &Superblock,
        findings: Findings<'_>,
    ) -> Result<Self> {
        let tree = Tree {
            blocks,
            volume: &**volume,
            findings: Some(findings),
            root: superblock.chunk_root,
            overlay: None,
            stash: None,
        };
        let uuid = tree.read(superblock.chunk_root)?.chunk_tree_uuid;
        let mut chunks = Vec::new();
        tree.each(
            Key::new(objectid::FIRST_CHUNK, item::CHUNK_ITEM, 0),
            Key::new(objectid::FIRST_CHUNK, item::CHUNK_ITEM, u64::MAX),
            |found| {
                chunks.push(Chunk::parse(found.key, &found.fields)?.0);
                Ok(true)
            },
        )?;
        Ok(Self {
            chunks,
            devices: device_items(&tree)?,
            uuid,
        })
    }
}
