//! The log: recovered in memory, as a mount would do on the disk.
//!
//! [`records`] finds the part of the log that matters and checks it, [`transactions`] puts the
//! pieces of what was committed together again, [`replay`] and [`inode`] apply it to a [`view`]
//! of the volume. Nothing is written.

mod host;
mod inode;
mod records;
mod replay;
mod transactions;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use hexz_resolve::{Diagnostic, Error, Limits, RangeSet, ReadAt, Result};

use crate::geometry::Geometry;
use records::{Log, Record, Span};
use replay::Replay;
use transactions::Transactions;
use view::View;

/// What came of a log.
pub(crate) struct Recovered {
    /// The volume as it reads with the log replayed.
    pub(crate) reader: Arc<dyn ReadAt>,
    /// Where that differs from what lies there.
    pub(crate) replayed: RangeSet,
    /// Extents that a mount would free when it finishes what was begun.
    pub(crate) to_be_freed: RangeSet,
    /// Committed transactions that were replayed.
    pub(crate) transactions: u64,
    /// Whether nothing is left to do.
    pub(crate) complete: bool,
}

/// Whether the log holds anything to replay.
pub(crate) fn is_dirty(volume: &dyn ReadAt, geometry: &Geometry, uuid: &[u8; 16]) -> Result<bool> {
    let Some(range) = geometry.log() else {
        return Ok(false);
    };
    let log = Log::new(volume, range, geometry.v5, *uuid);
    Ok(log.active()?.is_some())
}

/// Replays the log of `volume`; `None` when there is nothing to replay.
pub(crate) fn recover(
    volume: &Arc<dyn ReadAt>,
    geometry: &Geometry,
    uuid: &[u8; 16],
    limits: &Limits,
    diagnose: &dyn Fn(Diagnostic),
) -> Result<Option<Recovered>> {
    let Some(range) = geometry.log() else {
        return Ok(None);
    };
    let log = Log::new(&**volume, range, geometry.v5, *uuid);
    let Some(mut span) = log.active()? else {
        return Ok(None);
    };
    let records = checked(&log, &mut span, diagnose)?;
    let mut complete = true;
    let mut view = View::new(Arc::clone(volume), limits.journal_bytes);
    let mut replay = Replay::new(geometry, diagnose);
    // Buffers that were freed later must not be replayed, so those are looked for first.
    for_each_transaction(&log, &records, limits, |_, items| {
        items.iter().for_each(|item| replay.note_cancelled(item));
        Ok(())
    })?;
    let mut count: u64 = 0;
    for_each_transaction(&log, &records, limits, |lsn, items| {
        count = count.saturating_add(1);
        replay.transaction(&mut view, lsn, items)
    })?;
    let (to_be_freed, unfinished) = replay.unfinished();
    if !unfinished.is_empty() {
        complete = false;
        let text = format!(
            "the log holds work that a mount would finish, and that is not done here: {unfinished}"
        );
        diagnose(Diagnostic::warning("log-unfinished-intents", text).at(range.start()));
    }
    let replayed = view.ranges()?;
    Ok(Some(Recovered {
        reader: Arc::new(view),
        replayed,
        to_be_freed,
        transactions: count,
        complete: complete && !replay.has_failed(),
    }))
}

/// The records to replay: up to the first that was not written in full.
fn checked(log: &Log<'_>, span: &mut Span, diagnose: &dyn Fn(Diagnostic)) -> Result<Vec<u64>> {
    /// Records that may be in flight: `XLOG_MAX_ICLOGS`.
    const IN_FLIGHT: usize = 8;
    for _ in 0..IN_FLIGHT {
        let mut starts = Vec::new();
        let mut torn = None;
        log.for_each(span, |record| {
            if torn.is_none() && !record.is_whole() {
                torn = Some(record.block);
            }
            starts.push(record.block);
            Ok(())
        })?;
        let Some(bad) = torn else {
            return Ok(starts);
        };
        let index = starts.iter().position(|block| *block == bad).unwrap_or(0);
        let behind = starts.len().saturating_sub(index);
        let offset = log.offset(bad);
        if behind > IN_FLIGHT {
            let error = Error::corrupt("log record").at(offset);
            return Err(error.message(format!("bad checksum, and {behind} records behind it")));
        }
        let text = format!("the last {behind} records of the log were not written in full");
        diagnose(Diagnostic::info("log-torn", text).at(offset));
        match log.before(bad)? {
            Some(shorter) => *span = shorter,
            None => return Ok(Vec::new()),
        }
    }
    Err(Error::corrupt("log")
        .at(log.offset(span.head))
        .message("no sound record near the head"))
}

fn for_each_transaction(
    log: &Log<'_>,
    records: &[u64],
    limits: &Limits,
    mut each: impl FnMut(u64, &[transactions::Item]) -> Result<()>,
) -> Result<()> {
    let mut transactions = Transactions::new(limits.journal_bytes);
    for block in records {
        let record: Record = log.record(*block)?;
        transactions.record(&record, &mut each)?;
    }
    Ok(())
}
