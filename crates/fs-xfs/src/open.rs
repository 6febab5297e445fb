//! Opening a volume: superblock, features, log.

use std::sync::{Arc, OnceLock};

use hexz_ondisk::{Fields, Guid, read, to_usize};
use hexz_resolve::{
    Diagnostic, Error, ErrorKind, FsInfo, FsState, JournalMode, OpenContext, RangeSet, ReadAt,
    Replayed, Result, Severity,
};

use crate::disk::checksum;
use crate::fs::Xfs;
use crate::geometry::{Geometry, Superblock};
use crate::log;
use crate::ondisk::{
    INCOMPAT, INCOMPAT_NEEDSREPAIR, INCOMPAT_REFUSED, LOG_INCOMPAT_XATTRS, RO_COMPAT, SB_MAGIC,
};

pub(crate) fn open(volume: Arc<dyn ReadAt>, cx: &OpenContext<'_>) -> Result<Xfs> {
    let superblock = superblock(&volume, cx)?;
    features(&superblock, cx)?;
    let geometry = Arc::new(superblock.geometry.clone());
    let missing = geometry.size().saturating_sub(volume.len());
    if missing > 0 {
        let text = format!("the volume ends {missing} bytes before the filesystem does");
        // A mount refuses it, and what lies behind the end can't be told.
        cx.diagnose(Diagnostic::error("volume-too-short", text).at(volume.len()));
    }
    let mut info = FsInfo {
        filesystem: "xfs",
        label: superblock.label.clone(),
        uuid: Some(Guid::from_bytes(superblock.uuid).to_string()),
        identity: geometry.meta_uuid.to_vec(),
        block_size: u32::try_from(geometry.block_size()).unwrap_or(u32::MAX),
        size: geometry.size(),
        state: FsState::Clean,
        transactions_replayed: 0,
        local_times: false,
    };
    info.identity.extend(birth(&geometry, &*volume));
    let mut fs = Xfs {
        geometry,
        info,
        reader: volume,
        replayed: Replayed::default(),
        to_be_freed: RangeSet::new(),
        directories: OnceLock::new(),
        inodes: superblock.inodes,
        inode_chunks: OnceLock::new(),
        kept: hexz_ondisk::Kept::default(),
    };
    replay(&mut fs, &superblock, cx)?;
    Ok(fs)
}

/// Replays the log, or says that it was not.
fn replay(fs: &mut Xfs, superblock: &Superblock, cx: &OpenContext<'_>) -> Result<()> {
    let (volume, geometry) = (Arc::clone(&fs.reader), Arc::clone(&fs.geometry));
    let place = geometry.log().map_or(0, |log| log.start());
    if geometry.logstart != 0 && geometry.log().is_none() {
        let error = Error::corrupt("superblock")
            .at(48)
            .message("the log is not within a group");
        cx.diagnose(Diagnostic::from(&error));
        fs.info.state = FsState::NeedsRecovery;
        return Ok(());
    }
    if cx.journal == JournalMode::Ignore {
        match log::is_dirty(&*volume, &geometry, &superblock.uuid) {
            Ok(false) => {}
            Ok(true) => fs.info.state = FsState::NeedsRecovery,
            Err(error) => {
                // Nothing is lacking that was asked for.
                fs.info.state = FsState::NeedsRecovery;
                let mut finding = Diagnostic::from(&error);
                finding.severity = Severity::Warning;
                cx.diagnose(finding);
            }
        }
        return Ok(());
    }
    let diagnose = |diagnostic| cx.diagnose(diagnostic);
    match log::recover(&volume, &geometry, &superblock.uuid, cx.limits, &diagnose) {
        Ok(None) => {}
        Ok(Some(recovered)) => {
            fs.reader = recovered.reader;
            fs.replayed = Replayed::ranges(recovered.replayed);
            fs.to_be_freed = recovered.to_be_freed;
            fs.info.transactions_replayed = recovered.transactions;
            if !recovered.complete {
                fs.info.state = FsState::NeedsRecovery;
            }
            // The filesystem may have grown.
            let bytes = read(&fs.reader, "superblock", 0, Superblock::LENGTH)?;
            let again = Superblock::parse(&Fields::new("superblock", 0, &bytes), volume.len());
            match again {
                Ok(again) => {
                    fs.info.size = again.geometry.size();
                    fs.geometry = Arc::new(again.geometry);
                }
                Err(error) => cx.diagnose(Diagnostic::from(&error)),
            }
        }
        Err(error) => {
            fs.info.state = FsState::NeedsRecovery;
            let text = format!("the log is not replayed: {}", error.chain());
            let offset = error.offset().unwrap_or(place);
            cx.diagnose(Diagnostic::error("log-not-replayed", text).at(offset));
        }
    }
    Ok(())
}

/// When the root directory was made: the same from the making of the filesystem on.
fn birth(geometry: &Geometry, volume: &dyn ReadAt) -> Vec<u8> {
    let range = geometry
        .split_inode(geometry.rootino)
        .and_then(|(agno, agino)| geometry.inode_range(agno, agino, 1));
    range
        .filter(|_| geometry.v5)
        .and_then(|range| read(volume, "root inode", range.start().checked_add(144)?, 8).ok())
        .unwrap_or_default()
}

