//! Opening a volume.

use std::sync::Arc;

use hexz_clusters::{ENTRY, Volume};
use hexz_ondisk::{Fields, read};
use hexz_resolve::{
    ByteRange, Diagnostic, FsInfo, FsState, Member, OpenContext, ReadAt, Replayed, Result,
};

use crate::entries::Fat;
use crate::fs::FatFs;
use crate::names;
use crate::ondisk::{Boot, DELETED, Kind, attr};

/// Clusters of the root directory that are searched for its label.
const LABEL_CLUSTERS: usize = 64;

/// Reads the boot sector, and what is said of the volume as a whole.
pub(crate) fn open(members: &[Member], cx: &OpenContext<'_>) -> Result<FatFs> {
    let volume = Arc::clone(Member::only(members)?);
    let boot = Boot::read(&volume)?;
    if boot.size > volume.len() {
        let (size, length) = (boot.size, volume.len());
        let text = format!("the filesystem has {size} bytes, the volume {length}");
        cx.diagnose(Diagnostic::warning("fat-volume-short", text));
    }
    if boot.untold > 0 {
        let text = format!(
            "there is room for {} clusters more than the table can tell of",
            boot.untold
        );
        cx.diagnose(Diagnostic::warning("fat-table-short", text));
    }
    if boot.active_is_wrong {
        let text = "BPB_ExtFlags names a table that there is not; the first one is taken";
        cx.diagnose(Diagnostic::warning("fat-active-table", text).at(40));
    }
    check_copies(&volume, &boot, cx);
    let dirty = in_use(&volume, &boot);
    if dirty {
        let text = "the volume is marked as in use: it was not unmounted, and the newest changes \
                    may not be written";
        cx.diagnose(Diagnostic::info("fat-dirty", text));
    }
    let label = label(&volume, &boot).unwrap_or_else(|| {
        let label = names::label(&boot.bs_vol_lab);
        // What a program writes that was given none.
        Some(label).filter(|l| l != b"NO NAME").unwrap_or_default()
    });
    let info = FsInfo {
        filesystem: boot.kind.name(),
        label,
        uuid: boot
            .bs_vol_id
            .map(|id| format!("{:04X}-{:04X}", id >> 16, id & 0xFFFF)),
        identity: boot.bs_vol_id.unwrap_or_default().to_le_bytes().to_vec(),
        block_size: u32::try_from(boot.heap.cluster_size()).unwrap_or(u32::MAX),
        size: boot.size,
        state: match dirty {
            true => FsState::NeedsRecovery,
            false => FsState::Clean,
        },
        local_times: true,
        ..FsInfo::default()
    };
    let format = Fat { kind: boot.kind };
    Ok(FatFs {
        info,
        volume: Volume::new(format, volume, boot.heap, boot.place(), boot.root()),
        boot,
        replayed: Replayed::default(),
    })
}

/// Whether the volume was in use when it was last written: by the byte in its boot sector, or by
/// the upper bits of the entry of cluster 1, which FAT12 has not.
fn in_use(volume: &dyn ReadAt, boot: &Boot) -> bool {
    let table = boot.table(boot.active).start();
    let clean = match boot.kind {
        Kind::Fat12 => None,
        Kind::Fat16 => read(volume, "table", table.saturating_add(2), 2)
            .ok()
            .and_then(|entry| Fields::new("table", table, &entry).le16(0).ok())
            .map(|entry| entry & 0x8000 != 0),
        Kind::Fat32 => read(volume, "table", table.saturating_add(4), 4)
            .ok()
            .and_then(|entry| Fields::new("table", table, &entry).le32(0).ok())
            .map(|entry| entry & 0x0800_0000 != 0),
    };
    boot.in_use || clean == Some(false)
}

/// Holds the backup of the boot sector and the signatures of the FSInfo against what they should be.
fn check_copies(volume: &dyn ReadAt, boot: &Boot, cx: &OpenContext<'_>) {
    if let Some(backup) = boot.bpb_bk_boot_sec {
        let place = boot.sector_bytes(backup).start();
        let copy = read(volume, "backup boot sector", place, 512);
        let copy = copy.and_then(|bytes| Boot::parse(&Fields::new("backup", place, &bytes)));
        // The byte that says that the volume is in use is written to the first one only.
        let same = copy.is_ok_and(|copy| copy.size == boot.size && copy.heap == boot.heap);
        if !same {
            let text = "the backup boot sector is not a copy of the first one";
            cx.diagnose(Diagnostic::info("fat-backup-boot", text).at(place));
        }
    }
    if let Some(sector) = boot.bpb_fs_info {
        let place = boot.sector_bytes(sector).start();
        let sound = read(volume, "FSInfo", place, 512).is_ok_and(|bytes| {
            let fields = Fields::new("FSInfo", place, &bytes);
            fields.le32(0).is_ok_and(|lead| lead == 0x4161_5252)
                && fields.le32(484).is_ok_and(|middle| middle == 0x6141_7272)
        });
        if !sound {
            let text = "the FSInfo sector has not its signatures";
            cx.diagnose(Diagnostic::info("fat-fsinfo", text).at(place));
        }
    }
}

/// The label in the root directory, which is the one that users set. `None` when there is none or
/// it can't be read: whoever asks for files meets that too.
fn label(volume: &dyn ReadAt, boot: &Boot) -> Option<Vec<u8>> {
    if boot.kind != Kind::Fat32 {
        return label_in(volume, boot.fixed_root).ok().flatten();
    }
    let mut cluster = boot.bpb_root_clus;
    for _ in 0..LABEL_CLUSTERS {
        if !boot.heap.has(cluster) {
            break;
        }
        let bytes = boot.heap.bytes_of(cluster..cluster.checked_add(1)?);
        if let Some(label) = label_in(volume, bytes).ok()? {
            return Some(label);
        }
        cluster = following(volume, boot, cluster).ok()?;
    }
    None
}

/// The cluster behind one of a FAT32.
fn following(volume: &dyn ReadAt, boot: &Boot, cluster: u32) -> Result<u32> {
    let start = boot.place().start;
    let place = start.saturating_add(u64::from(cluster).saturating_mul(4));
    let entry = read(volume, "file allocation table", place, 4)?;
    let entry = Fields::new("file allocation table", place, &entry).le32(0)?;
    Ok(entry & 0x0FFF_FFFF)
}

/// The label in a piece of the root directory; no bytes where the directory ends without one.
fn label_in(volume: &dyn ReadAt, bytes: ByteRange) -> Result<Option<Vec<u8>>> {
    let length = usize::try_from(bytes.len()).unwrap_or_default();
    let bytes = read(volume, "root directory", bytes.start(), length.min(2 << 20))?;
    for entry in bytes.chunks_exact(ENTRY) {
        let fields = Fields::new("directory entry", 0, entry);
        let (first, attributes) = (fields.u8(0)?, fields.u8(11)?);
        if first == 0 {
            break;
        }
        let label = attributes & (attr::VOLUME_ID | attr::DIRECTORY) == attr::VOLUME_ID;
        if first != DELETED && label && attributes & 0x3F != attr::LONG_NAME {
            return Ok(Some(names::label(fields.bytes(0, names::SHORT)?)));
        }
    }
    Ok(None)
}
