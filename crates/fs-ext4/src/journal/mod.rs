//! The journal, replayed in memory: the volume as a mount would leave it.
//!
//! A mount replays the log when the filesystem's `RECOVER` flag is set. Where the flag is not set
//! and the log is not empty, a mount throws the log away, and so it is not replayed here either.
//! Recovery stops before the first transaction that is incomplete or damaged.
//!
//! <https://www.kernel.org/doc/html/latest/filesystems/ext4/journal.html>

mod checksum;
mod fast_commit;
mod log;
mod ondisk;
mod recover;
mod view;

#[cfg(test)]
mod build;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hexz_resolve::{
    ByteRange, Diagnostic, Error, FsState, JournalMode, OpenContext, RangeSet, ReadAt, Result,
};

use log::Log;
pub(crate) use log::Run;
use ondisk::Superblock;
use recover::{Recovered, Recovery};
use view::View;

/// What the filesystem says of its journal.
pub(crate) struct Journal {
    /// Bytes of a block of the filesystem.
    pub(crate) block_size: u32,
    /// `s_blocks_count`.
    pub(crate) blocks: u64,
    /// Feature `RECOVER`: the journal is to be replayed.
    pub(crate) recover: bool,
    /// Where it lies.
    pub(crate) place: Place,
}

/// Where a journal lies.
pub(crate) enum Place {
    /// In these blocks of the filesystem.
    Internal(Vec<Run>),
    /// On another device.
    External,
    /// It could not be found, and a diagnostic said why.
    Lost,
}

/// The volume as it reads after replay.
pub(crate) struct Replayed {
    pub(crate) reader: Arc<dyn ReadAt>,
    /// The ranges that do not read as they lie.
    pub(crate) ranges: RangeSet,
    /// Transactions that were replayed.
    pub(crate) transactions: u64,
    pub(crate) state: FsState,
}

impl Replayed {
    /// The volume as it lies.
    pub(crate) fn nothing(volume: Arc<dyn ReadAt>, state: FsState) -> Self {
        Self {
            reader: volume,
            ranges: RangeSet::new(),
            transactions: 0,
            state,
        }
    }
}

/// Replays `journal`. What keeps it from being replayed is a diagnostic, and the volume then
/// reads as it lies.
pub(crate) fn replay(volume: Arc<dyn ReadAt>, journal: Journal, cx: &OpenContext<'_>) -> Replayed {
    let as_it_lies = match (journal.recover, cx.journal) {
        (false, _) => FsState::Clean,
        (true, _) => FsState::NeedsRecovery,
    };
    if cx.journal == JournalMode::Ignore {
        return Replayed::nothing(volume, as_it_lies);
    }
    let recover = journal.recover;
    match attempt(&volume, journal, cx) {
        Ok(Some(replayed)) => replayed,
        Ok(None) => Replayed::nothing(volume, as_it_lies),
        Err(error) => {
            let mut finding = Diagnostic::from(&error.layer("ext4"));
            if recover {
                finding.message.push_str("; the journal is not replayed");
            } else {
                finding.severity = hexz_resolve::Severity::Warning;
            }
            cx.diagnose(finding);
            Replayed::nothing(volume, as_it_lies)
        }
    }
}

fn attempt(
    volume: &Arc<dyn ReadAt>,
    journal: Journal,
    cx: &OpenContext<'_>,
) -> Result<Option<Replayed>> {
    let runs = match journal.place {
        Place::Internal(runs) => runs,
        Place::Lost => return Ok(None),
        Place::External if journal.recover => {
            let message = "the journal is on another device";
            return Err(Error::unsupported("journal device", message));
        }
        Place::External => return Ok(None),
    };
    let mut log = Log::new(Arc::clone(volume), journal.block_size, runs)?;
    let superblock = Superblock::parse(&log.block(0)?)?;
    if superblock.block_size != journal.block_size {
        return Err(Error::corrupt("journal superblock")
            .at(log.byte_of(0)?)
            .expected(format_args!("s_blocksize {}", journal.block_size))
            .found(superblock.block_size));
    }
    if !journal.recover {
        if superblock.start != 0 {
            let message = "the journal holds transactions, and the superblock does not ask for \
                           them: a mount throws them away, so they are not replayed";
            cx.diagnose(Diagnostic::info("journal-not-asked-for", message).at(log.byte_of(0)?));
        }
        return Ok(None);
    }
    let block_size = u64::from(journal.block_size);
    let declared = journal.blocks.saturating_mul(block_size);
    let mut recovered = Recovered {
        next: superblock.sequence,
        ..Recovered::default()
    };
    if superblock.start != 0 {
        recovered = Recovery {
            superblock: &superblock,
            log: &mut log,
            filesystem: ByteRange::new(0, declared.min(volume.len())),
            limit: cx.limits.journal_bytes,
            diagnose: &|finding| cx.diagnose(finding),
        }
        .run()?;
    }
    if superblock.fast_commit && superblock.start != 0 && !recovered.damaged {
        let limit = cx.limits.journal_bytes;
        let fast = fast_commit::scan(&superblock, &mut log, recovered.next, limit)?;
        if fast.commits != 0 {
            let message = format!(
                "{} fast commits with {} changes are not replayed: the view may lag",
                fast.commits,
                fast.changes.len()
            );
            cx.diagnose(Diagnostic::warning("fast-commits-not-replayed", message));
            recovered.damaged = true;
        }
    }
    let state = if recovered.damaged {
        FsState::NeedsRecovery
    } else {
        FsState::Clean
    };
    let view = View::new(Arc::clone(volume), journal.block_size, recovered.blocks);
    Ok(Some(Replayed {
        ranges: view.ranges().clone(),
        reader: Arc::new(view),
        transactions: recovered.transactions,
        state,
    }))
}
