//! The chain of logical partitions: each extended boot record (EBR) names one partition and the
//! next record.
//!
//! <https://en.wikipedia.org/wiki/Extended_boot_record>

use std::collections::BTreeSet;

use hexz_ondisk::read;
use hexz_resolve::{Diagnostic, Error, OpenContext, ReadAt, Result};

use super::ondisk::{Entry, SIZE, Table};

/// Records that are read; more than anyone has.
const MAX_RECORDS: usize = 256;

/// A logical partition.
#[derive(Debug)]
pub(crate) struct Logical {
    /// Its entry, whose `starting_lba` counts from the record.
    pub(crate) entry: Entry,
    /// Its first sector on the disk.
    pub(crate) first: u64,
    /// Sector of the record that names it.
    pub(crate) table: u64,
}

/// What the chains have.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of the chain, which is that of their numbers.
    pub(crate) partitions: Vec<Logical>,
    /// Sectors of the records.
    pub(crate) tables: BTreeSet<u64>,
}

/// Reads chains; a chain that is damaged ends there, and what was found stays.
pub(crate) struct Walk<'a> {
    device: &'a dyn ReadAt,
    sector: u64,
    cx: &'a OpenContext<'a>,
    found: Found,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(device: &'a dyn ReadAt, sector: u64, cx: &'a OpenContext<'a>) -> Self {
        Self {
            device,
            sector,
            cx,
            found: Found::default(),
        }
    }

    pub(crate) fn finish(self) -> Found {
        self.found
    }

    fn warn(&self, code: &'static str, lba: u64, text: &str) {
        let at = lba.saturating_mul(self.sector);
        let text = format!("{text} (EBR in sector {lba})");
        self.cx.diagnose(Diagnostic::warning(code, text).at(at));
    }

    /// Follows the chain in the extended partition `around`.
    pub(crate) fn chain(&mut self, around: &Entry) {
        // Records count from the start of the extended partition, partitions from their record.
        let mut next = Some(around.starting_lba);
        while let Some(lba) = next {
            if self.found.tables.len() >= MAX_RECORDS {
                let text = "the chain of logical partitions is too long; the rest is left out";
                return self.warn("ebr-too-many", lba, text);
            }
            // The table itself, in sector 0, is no record.
            if lba == 0 || self.found.tables.contains(&lba) {
                let text = "the chain of logical partitions comes back to a record it has had";
                return self.warn("ebr-cycle", lba, text);
            }
            let table = match self.record(lba) {
                Ok(Some(table)) => table,
                Ok(None) => return,
                Err(error) => return self.cx.diagnose(Diagnostic::from(&error)),
            };
            self.found.tables.insert(lba);
            self.partitions(&table, lba, around);
            let link = table.entries.iter().find(|e| e.is_extended());
            next = link.and_then(|e| around.starting_lba.checked_add(e.starting_lba));
        }
    }

    /// The record in sector `lba`; `None` where the chain ends without one.
    fn record(&self, lba: u64) -> Result<Option<Table>> {
        let corrupt = || Error::corrupt("EBR").at(lba.saturating_mul(self.sector));
        let at = lba.checked_mul(self.sector);
        let at = at
            .filter(|at| *at < self.device.len())
            .ok_or_else(|| corrupt().message("the chain leads past the end of the disk"))?;
        let bytes = read(self.device, "EBR", at, SIZE)?;
        if let Some(table) = Table::parse(&bytes) {
            if !table.status_known {
                let text = "an entry is neither active nor inactive";
                self.warn("ebr-status", lba, text);
            }
            return Ok(Some(table));
        }
        // An extended partition without any logical one may have no record yet.
        if self.found.tables.is_empty() && bytes.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        Err(corrupt().expected("the bytes 55 aa").found("others"))
    }

    /// The partitions that one record names: one, by the books.
    fn partitions(&mut self, table: &Table, lba: u64, around: &Entry) {
        for entry in table.entries.iter().filter(|e| !e.is_extended()) {
            let first = lba.saturating_add(entry.starting_lba);
            let end = first.saturating_add(entry.sectors);
            let within = first >= around.starting_lba && end <= around.end();
            // Entries 3 and 4 should be empty; Linux takes them where they make sense.
            if entry.slot > 2 && !within {
                let text = "an entry beyond the second makes no sense, and is left out";
                self.warn("ebr-odd-entry", lba, text);
                continue;
            }
            if !within {
                let text = "a logical partition is not within its extended one";
                self.warn("ebr-outside", lba, text);
            }
            self.found.partitions.push(Logical {
                entry: *entry,
                first,
                table: lba,
            });
        }
    }
}
