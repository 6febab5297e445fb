//! A log written by hand, as the specification has it: records, transactions and buffers.

use std::cell::RefCell;
use std::sync::Arc;

use hexz_resolve::{ByteRange, Diagnostic, Limits, ReadAt};

use super::records::{Log, Span};
use super::{Recovered, recover};
use crate::geometry::{Geometry, Superblock};

const UNIT: usize = 512;
/// Units of the log.
const LENGTH: usize = 32;
/// Byte at which the log lies: block 8.
const LOG: usize = 8 * 4096;
/// A block that buffers are written to.
const TARGET: usize = 40 * 4096;

/// A V4 volume of 64 blocks with a log of four of them.
struct Disk {
    bytes: Vec<u8>,
    cycle: u32,
    head: usize,
}

impl Disk {
    fn new() -> Self {
        Self {
            bytes: vec![0; 64 * 4096],
            cycle: 1,
            head: 0,
        }
    }

    fn geometry() -> Geometry {
        let mut sb = vec![0; 512];
        let mut put = |at: usize, bytes: &[u8]| sb[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"XFSB");
        put(4, &4096u32.to_be_bytes());
        put(8, &64u64.to_be_bytes());
        put(48, &8u64.to_be_bytes());
        put(84, &64u32.to_be_bytes());
        put(88, &1u32.to_be_bytes());
        put(96, &4u32.to_be_bytes());
        put(100, &0x2404u16.to_be_bytes());
        put(102, &512u16.to_be_bytes());
        put(104, &256u16.to_be_bytes());
        put(120, &[12, 9, 8, 4, 6]);
        let fields = hexz_ondisk::Fields::new("superblock", 0, &sb);
        Superblock::parse(&fields, 64 * 4096).unwrap().geometry
    }

    /// Writes a unit of the log, around its end, with the number of the cycle in its first word.
    fn unit(&mut self, bytes: &[u8], header: bool) {
        let at = LOG + self.head * UNIT;
        self.bytes[at..at + UNIT].copy_from_slice(bytes);
        let word = if header { at + 4 } else { at };
        self.bytes[word..word + 4].copy_from_slice(&self.cycle.to_be_bytes());
        self.head += 1;
        if self.head == LENGTH {
            self.head = 0;
            self.cycle += 1;
        }
    }

    /// Writes a record of `operations`, whose tail is at unit `tail`; gives the unit it is at.
    fn record(&mut self, tail: usize, operations: &[(u32, u8, Vec<u8>)]) -> usize {
        let start = self.head;
        let mut data = Vec::new();
        for (tid, flags, bytes) in operations {
            data.extend(tid.to_be_bytes());
            data.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
            data.extend([0x69, *flags, 0, 0]);
            data.extend(bytes);
        }
        data.resize(data.len().next_multiple_of(UNIT), 0);
        let mut header = vec![0; UNIT];
        let mut put = |at: usize, n: u32| header[at..at + 4].copy_from_slice(&n.to_be_bytes());
        put(0, 0xFEED_BABE);
        put(8, 2);
        put(12, u32::try_from(data.len()).unwrap());
        put(16, self.cycle);
        put(20, u32::try_from(start).unwrap());
        put(24, self.cycle);
        put(28, u32::try_from(tail).unwrap());
        put(40, u32::try_from(operations.len()).unwrap());
        put(300, 1);
        put(320, 32768);
        for (n, unit) in data.chunks(UNIT).enumerate() {
            header[44 + n * 4..48 + n * 4].copy_from_slice(&unit[..4]);
        }
        self.unit(&header, true);
        for unit in data.chunks(UNIT) {
            self.unit(unit, false);
        }
        start
    }

    fn recover(&self) -> (Option<Recovered>, Vec<Diagnostic>) {
        let findings = RefCell::new(Vec::new());
        let diagnose = |diagnostic| findings.borrow_mut().push(diagnostic);
        let volume: Arc<dyn ReadAt> = Arc::new(self.bytes.clone());
        let recovered = recover(
            &volume,
            &Self::geometry(),
            &[0; 16],
            &Limits::default(),
            &diagnose,
        )
        .unwrap();
        (recovered, findings.into_inner())
    }
}