/// The superblock at byte 0, or, where that is damaged, one of another group.
fn superblock(volume: &Arc<dyn ReadAt>, cx: &OpenContext<'_>) -> Result<Superblock> {
    let error = match superblock_at(&**volume, 0, cx) {
        Ok(superblock) => return Ok(superblock),
        Err(error) if error.kind() == ErrorKind::Unsupported => return Err(error),
        Err(error) => error,
    };
    let Some((at, mut found)) = secondary(&**volume, cx) else {
        return Err(error);
    };
    // Copies are written before these inodes are made, which come right behind the root.
    if found.geometry.rt_inodes == [0; 2] && !found.geometry.metadir {
        let root = found.geometry.rootino;
        found.geometry.rt_inodes = [root.saturating_add(1), root.saturating_add(2)];
    }
    let text = format!("{}: the copy at byte {at} is used", error.chain());
    cx.diagnose(Diagnostic::warning("secondary-superblock", text).at(0));
    Ok(found)
}

fn superblock_at(volume: &dyn ReadAt, at: u64, cx: &OpenContext<'_>) -> Result<Superblock> {
    let bytes = read(volume, "superblock", at, Superblock::LENGTH)?;
    let fields = Fields::new("superblock", at, &bytes);
    let superblock = Superblock::parse(&fields, volume.len())?;
    let geometry = &superblock.geometry;
    if geometry.v5 {
        let sector = read(
            volume,
            "superblock",
            at,
            to_usize(geometry.sect_size()).unwrap_or(0),
        )?;
        let stored = fields.le32(224)?;
        let computed = checksum(&sector, 224).unwrap_or_default();
        if stored != computed {
            let text = format!(
                "checksum of superblock: {stored:08x} is stored, {computed:08x} was computed"
            );
            cx.diagnose(Diagnostic::warning("bad-checksum", text).at(at));
        }
    }
    Ok(superblock)
}

/// Looks where a second group begins: where `mkfs` puts it for a few group counts, and in the
/// first part of the volume.
fn secondary(volume: &dyn ReadAt, cx: &OpenContext<'_>) -> Option<(u64, Superblock)> {
    const SEARCHED: u64 = 256 << 20;
    const STEP: u64 = 1 << 20;
    let size = volume.len();
    let try_at = |at: u64| -> Option<(u64, Superblock)> {
        let magic = read(volume, "superblock", at, 4).ok()?;
        if magic != SB_MAGIC {
            return None;
        }
        let found = superblock_at(volume, at, cx).ok()?;
        let group = u64::from(found.geometry.agblocks).checked_mul(found.geometry.block_size())?;
        // A copy in a file that is an image itself lies elsewhere.
        (at.checked_rem(group)? == 0).then_some((at, found))
    };
    for block in [4096u64, 1024, 512, 2048, 8192, 16384, 32768, 65536] {
        for groups in [4u64, 2, 1, 3, 5, 6, 7, 8, 16, 32] {
            let blocks = size.checked_div(block)?.div_ceil(groups);
            if let Some(found) = blocks.checked_mul(block).and_then(try_at) {
                return Some(found);
            }
        }
    }
    let mut at = STEP;
    while at < size.min(SEARCHED) {
        let length = to_usize(STEP.min(size.saturating_sub(at)))?;
        if let Ok(bytes) = read(volume, "superblock", at, length) {
            for (n, sector) in bytes.chunks(512).enumerate() {
                let place = u64::try_from(n).ok()?.checked_mul(512)?.checked_add(at)?;
                if let Some(found) = sector
                    .starts_with(&SB_MAGIC)
                    .then(|| try_at(place))
                    .flatten()
                {
                    return Some(found);
                }
            }
        }
        at = at.saturating_add(STEP);
    }
    None
}

/// Refuses what is not read, and says aloud what is left out.
fn features(superblock: &Superblock, cx: &OpenContext<'_>) -> Result<()> {
    let known = (1u32 << INCOMPAT.len()).wrapping_sub(1);
    let unknown = superblock.incompat & !known;
    if unknown != 0 {
        let mut names: Vec<String> = Vec::new();
        for bit in (0..32)
            .filter_map(|n| 1u32.checked_shl(n))
            .filter(|bit| unknown & bit != 0)
        {
            let name = INCOMPAT_REFUSED.iter().find(|(b, _)| *b == bit);
            names.push(name.map_or_else(|| format!("{bit:#x}"), |(_, name)| (*name).to_owned()));
        }
        let text = format!("sb_features_incompat {}", names.join(", "));
        return Err(Error::unsupported("feature", text).at(216));
    }
    let known = (1u32 << RO_COMPAT.len()).wrapping_sub(1);
    if superblock.ro_compat & !known != 0 {
        let text = format!(
            "sb_features_ro_compat {:#x} are unknown",
            superblock.ro_compat & !known
        );
        cx.diagnose(Diagnostic::warning("unknown-feature", text).at(212));
    }
    if superblock.incompat & INCOMPAT_NEEDSREPAIR != 0 {
        let text = "the filesystem is marked as one that xfs_repair must look at";
        cx.diagnose(Diagnostic::warning("needs-repair", text).at(216));
    }
    if superblock.log_incompat & !LOG_INCOMPAT_XATTRS != 0 {
        let text = format!(
            "sb_features_log_incompat {:#x} are unknown",
            superblock.log_incompat
        );
        cx.diagnose(Diagnostic::warning("unknown-feature", text).at(220));
    }
    if superblock.geometry.rblocks != 0 {
        let text = "files on the realtime device are not resolved: it is another volume";
        cx.diagnose(Diagnostic::warning("realtime-device", text).at(16));
    }
    if superblock.geometry.logstart == 0 {
        let text = "the log is on another device, and is not replayed";
        cx.diagnose(Diagnostic::warning("external-log", text).at(48));
    }
    Ok(())
}
