//! Journals for tests, written field by field after the specification.

use super::checksum::crc32_be;
use super::log::Run;
use crate::checksum::crc;

/// Bytes of a block.
pub(super) const BLOCK: usize = 1024;
/// Blocks of the volume.
pub(super) const BLOCKS: usize = 160;
/// Where the journal lies: in two pieces, the second before the first.
const PIECES: [(u64, u64, u64); 2] = [(0, 100, 12), (12, 60, 20)];
/// `s_maxlen`.
pub(super) const MAXLEN: u32 = 32;

/// How blocks are summed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sums {
    None,
    V1,
    V2,
    V3,
}

/// A volume whose block N is filled with N, with a journal.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    pub(super) sums: Sums,
    wide: bool,
    seed: u32,
    /// Next block of the log.
    at: u32,
    /// Transaction at hand.
    pub(super) sequence: u32,
    /// Running checksum, version 1.
    sum: u32,
    /// `h_commit_sec` of the next commit.
    pub(super) clock: u64,
}

impl Image {
    pub(super) fn new(sums: Sums, wide: bool, start: u32, sequence: u32) -> Self {
        let mut image = Self {
            bytes: (0..BLOCKS).flat_map(|n| [n as u8; BLOCK]).collect(),
            sums,
            wide,
            seed: crc(!0, &[7; 16]),
            at: start,
            sequence,
            sum: !0,
            clock: 1000,
        };
        let mut block = [0; BLOCK];
        let mut put =
            |at: usize, value: u32| block[at..at + 4].copy_from_slice(&value.to_be_bytes());
        for (at, value) in [
            (0, 0xC03B_3998),
            (4, 4),
            (12, BLOCK as u32),
            (16, MAXLEN),
            (20, 1),
            (24, sequence),
            (28, start),
            (36, u32::from(sums == Sums::V1)),
        ] {
            put(at, value);
        }
        let csum = match sums {
            Sums::V2 => 0x8,
            Sums::V3 => 0x10,
            _ => 0,
        };
        put(40, 0x1 | if wide { 0x2 } else { 0 } | csum);
        block[48..64].fill(7);
        image.superblock(block);
        image
    }

    /// Writes the journal superblock, summed where it is to be.
    pub(super) fn superblock(&mut self, mut block: [u8; BLOCK]) {
        if matches!(self.sums, Sums::V2 | Sums::V3) {
            block[80] = 4;
            block[0xFC..0x100].fill(0);
            let sum = crc(!0, &block);
            block[0xFC..0x100].copy_from_slice(&sum.to_be_bytes());
        }
        self.log_block(0).copy_from_slice(&block);
    }

    /// The journal superblock with the word at `at` changed.
    pub(super) fn patch_superblock(&mut self, at: usize, value: u32) {
        let mut block: [u8; BLOCK] = self.log_block(0).try_into().unwrap();
        block[at..at + 4].copy_from_slice(&value.to_be_bytes());
        self.superblock(block);
    }

    pub(super) fn runs() -> Vec<Run> {
        PIECES
            .map(|(logical, physical, length)| Run {
                logical,
                physical,
                length,
            })
            .to_vec()
    }

    /// Block `index` of the journal.
    pub(super) fn log_block(&mut self, index: u32) -> &mut [u8] {
        let index = u64::from(index);
        let (logical, physical, _) = PIECES
            .into_iter()
            .find(|(logical, _, length)| (*logical..logical + length).contains(&index))
            .unwrap();
        let at = (physical + index - logical) as usize * BLOCK;
        &mut self.bytes[at..at + BLOCK]
    }

    fn append(&mut self, block: &[u8]) -> u32 {
        let at = self.at;
        self.log_block(at).copy_from_slice(block);
        self.at = if at + 1 == MAXLEN { 1 } else { at + 1 };
        at
    }

    fn header(&self, kind: u32) -> Vec<u8> {
        let mut block = Vec::new();
        for word in [0xC03B_3998, kind, self.sequence] {
            block.extend(word.to_be_bytes());
        }
        block
    }

    fn tail(&self, block: &mut [u8]) {
        if matches!(self.sums, Sums::V2 | Sums::V3) {
            let sum = crc(self.seed, block);
            block[BLOCK - 4..].copy_from_slice(&sum.to_be_bytes());
        }
    }

    /// A descriptor block with the new contents of some blocks. Gives its index.
    pub(super) fn write(&mut self, writes: &[(u64, [u8; BLOCK])]) -> u32 {
        let mut block = self.header(1);
        let mut copies = Vec::new();
        for (n, (target, content)) in writes.iter().enumerate() {
            let mut copy = *content;
            let escaped = copy[..4] == [0xC0, 0x3B, 0x39, 0x98];
            if escaped {
                copy[..4].fill(0);
            }
            let flags = u32::from(escaped)
                | if n > 0 { 0x2 } else { 0 }
                | if n + 1 == writes.len() { 0x8 } else { 0 };
            let sum = crc(crc(self.seed, &self.sequence.to_be_bytes()), &copy);
            block.extend((*target as u32).to_be_bytes());
            let high = ((*target >> 32) as u32).to_be_bytes();
            if self.sums == Sums::V3 {
                block.extend(flags.to_be_bytes());
                block.extend(high);
                block.extend(sum.to_be_bytes());
            } else {
                let short = if self.sums == Sums::V2 { sum as u16 } else { 0 };
                block.extend(short.to_be_bytes());
                block.extend((flags as u16).to_be_bytes());
                if self.wide {
                    block.extend(high);
                }
                if self.sums == Sums::V2 {
                    block.extend([0; 2]);
                }
            }
            if n == 0 {
                block.extend([7; 16]);
            }
            copies.push(copy);
        }
        block.resize(BLOCK, 0);
        self.tail(&mut block);
        self.sum = crc32_be(self.sum, &block);
        let index = self.append(&block);
        for copy in copies {
            self.sum = crc32_be(self.sum, &copy);
            self.append(&copy);
        }
        index
    }

    /// A revoke block. Gives its index.
    pub(super) fn revoke(&mut self, blocks: &[u64]) -> u32 {
        let mut block = self.header(5);
        let size = if self.wide { 8 } else { 4 };
        block.extend((16 + size * blocks.len() as u32).to_be_bytes());
        for number in blocks {
            let bytes = number.to_be_bytes();
            block.extend(&bytes[8 - size as usize..]);
        }
        block.resize(BLOCK, 0);
        self.tail(&mut block);
        self.append(&block)
    }

    /// A commit block; the next transaction begins. Gives its index.
    pub(super) fn commit(&mut self) -> u32 {
        let mut block = self.header(2);
        block.resize(BLOCK, 0);
        block[48..56].copy_from_slice(&self.clock.to_be_bytes());
        match self.sums {
            Sums::None => {}
            Sums::V1 => {
                block[12] = 1;
                block[13] = 4;
                block[16..20].copy_from_slice(&self.sum.to_be_bytes());
            }
            Sums::V2 | Sums::V3 => {
                let sum = crc(self.seed, &block);
                block[16..20].copy_from_slice(&sum.to_be_bytes());
            }
        }
        self.sum = !0;
        self.clock += 1;
        self.sequence = self.sequence.wrapping_add(1);
        self.append(&block)
    }
}