fn transaction_header() -> Vec<u8> {
    let mut bytes = 0x5452_414E_u32.to_le_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// A buffer item for 128 bytes at chunk `chunk` of the target; without flags, with its content.
fn buffer(flags: u16, chunk: u32, fill: u8) -> Vec<Vec<u8>> {
    let mut format = Vec::new();
    let cancel = flags & 2 != 0;
    for n in [0x123C, if cancel { 1 } else { 2 }, flags, 8u16] {
        format.extend(n.to_le_bytes());
    }
    format.extend((TARGET as u64 / 512).to_le_bytes());
    format.extend(1u32.to_le_bytes());
    format.extend(if cancel { 0 } else { 1u32 << chunk }.to_le_bytes());
    if cancel {
        vec![format]
    } else {
        vec![format, vec![fill; 128]]
    }
}

/// The operations of a whole transaction.
fn transaction(tid: u32, items: &[Vec<Vec<u8>>]) -> Vec<(u32, u8, Vec<u8>)> {
    let mut out = vec![(tid, 1, Vec::new()), (tid, 0, transaction_header())];
    out.extend(
        items
            .iter()
            .flatten()
            .map(|region| (tid, 0, region.clone())),
    );
    out.push((tid, 2, Vec::new()));
    out
}

fn byte(recovered: &Recovered, chunk: usize) -> u8 {
    let mut buf = [0];
    recovered
        .reader
        .read_exact_at((TARGET + chunk * 128) as u64, &mut buf)
        .unwrap();
    buf[0]
}

#[test]
fn what_is_committed_is_replayed_and_nothing_else() {
    let mut disk = Disk::new();
    disk.record(
        0,
        &transaction(1, &[buffer(0, 0, 0xAA), buffer(0, 1, 0xBB)]),
    );
    let mut open = transaction(2, &[buffer(0, 2, 0xCC)]);
    open.pop();
    disk.record(0, &open);
    let (recovered, findings) = disk.recover();
    let recovered = recovered.unwrap();
    assert_eq!(recovered.transactions, 1);
    assert!(recovered.complete && findings.is_empty(), "{findings:?}");
    assert_eq!([0, 1, 2].map(|n| byte(&recovered, n)), [0xAA, 0xBB, 0]);
    let sector = ByteRange::new(TARGET as u64, TARGET as u64 + 512);
    assert_eq!(recovered.replayed, sector.into());
}

#[test]
fn a_transaction_spread_over_records_that_wrap_is_put_together() {
    let mut disk = Disk::new();
    // Fills all but two units.
    for _ in 0..15 {
        disk.record(0, &transaction(9, &[]));
    }
    let all = transaction(1, &[buffer(0, 3, 0x11)]);
    let (first, second) = all.split_at(2);
    let format = second[0].2.clone();
    let mut start = first.to_vec();
    // The format continues in the next record.
    start.push((1, 4, format[..10].to_vec()));
    let tail = disk.record(30, &start);
    assert_eq!((tail, disk.head, disk.cycle), (30, 0, 2));
    let mut rest = vec![(1, 8, format[10..].to_vec())];
    rest.extend(second[1..].to_vec());
    disk.record(30, &rest);
    let (recovered, findings) = disk.recover();
    let recovered = recovered.unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!((recovered.transactions, byte(&recovered, 3)), (1, 0x11));
}

#[test]
fn a_buffer_that_is_freed_later_is_not_replayed() {
    let mut disk = Disk::new();
    disk.record(0, &transaction(1, &[buffer(0, 0, 0xAA)]));
    disk.record(0, &transaction(2, &[buffer(2, 0, 0)]));
    let (recovered, _) = disk.recover();
    assert_eq!(byte(&recovered.unwrap(), 0), 0);
    // In use again behind that: the new content holds.
    disk.record(0, &transaction(3, &[buffer(0, 1, 0xDD)]));
    let (recovered, _) = disk.recover();
    let recovered = recovered.unwrap();
    assert_eq!([byte(&recovered, 0), byte(&recovered, 1)], [0, 0xDD]);
}

#[test]
fn intents_that_are_not_done_are_told_and_extents_to_free_are_free() {
    let mut disk = Disk::new();
    let intent = |kind: u16, id: u64| {
        let mut bytes = Vec::new();
        bytes.extend(kind.to_le_bytes());
        bytes.extend(1u16.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(id.to_le_bytes());
        bytes.extend(20u64.to_le_bytes());
        bytes.extend(3u32.to_le_bytes());
        bytes.extend([0; 4]);
        vec![bytes]
    };
    let done = [
        intent(0x1236, 7),
        intent(0x1237, 7),
        intent(0x1240, 5),
        intent(0x1241, 5),
    ];
    disk.record(0, &transaction(1, &done));
    assert!(disk.recover().0.unwrap().complete);
    disk.record(0, &transaction(2, &[intent(0x1236, 8)]));
    let recovered = disk.recover().0.unwrap();
    assert_eq!(
        recovered.to_be_freed,
        ByteRange::new(20 * 4096, 23 * 4096).into()
    );
    assert!(recovered.complete);
    disk.record(0, &transaction(3, &[intent(0x1242, 9)]));
    let (recovered, findings) = disk.recover();
    assert!(!recovered.unwrap().complete);
    assert_eq!(findings[0].code, "log-unfinished-intents");
}

/// The window in which the head may lie is as long as the log is up to it.
#[test]
fn a_search_of_nothing_finds_nothing() {
    let mut disk = Disk::new();
    disk.record(0, &transaction(1, &[]));
    let range = ByteRange::new(LOG as u64, (LOG + LENGTH * UNIT) as u64);
    let log = Log::new(&disk.bytes, range, false, [0; 16]);
    let end = LENGTH as u64;
    assert_eq!(log.find(1, end, end).unwrap(), None);
    assert_eq!(log.find(1, 0, end).unwrap(), Some(0));
}

#[test]
fn an_unmount_record_says_that_nothing_is_to_do() {
    let mut disk = Disk::new();
    disk.record(0, &transaction(1, &[buffer(0, 0, 0xAA)]));
    disk.record(3, &[(9, 0x20, vec![0; 8])]);
    assert!(disk.recover().0.is_none());
}

#[test]
fn a_record_that_was_not_written_in_full_does_not_count() {
    let mut disk = Disk::new();
    disk.record(0, &transaction(1, &[buffer(0, 0, 0xAA)]));
    let head = disk.head;
    disk.record(0, &transaction(2, &[buffer(0, 1, 0xBB)]));
    // Its last unit is still as it was.
    let last = LOG + (disk.head - 1) * UNIT;
    disk.bytes[last..last + UNIT].fill(0);
    let log = Log::new(
        &disk.bytes,
        ByteRange::new(LOG as u64, (LOG + LENGTH * UNIT) as u64),
        false,
        [0; 16],
    );
    let span = Span {
        tail: 0,
        head: head as u64,
    };
    assert_eq!(log.active().unwrap(), Some(span));
    let recovered = disk.recover().0.unwrap();
    assert_eq!([byte(&recovered, 0), byte(&recovered, 1)], [0xAA, 0]);
}
