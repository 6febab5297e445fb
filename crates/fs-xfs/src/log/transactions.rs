//! Transactions, put together from the operations of the records they are spread over.

use std::collections::BTreeMap;

use hexz_ondisk::Fields;
use hexz_resolve::{Error, Result};

use super::host::Host;
use super::records::Record;

/// `struct xlog_op_header`.
const OPERATION: usize = 12;
/// `XFS_TRANS_HEADER_MAGIC`.
const TRANSACTION_MAGIC: u32 = 0x5452_414E;
/// `struct xfs_trans_header`.
const TRANSACTION_HEADER: usize = 16;

const START: u8 = 0x01;
const COMMIT: u8 = 0x02;
const CONTINUE: u8 = 0x04;
const WAS_CONTINUED: u8 = 0x08;
const END: u8 = 0x10;
const UNMOUNT: u8 = 0x20;

/// Something that was changed: how, and the new bytes. The first region says what it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    pub(super) regions: Vec<Vec<u8>>,
    /// Regions it says to have.
    total: usize,
}

impl Item {
    /// `XFS_LI_*`.
    pub(super) fn kind(&self) -> u16 {
        self.first().u16(0).unwrap_or(0)
    }

    /// The region that says what it is.
    pub(super) fn first(&self) -> Host<'_> {
        Host(self.region(0))
    }

    /// A region; empty where there is none.
    pub(super) fn region(&self, n: usize) -> &[u8] {
        self.regions.get(n).map(Vec::as_slice).unwrap_or_default()
    }
}

/// A transaction that is not committed yet.
struct Open {
    lsn: u64,
    /// What there is of its header.
    header: Vec<u8>,
    items: Vec<Item>,
}

/// The transactions that records so far have begun.
pub(super) struct Transactions {
    /// By `oh_tid`.
    open: BTreeMap<u32, Open>,
    bytes: usize,
    limit: usize,
}

impl Transactions {
    /// None; more than `limit` bytes are refused.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            open: BTreeMap::new(),
            bytes: 0,
            limit,
        }
    }

    /// Takes the operations of `record`; hands out transactions as they are committed, with the
    /// number of the record they began in.
    pub(super) fn record(
        &mut self,
        record: &Record,
        each: &mut impl FnMut(u64, &[Item]) -> Result<()>,
    ) -> Result<()> {
        let data = Fields::new("log operation", 0, &record.data);
        let mut at: usize = 0;
        for _ in 0..record.operations {
            if at.saturating_add(OPERATION) > data.len() {
                break;
            }
            let tid = data.be32(at)?;
            let length = usize::try_from(data.be32(at.saturating_add(4))?).unwrap_or(usize::MAX);
            let flags = data.u8(at.saturating_add(9))?;
            let bytes = data.bytes(at.saturating_add(OPERATION), length)?;
            at = at.saturating_add(OPERATION).saturating_add(length);
            self.operation(tid, flags, bytes, record.lsn, each)?;
        }
        Ok(())
    }

    fn operation(
        &mut self,
        tid: u32,
        flags: u8,
        bytes: &[u8],
        lsn: u64,
        each: &mut impl FnMut(u64, &[Item]) -> Result<()>,
    ) -> Result<()> {
        if flags & START != 0 {
            let open = Open {
                lsn,
                header: Vec::new(),
                items: Vec::new(),
            };
            if self.open.insert(tid, open).is_some() {
                return Err(corrupt(format!("transaction {tid:x} starts twice")));
            }
            return Ok(());
        }
        if flags & UNMOUNT != 0 {
            self.open.remove(&tid);
            return Ok(());
        }
        if flags & COMMIT != 0 {
            // What began before the tail is on the disk already.
            if let Some(done) = self.open.remove(&tid) {
                let size: usize = done
                    .items
                    .iter()
                    .flat_map(|i| &i.regions)
                    .map(Vec::len)
                    .sum();
                self.bytes = self.bytes.saturating_sub(size);
                each(done.lsn, &done.items)?;
            }
            return Ok(());
        }
        let Some(open) = self.open.get_mut(&tid) else {
            return Ok(());
        };
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > self.limit {
            let text = format!("more than {} bytes in open transactions", self.limit);
            return Err(Error::limit("log", text));
        }
        let mut flags = flags & !END;
        if flags & WAS_CONTINUED != 0 {
            flags &= !CONTINUE;
        }
        match flags {
            0 | CONTINUE => open.add(bytes),
            WAS_CONTINUED => open.append(bytes),
            other => Err(corrupt(format!("operation of flags {other:#x}"))),
        }
    }
}

impl Open {
    /// A region, or the header.
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.header.len() < TRANSACTION_HEADER {
            return self.add_header(bytes);
        }
        let full = self
            .items
            .last()
            .is_none_or(|item| item.regions.len() >= item.total);
        if full {
            let total = Host(bytes).u16(2).map_or(0, usize::from);
            if total == 0 {
                return Err(corrupt("an item without regions".to_owned()));
            }
            self.items.push(Item {
                regions: Vec::new(),
                total,
            });
        }
        if let Some(item) = self.items.last_mut() {
            item.regions.push(bytes.to_vec());
        }
        Ok(())
    }

    /// The rest of what the record before had no room for.
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.header.len() < TRANSACTION_HEADER {
            return self.add_header(bytes);
        }
        match self
            .items
            .last_mut()
            .and_then(|item| item.regions.last_mut())
        {
            Some(region) => {
                region.extend_from_slice(bytes);
                Ok(())
            }
            None => Err(corrupt("a region that goes on and never began".to_owned())),
        }
    }

    fn add_header(&mut self, bytes: &[u8]) -> Result<()> {
        self.header.extend_from_slice(bytes);
        let magic = Host(&self.header).u32(0);
        if self.header.len() > TRANSACTION_HEADER || magic.is_some_and(|m| m != TRANSACTION_MAGIC) {
            return Err(corrupt("a transaction without its header".to_owned()));
        }
        Ok(())
    }
}

fn corrupt(text: String) -> Error {
    Error::corrupt("log operation").message(text)
}
