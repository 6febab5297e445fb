//! Opening a volume.

use std::sync::Arc;

use hexz_clusters::{Root, Volume};
use hexz_ondisk::{Fields, read};
use hexz_resolve::{Diagnostic, FsInfo, FsState, Member, OpenContext, ReadAt, Replayed, Result};

use crate::entries::Exfat;
use crate::fs::ExfatFs;
use crate::ondisk::{BOOT, Boot, REGION};
use crate::system::System;

/// Reads the boot sector, and what the root directory says of the volume.
pub(crate) fn open(members: &[Member], cx: &OpenContext<'_>) -> Result<ExfatFs> {
    let volume = Arc::clone(Member::only(members)?);
    let (boot, from_backup) = Boot::read(&volume)?;
    if from_backup {
        let text = "the boot sector makes no sense: its backup is taken";
        cx.diagnose(Diagnostic::warning("exfat-boot-sector", text).at(0));
    } else {
        check_backup(&volume, &boot, cx);
    }
    if boot.size > volume.len() {
        let (size, length) = (boot.size, volume.len());
        let text = format!("the filesystem has {size} bytes, the volume {length}");
        cx.diagnose(Diagnostic::warning("exfat-volume-short", text));
    }
    if boot.is_dirty() {
        let text = "the volume is marked as in use: it was not unmounted, and the newest changes \
                    may not be written";
        cx.diagnose(Diagnostic::info("exfat-dirty", text));
    }
    let system = System::read(&volume, &boot, cx);
    if system.bitmaps.iter().all(Option::is_none) {
        let text = "the root directory names no allocation bitmap: what is free is not known";
        cx.diagnose(Diagnostic::warning("exfat-no-bitmap", text));
    }
    let id = boot.volume_serial_number;
    let info = FsInfo {
        filesystem: "exfat",
        label: system.label.clone(),
        uuid: Some(format!("{:04X}-{:04X}", id >> 16, id & 0xFFFF)),
        identity: id.to_le_bytes().to_vec(),
        block_size: u32::try_from(boot.heap.cluster_size()).unwrap_or(u32::MAX),
        size: boot.size,
        state: match boot.is_dirty() {
            true => FsState::NeedsRecovery,
            false => FsState::Clean,
        },
        local_times: true,
        ..FsInfo::default()
    };
    let root = Root::Chain(boot.first_cluster_of_root_directory);
    Ok(ExfatFs {
        info,
        volume: Volume::new(Exfat, volume, boot.heap, boot.place(), root),
        boot,
        system,
        replayed: Replayed::default(),
    })
}

/// Says when the backup boot region is of another volume, or none.
fn check_backup(volume: &dyn ReadAt, boot: &Boot, cx: &OpenContext<'_>) {
    let place = boot.sector.saturating_mul(REGION);
    let copy = read(volume, "backup boot sector", place, BOOT);
    let copy =
        copy.and_then(|bytes| Boot::parse(&Fields::new("backup boot sector", place, &bytes)));
    // The flags of the backup may be older.
    let same = copy.is_ok_and(|copy| {
        let volume_flags = boot.volume_flags;
        Boot {
            volume_flags,
            ..copy
        } == *boot
    });
    if !same {
        let text = "the backup boot sector is not a copy of the first one";
        cx.diagnose(Diagnostic::info("exfat-backup-boot", text).at(place));
    }
}
