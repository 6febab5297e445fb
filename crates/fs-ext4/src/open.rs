//! Opening a volume: superblock, group descriptors, journal, orphans.

use std::sync::{Arc, OnceLock};

use hexz_ondisk::{Fields, Guid, read};
use hexz_resolve::{Diagnostic, FsInfo, OpenContext, ReadAt, Replayed, Result};

use crate::fs::Ext4;
use crate::geometry::Geometry;
use crate::journal;
use crate::known::Known;
use crate::ondisk::{SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock};
use crate::orphans;
use crate::probe::checksum_matches;
use crate::shape::Shape;

pub(crate) fn open(volume: Arc<dyn ReadAt>, cx: &OpenContext<'_>) -> Result<Ext4> {
    let sb = superblock(&*volume, cx)?;
    sb.check_features()?;
    let replayed = journal::open(Arc::clone(&volume), &sb, cx);
    // The journal may hold a newer superblock.
    let sb = if replayed.ranges.is_empty() {
        sb
    } else {
        let newer = superblock(&*replayed.reader, cx)?;
        newer.check_features()?;
        newer
    };
    let geometry = Geometry::read(&*replayed.reader, sb, cx)?;
    let known = Known::find(&geometry, &*replayed.reader, cx);
    let orphans = orphans::find(&geometry, &*replayed.reader, cx);
    let sb = &geometry.sb;
    let info = FsInfo {
        filesystem: sb.kind(),
        label: sb
            .s_volume_name
            .iter()
            .copied()
            .take_while(|b| *b != 0)
            .collect(),
        uuid: Some(Guid::from_bytes(sb.s_uuid).to_string()),
        // tune2fs changes the UUID, and never the time of making; the hash seed tells apart what
        // was made with a fixed clock.
        identity: [&sb.s_mkfs_time.to_le_bytes()[..], &sb.s_hash_seed].concat(),
        block_size: sb.block_size,
        size: sb.s_blocks_count.saturating_mul(sb.block_size.into()),
        state: replayed.state,
        transactions_replayed: replayed.transactions,
        local_times: false,
    };
    if info.size > geometry.volume {
        let text = format!(
            "the filesystem takes up {} bytes, the volume has {}",
            info.size, geometry.volume
        );
        cx.diagnose(Diagnostic::error("volume-truncated", text).at(geometry.volume));
    }
    Ok(Ext4 {
        info,
        shape: Shape::of(&geometry.sb),
        geometry: Arc::new(geometry),
        reader: replayed.reader,
        replayed: Replayed::ranges(replayed.ranges),
        known,
        orphans,
        directories: OnceLock::new(),
        kept: hexz_ondisk::Kept::default(),
    })
}

/// The primary superblock, or the backup that a usual geometry puts first.
fn superblock(reader: &dyn ReadAt, cx: &OpenContext<'_>) -> Result<Superblock> {
    let primary = parse(reader, SUPERBLOCK_OFFSET, cx);
    let error = match primary {
        Ok(sb) => return Ok(sb),
        Err(error) => error,
    };
    for block_size in [1024u64, 2048, 4096, 8192, 16384, 32768, 65536] {
        // Group 1 starts after as many blocks as a bitmap of one block has bits.
        let first = u64::from(block_size == 1024);
        let offset = block_size
            .saturating_mul(8)
            .saturating_add(first)
            .saturating_mul(block_size);
        let backup = parse(reader, offset, cx);
        if let Ok(sb) = backup.as_ref().map(Clone::clone)
            && u64::from(sb.block_size) == block_size
        {
            let text = format!("{error}; the backup at byte {offset} is used");
            cx.diagnose(Diagnostic::warning("ext4-backup-superblock", text).at(SUPERBLOCK_OFFSET));
            return Ok(sb);
        }
    }
    Err(error)
}

fn parse(reader: &dyn ReadAt, offset: u64, cx: &OpenContext<'_>) -> Result<Superblock> {
    let bytes = read(reader, "ext4 superblock", offset, SUPERBLOCK_SIZE)?;
    let fields = Fields::new("ext4 superblock", offset, &bytes);
    let sb = Superblock::parse(fields)?;
    if checksum_matches(&sb, fields) == Some(false) {
        let text = "the superblock does not match its checksum";
        cx.diagnose(Diagnostic::warning("ext4-checksum", text).at(offset));
    }
    Ok(sb)
}
