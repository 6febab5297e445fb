//! The three passes over the log: find its end, collect what is revoked, collect what is
//! rewritten.

use std::collections::HashMap;
use std::mem::size_of;

use hexz_resolve::{ByteRange, Diagnostic, Error, Result};

use super::checksum::crc32_be;
use super::log::Log;
use super::ondisk::{BlockType, Checksum, Commit, Header, Superblock};
use super::view::Content;

/// What the log says.
#[derive(Default)]
pub(crate) struct Recovered {
    /// Rewritten blocks, in the order they were written.
    pub(crate) blocks: Vec<(u64, Content)>,
    /// Complete transactions.
    pub(crate) transactions: u64,
    /// The transaction that the log ends before: fast commits follow it.
    pub(crate) next: u32,
    /// Whether something is kept back.
    pub(crate) damaged: bool,
}

/// What recovery works with.
pub(crate) struct Recovery<'a> {
    pub(crate) superblock: &'a Superblock,
    pub(crate) log: &'a mut Log,
    /// The filesystem, in bytes of the volume.
    pub(crate) filesystem: ByteRange,
    /// Bytes of memory it may take.
    pub(crate) limit: usize,
    pub(crate) diagnose: &'a dyn Fn(Diagnostic),
}

/// A descriptor or revoke block of a complete transaction.
struct Record {
    index: u32,
    sequence: u32,
    descriptor: bool,
}

struct Scanned {
    records: Vec<Record>,
    transactions: u64,
    end: u32,
    damaged: bool,
}

