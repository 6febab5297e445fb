//! The journal, replayed in memory: the volume as a mount would leave it.
//!
//! A mount replays the log when the filesystem's `RECOVER` flag is set. Where the flag is not set
//! and the log is not empty, a mount throws the log away, and so it is not replayed here either.
//! Recovery stops before the first transaction that is incomplete or damaged. Fast commits that
//! follow the last one are applied after it.
//!
//! <https://www.kernel.org/doc/html/latest/filesystems/ext4/journal.html>

mod checksum;
mod fast_commit;
mod fast_replay;
mod log;
mod ondisk;
mod place;
mod recover;
mod view;

#[cfg(test)]
mod build;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hexz_ondisk::{Fields, read};
use hexz_resolve::{
    ByteRange, Diagnostic, Diagnostics, Error, FsState, JournalMode, OpenContext, RangeSet, ReadAt,
    Result,
};

use crate::geometry::Geometry;
use crate::ondisk::{SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock, incompat};
use fast_commit::FastCommits;
use log::Log;
use ondisk::Superblock as LogSuperblock;
use place::Place;
use recover::{Recovered, Recovery};
use view::{Content, View};

/// What the filesystem says of its journal.
struct Journal {
    /// Bytes of a block of the filesystem.
    block_size: u32,
    /// `s_blocks_count`.
    blocks: u64,
    /// Feature `RECOVER`: the journal is to be replayed.
    recover: bool,
    /// Where it lies.
    place: Result<Place>,
}

/// The volume as it reads after replay.
pub(crate) struct Replayed {
    pub(crate) reader: Arc<dyn ReadAt>,
    /// The ranges that do not read as they lie.
    pub(crate) ranges: RangeSet,
    /// Transactions and fast commits that were replayed.
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

/// Replays the journal of the filesystem with this superblock. What keeps it from being replayed
/// is a diagnostic, and the volume then reads as it lies.
///
/// All that leads to the journal is read as it lies, too: what is wrong with it there may be put
/// right by the journal, and so is not told.
pub(crate) fn open(
    volume: Arc<dyn ReadAt>,
    superblock: &Superblock,
    cx: &OpenContext<'_>,
) -> Replayed {
    let recover = superblock.incompat(incompat::RECOVER);
    if cx.journal == JournalMode::Ignore {
        let state = if recover {
            FsState::NeedsRecovery
        } else {
            FsState::Clean
        };
        return Replayed::nothing(volume, state);
    }
    let unheard = Diagnostics::new();
    let quiet = OpenContext {
        limits: cx.limits,
        journal: cx.journal,
        view: cx.view,
        diagnostics: &unheard,
    };
    let place = Geometry::read(&volume, superblock.clone(), &quiet)
        .and_then(|geometry| place::find(&volume, &geometry, &|finding| cx.diagnose(finding)));
    let journal = Journal {
        block_size: superblock.block_size,
        blocks: superblock.s_blocks_count,
        recover,
        place,
    };
    replay(volume, journal, cx)
}

/// Replays `journal`. What keeps it from being replayed is a diagnostic, and the volume then
/// reads as it lies.
fn replay(volume: Arc<dyn ReadAt>, journal: Journal, cx: &OpenContext<'_>) -> Replayed {
    let recover = journal.recover;
    let as_it_lies = if recover {
        FsState::NeedsRecovery
    } else {
        FsState::Clean
    };
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
    let runs = match journal.place? {
        Place::Internal(runs) => runs,
        Place::Nowhere => return Ok(None),
        Place::External if journal.recover => {
            let message = "the journal is on another device";
            return Err(Error::unsupported("journal device", message));
        }
        Place::External => return Ok(None),
    };
    let mut log = Log::new(Arc::clone(volume), journal.block_size, runs)?;
    let superblock = LogSuperblock::parse(&log.block(0)?)?;
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
        let followed = fast_commit::scan(&superblock, &mut log, recovered.next, limit)
            .and_then(|fast| follow(volume, superblock.block_size, &fast, &mut recovered, cx));
        if let Err(error) = followed {
            let mut finding = Diagnostic::from(&error.layer("ext4"));
            finding
                .message
                .push_str("; fast commits are not replayed, and the view may lag");
            cx.diagnose(finding);
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

/// Applies fast commits to what the log left.
fn follow(
    volume: &Arc<dyn ReadAt>,
    block_size: u32,
    fast: &FastCommits,
    recovered: &mut Recovered,
    cx: &OpenContext<'_>,
) -> Result<()> {
    let log = View::new(Arc::clone(volume), block_size, recovered.blocks.clone());
    let log: Arc<dyn ReadAt> = Arc::new(log);
    let bytes = read(&log, "ext4 superblock", SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE)?;
    let superblock = Superblock::parse(Fields::new("ext4 superblock", SUPERBLOCK_OFFSET, &bytes))?;
    let geometry = Geometry::read(&log, superblock, cx)?;
    let applied = fast_replay::apply(&fast.changes, &geometry, log, cx.limits.journal_bytes)?;
    let blocks = applied.blocks.into_iter();
    recovered
        .blocks
        .extend(blocks.map(|(number, bytes)| (number, Content::Bytes(bytes))));
    recovered.transactions = recovered.transactions.saturating_add(fast.commits);
    if let Some(reason) = applied.reason {
        let message = format!(
            "{} of {} changes in {} fast commits are not replayed, and the view may lag: {reason}",
            applied.left_out,
            fast.changes.len(),
            fast.commits,
        );
        cx.diagnose(Diagnostic::warning("fast-commits-not-replayed", message));
        recovered.damaged = true;
    }
    Ok(())
}