impl Recovery<'_> {
    /// Reads the whole log.
    ///
    /// # Errors
    /// `Limit`, when the log needs more memory than it may take.
    pub(crate) fn run(&mut self) -> Result<Recovered> {
        let scanned = self.scan();
        let revoked = self.revoked(&scanned.records)?;
        let mut out = Recovered {
            blocks: Vec::new(),
            transactions: scanned.transactions,
            next: scanned.end,
            damaged: scanned.damaged,
        };
        for record in scanned.records.iter().filter(|r| r.descriptor) {
            if let Err(error) = self.replay(record, &revoked, &mut out) {
                if error.ends_scan() {
                    return Err(error);
                }
                out.damaged = true;
                (self.diagnose)(Diagnostic::from(&error));
            }
        }
        Ok(out)
    }

    /// Pass 1: the complete transactions, up to the first that is not.
    fn scan(&mut self) -> Scanned {
        let mut scanned = Scanned {
            records: Vec::new(),
            transactions: 0,
            end: self.superblock.sequence,
            damaged: false,
        };
        if let Err(error) = self.walk(&mut scanned) {
            scanned.damaged = true;
            (self.diagnose)(Diagnostic::from(&error));
        }
        scanned
    }

    fn walk(&mut self, scanned: &mut Scanned) -> Result<()> {
        let superblock = self.superblock;
        let mut cursor = Cursor::new(superblock);
        let mut pending = Vec::new();
        let mut sum = !0;
        let mut last_commit = 0;
        // What is wrong with the transaction at hand. Only its commit block tells whether it is
        // damaged, or left over from an earlier use of these blocks.
        let mut fault: Option<(&'static str, u64)> = None;
        loop {
            let index = cursor.take()?;
            let block = self.log.block(index)?;
            let Some(header) = Header::parse(&block).filter(|h| h.sequence == scanned.end) else {
                break;
            };
            let record = Record {
                index,
                sequence: header.sequence,
                descriptor: header.kind == BlockType::Descriptor,
            };
            let at = block.offset();
            match header.kind {
                BlockType::Descriptor => {
                    if !superblock.tail_is_good(&block) {
                        fault = fault.or(Some(("descriptor block", at)));
                    }
                    sum = crc32_be(sum, block.as_bytes());
                    for _ in superblock.tags(&block) {
                        let data = cursor.take()?;
                        if superblock.checksum == Checksum::V1 && fault.is_none() {
                            sum = crc32_be(sum, self.log.block(data)?.as_bytes());
                        }
                    }
                    pending.push(record);
                }
                BlockType::Revoke => {
                    if !superblock.tail_is_good(&block) || superblock.revoked(&block).is_err() {
                        fault = fault.or(Some(("revoke block", at)));
                    }
                    pending.push(record);
                }
                BlockType::Commit => {
                    let commit = Commit::parse(&block)?;
                    if !superblock.commit_is_good(&block) {
                        fault = fault.or(Some(("commit block", at)));
                    } else if superblock.checksum == Checksum::V1 && !commit.matches(sum) {
                        fault = fault.or(Some(("transaction", at)));
                    }
                    if fault.is_some() {
                        scanned.damaged = commit.seconds >= last_commit;
                        break;
                    }
                    last_commit = commit.seconds;
                    sum = !0;
                    scanned.records.append(&mut pending);
                    scanned.transactions = scanned.transactions.saturating_add(1);
                    scanned.end = scanned.end.wrapping_add(1);
                }
                BlockType::SuperblockV1 | BlockType::SuperblockV2 => break,
            }
        }
        if let Some((what, at)) = fault {
            let message = format!(
                "{what} of journal transaction {} at byte {at} has a wrong checksum or count: \
                 it and what follows is not replayed",
                scanned.end
            );
            (self.diagnose)(Diagnostic::warning("journal-checksum", message).at(at));
        }
        Ok(())
    }

    /// Pass 2: revoked blocks, with how many transactions into the log they are revoked last.
    fn revoked(&mut self, records: &[Record]) -> Result<HashMap<u64, u32>> {
        let mut revoked = HashMap::new();
        for record in records.iter().filter(|r| !r.descriptor) {
            let block = self.log.block(record.index)?;
            for number in self.superblock.revoked(&block)? {
                // Records are in the order of their transactions.
                revoked.insert(number, self.age(record.sequence));
            }
            // Twice the entry: the table keeps room to spare.
            self.check_memory(revoked.len(), size_of::<(u64, u32, u64, u64)>())?;
        }
        Ok(revoked)
    }

    /// Pass 3, for one descriptor block.
    fn replay(
        &mut self,
        record: &Record,
        revoked: &HashMap<u64, u32>,
        out: &mut Recovered,
    ) -> Result<()> {
        let superblock = self.superblock;
        let mut cursor = Cursor::at(superblock, record.index);
        cursor.take()?;
        let tags = superblock.tags(&self.log.block(record.index)?);
        for tag in tags {
            let index = cursor.take()?;
            if revoked
                .get(&tag.block)
                .is_some_and(|age| self.age(record.sequence) <= *age)
            {
                continue;
            }
            let at = self.log.byte_of(index)?;
            if superblock.sums_blocks() {
                let good = self
                    .log
                    .block(index)
                    .map(|data| superblock.data_is_good(&tag, record.sequence, data.as_bytes()));
                match good {
                    Ok(true) => {}
                    Ok(false) => {
                        let message = format!(
                            "copy of block {} in journal transaction {} at byte {at} has a wrong \
                             checksum: it is left out",
                            tag.block, record.sequence
                        );
                        self.leave_out("journal-checksum", message, at, out);
                        continue;
                    }
                    Err(error) => {
                        out.damaged = true;
                        (self.diagnose)(Diagnostic::from(&error));
                        continue;
                    }
                }
            }
            if !self.may_rewrite(tag.block) {
                let message = format!(
                    "journal transaction {} rewrites block {}, which is past the end or in the \
                     journal itself: it is left out",
                    record.sequence, tag.block
                );
                self.leave_out("journal-target", message, at, out);
                continue;
            }
            let content = if tag.escaped {
                Content::Escaped(at)
            } else {
                Content::At(at)
            };
            out.blocks.push((tag.block, content));
            self.check_memory(out.blocks.len(), size_of::<(u64, Content)>())?;
        }
        Ok(())
    }

    fn leave_out(&self, code: &'static str, message: String, at: u64, out: &mut Recovered) {
        out.damaged = true;
        (self.diagnose)(Diagnostic::warning(code, message).at(at));
    }

    fn may_rewrite(&self, block: u64) -> bool {
        let size = u64::from(self.superblock.block_size);
        block
            .checked_mul(size)
            .and_then(|start| ByteRange::at(start, size))
            .is_some_and(|range| {
                range.end() <= self.filesystem.end() && !self.log.own().overlaps(range)
            })
    }

    /// How many transactions into the log `sequence` is; sequences wrap.
    fn age(&self, sequence: u32) -> u32 {
        sequence.wrapping_sub(self.superblock.sequence)
    }

    fn check_memory(&self, items: usize, bytes: usize) -> Result<()> {
        if items.saturating_mul(bytes) > self.limit {
            let message = format!("replaying takes more than {} bytes", self.limit);
            return Err(Error::limit("journal", message));
        }
        Ok(())
    }
}

/// Walks the log, which wraps, once at most.
struct Cursor {
    next: u32,
    left: u32,
    first: u32,
    last: u32,
}

impl Cursor {
    fn new(superblock: &Superblock) -> Self {
        Self::at(superblock, superblock.start)
    }

    fn at(superblock: &Superblock, index: u32) -> Self {
        Self {
            next: index,
            // One more than there are: the first block is seen again when the log is full.
            left: superblock
                .last
                .saturating_sub(superblock.first)
                .saturating_add(1),
            first: superblock.first,
            last: superblock.last,
        }
    }

    fn take(&mut self) -> Result<u32> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(Error::corrupt("journal")
                .expected("a transaction that ends")
                .found("more blocks than the log has"));
        };
        self.left = left;
        let index = self.next;
        self.next = index
            .checked_add(1)
            .filter(|next| *next < self.last)
            .unwrap_or(self.first);
        Ok(index)
    }
}
