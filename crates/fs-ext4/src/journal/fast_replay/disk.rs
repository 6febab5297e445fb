//! The filesystem while fast commits are applied to it: changed blocks are kept in memory, and
//! their checksums are kept right.

use std::collections::BTreeMap;
use std::sync::Arc;

use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{Error, ReadAt, Result};

use crate::checksum::crc;
use crate::geometry::Geometry;
use crate::ondisk::{RawInode, Superblock, ro_compat};

/// Where the fields of an inode that are written here lie.
const I_LINKS_COUNT: usize = 0x1A;
const I_DTIME: usize = 0x14;
const I_BLOCK: usize = 0x28;
/// Bytes of `i_block`.
pub(super) const I_BLOCK_SIZE: usize = 60;
const I_CHECKSUM_LO: usize = 0x7C;
const I_CHECKSUM_HI: usize = 0x82;

/// The filesystem, with the blocks that were changed.
pub(super) struct Disk<'a> {
    pub(super) superblock: &'a Superblock,
    geometry: &'a Geometry,
    volume: Arc<dyn ReadAt>,
    blocks: BTreeMap<u64, Vec<u8>>,
    limit: usize,
    /// What is left to spend.
    budget: u64,
}

/// Blocks that may be looked at in all. Each change may read a large directory or a large map, and
/// a hostile image can have very many changes.
const BUDGET: u64 = 1 << 22;

impl<'a> Disk<'a> {
    pub(super) fn new(geometry: &'a Geometry, volume: Arc<dyn ReadAt>, limit: usize) -> Self {
        Self {
            superblock: &geometry.sb,
            geometry,
            volume,
            blocks: BTreeMap::new(),
            limit,
            budget: BUDGET,
        }
    }

    /// Notes that `blocks` are looked at.
    pub(super) fn spend(&mut self, blocks: u64) -> Result<()> {
        let left = self.budget.checked_sub(blocks).ok_or_else(|| {
            Error::unsupported("fast commit", "the changes take too long to apply")
        })?;
        self.budget = left;
        Ok(())
    }

    /// The blocks that were changed.
    pub(super) fn into_blocks(self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        self.blocks.into_iter()
    }

    pub(super) fn block_size(&self) -> usize {
        to_usize(u64::from(self.superblock.block_size)).unwrap_or(usize::MAX)
    }

    /// Block `number` as it is now.
    pub(super) fn read(&self, number: u64) -> Result<Vec<u8>> {
        if let Some(block) = self.blocks.get(&number) {
            return Ok(block.clone());
        }
        let size = u64::from(self.superblock.block_size);
        let at = number.checked_mul(size);
        let at = at.filter(|_| number < self.superblock.s_blocks_count);
        let at = at.ok_or_else(|| {
            Error::corrupt("fast commit")
                .expected("a block of the filesystem")
                .found(number)
        })?;
        read(&self.volume, "block", at, self.block_size())
    }

    /// Puts `bytes` in the place of block `number`.
    pub(super) fn write(&mut self, number: u64, bytes: Vec<u8>) -> Result<()> {
        let held = self.blocks.len().saturating_mul(self.block_size());
        if held > self.limit {
            let message = format!("fast commits change more than {} bytes", self.limit);
            return Err(Error::limit("journal", message));
        }
        self.blocks.insert(number, bytes);
        Ok(())
    }

    /// Where an inode lies: block, and byte of it.
    fn inode_place(&self, inode: u32) -> Result<(u64, usize)> {
        let at = self
            .geometry
            .inode_offset(u64::from(inode))
            .ok_or_else(|| {
                Error::corrupt("fast commit")
                    .expected("an inode")
                    .found(inode)
            })?;
        let size = self.geometry.block();
        let within = at.checked_rem(size).and_then(to_usize).unwrap_or(0);
        Ok((at.checked_div(size).unwrap_or(0), within))
    }

    /// The bytes of an inode.
    pub(super) fn inode(&self, inode: u32) -> Result<Vec<u8>> {
        let (block, at) = self.inode_place(inode)?;
        let bytes = self.read(block)?;
        let size = usize::from(self.superblock.s_inode_size);
        let fields = Fields::new("inode", block, &bytes);
        fields.bytes(at, size).map(<[u8]>::to_vec)
    }

    /// Writes an inode, with its checksum.
    pub(super) fn write_inode(&mut self, inode: u32, mut raw: Vec<u8>) -> Result<()> {
        if self.superblock.ro_compat(ro_compat::METADATA_CSUM) {
            let has_high = RawInode::new(Fields::new("inode", 0, &raw)).i_extra_isize() >= 4;
            put(&mut raw, I_CHECKSUM_LO, &[0; 2])?;
            if has_high {
                put(&mut raw, I_CHECKSUM_HI, &[0; 2])?;
            }
            let [a, b, c, d] = crc(self.inode_seed(inode, &raw)?, &raw).to_le_bytes();
            put(&mut raw, I_CHECKSUM_LO, &[a, b])?;
            if has_high {
                put(&mut raw, I_CHECKSUM_HI, &[c, d])?;
            }
        }
        let (block, at) = self.inode_place(inode)?;
        let mut bytes = self.read(block)?;
        put(&mut bytes, at, &raw)?;
        self.write(block, bytes)
    }

    /// What the checksums of an inode and of its blocks start from.
    pub(super) fn inode_seed(&self, inode: u32, raw: &[u8]) -> Result<u32> {
        let generation = RawInode::new(Fields::new("inode", 0, raw)).i_generation()?;
        let seed = crc(self.superblock.checksum_seed(), &inode.to_le_bytes());
        Ok(crc(seed, &generation.to_le_bytes()))
    }

    /// Whether descriptors have their high halves.
    fn wide(&self) -> bool {
        self.superblock.descriptor_size >= 64
    }

    /// Where a descriptor lies: block, and byte of it.
    fn descriptor_place(&self, group: u32) -> (u64, usize) {
        let (group, per_block) = (u64::from(group), self.geometry.descriptors_per_block());
        let block = group.checked_div(per_block).unwrap_or(0);
        let index = group.checked_rem(per_block).and_then(to_usize).unwrap_or(0);
        let at = index.saturating_mul(usize::from(self.superblock.descriptor_size));
        (self.geometry.descriptor_block(block), at)
    }

    fn descriptor(&self, group: u32) -> Result<Descriptor> {
        let (block, at) = self.descriptor_place(group);
        let bytes = self.read(block)?;
        let size = usize::from(self.superblock.descriptor_size);
        let fields = Fields::new("group descriptor", block, &bytes);
        Ok(Descriptor {
            bytes: fields.bytes(at, size)?.to_vec(),
        })
    }

    fn write_descriptor(&mut self, group: u32, mut descriptor: Descriptor) -> Result<()> {
        if self.superblock.ro_compat(ro_compat::METADATA_CSUM) {
            put(&mut descriptor.bytes, 0x1E, &[0; 2])?;
            let seed = crc(self.superblock.checksum_seed(), &group.to_le_bytes());
            let [low, high, ..] = crc(seed, &descriptor.bytes).to_le_bytes();
            put(&mut descriptor.bytes, 0x1E, &[low, high])?;
        }
        let (block, at) = self.descriptor_place(group);
        let mut bytes = self.read(block)?;
        put(&mut bytes, at, &descriptor.bytes)?;
        self.write(block, bytes)
    }

    /// Marks an inode as in use or free.
    pub(super) fn mark_inode(&mut self, inode: u32, used: bool) -> Result<()> {
        let per_group = self.superblock.s_inodes_per_group.max(1);
        let index = inode.saturating_sub(1);
        let group = index.checked_div(per_group).unwrap_or(0);
        let within = index.checked_rem(per_group).unwrap_or(0);
        let mut descriptor = self.descriptor(group)?;
        let bitmap = descriptor.le(0x4, 0x24, self.wide())?;
        let mut bytes = self.read(bitmap)?;
        let flags = descriptor.u16(0x12)?;
        if flags & 0x1 != 0 {
            if !used {
                return Ok(());
            }
            // The bitmap was never written: no inode is in use.
            let used_bytes = to_usize(u64::from(per_group.div_ceil(8))).unwrap_or(0);
            bytes.fill(0xFF);
            for byte in bytes.iter_mut().take(used_bytes) {
                *byte = 0;
            }
            put(&mut descriptor.bytes, 0x12, &(flags & !0x1).to_le_bytes())?;
        }
        set_bit(&mut bytes, u64::from(within), used);
        // `bg_itable_unused`: inodes at the end that no one looks at.
        let unused = u32::from(descriptor.u16(0x1C)?);
        let room = per_group
            .saturating_sub(within.saturating_add(1))
            .min(0xFFFF);
        if used && unused > room {
            let room = u16::try_from(room).unwrap_or(u16::MAX);
            put(&mut descriptor.bytes, 0x1C, &room.to_le_bytes())?;
        }
        let summed = to_usize(u64::from(per_group.div_ceil(8))).unwrap_or(0);
        self.sum_bitmap(&mut descriptor, &bytes, summed, [0x1A, 0x3A])?;
        self.write(bitmap, bytes)?;
        self.write_descriptor(group, descriptor)
    }

    /// Marks `length` blocks from `start` as in use or free.
    pub(super) fn mark_blocks(&mut self, start: u64, length: u64, used: bool) -> Result<()> {
        let end = start
            .saturating_add(length)
            .min(self.superblock.s_blocks_count);
        let ratio = u64::from(self.superblock.cluster_blocks.max(1));
        let per_group = u64::from(self.superblock.s_blocks_per_group.max(1));
        let first = u64::from(self.superblock.s_first_data_block);
        let mut at = start.max(first);
        while at < end {
            let within = at.saturating_sub(first);
            let group = within.checked_div(per_group).unwrap_or(0);
            let next = group
                .saturating_add(1)
                .saturating_mul(per_group)
                .saturating_add(first)
                .min(end);
            let from = within.checked_rem(per_group).unwrap_or(0);
            let to = from.saturating_add(next.saturating_sub(at));
            // A cluster that is shared with another range stays in use.
            let bits = if used {
                from.checked_div(ratio).unwrap_or(0)..to.div_ceil(ratio)
            } else {
                from.div_ceil(ratio)..to.checked_div(ratio).unwrap_or(0)
            };
            self.mark_in_group(u32::try_from(group).unwrap_or(u32::MAX), bits, used)?;
            at = next;
        }
        Ok(())
    }

    fn mark_in_group(&mut self, group: u32, bits: std::ops::Range<u64>, used: bool) -> Result<()> {
        let mut descriptor = self.descriptor(group)?;
        let flags = descriptor.u16(0x12)?;
        if flags & 0x2 != 0 {
            // The bitmap was never written, and what it would say follows from the layout alone:
            // blocks of files are claimed by their files, so it may stay as it is.
            return Ok(());
        }
        let bitmap = descriptor.le(0x0, 0x20, self.wide())?;
        let mut bytes = self.read(bitmap)?;
        bits.for_each(|bit| set_bit(&mut bytes, bit, used));
        let clusters = u64::from(self.superblock.s_clusters_per_group);
        let summed = to_usize(clusters.div_ceil(8)).unwrap_or(0);
        self.sum_bitmap(&mut descriptor, &bytes, summed, [0x18, 0x38])?;
        self.write(bitmap, bytes)?;
        self.write_descriptor(group, descriptor)
    }

    /// A block that no one uses, taken into use. `avoid` are blocks that someone will use.
    pub(super) fn allocate(&mut self, avoid: &hexz_resolve::RangeSet) -> Result<u64> {
        let groups = u32::try_from(self.geometry.groups.len()).unwrap_or(u32::MAX);
        for group in 0..groups {
            self.spend(1)?;
            let descriptor = self.descriptor(group)?;
            if descriptor.u16(0x12)? & 0x2 != 0 || self.superblock.cluster_blocks != 1 {
                continue;
            }
            let bitmap = self.read(descriptor.le(0x0, 0x20, self.wide())?)?;
            let first = u64::from(group)
                .saturating_mul(u64::from(self.superblock.s_blocks_per_group))
                .saturating_add(u64::from(self.superblock.s_first_data_block));
            let mut bits = 0..u64::from(self.superblock.s_blocks_per_group);
            let free = bits.find(|bit| {
                let block = first.saturating_add(*bit);
                !has_bit(&bitmap, *bit)
                    && block < self.superblock.s_blocks_count
                    && !avoid.contains(block)
            });
            if let Some(bit) = free {
                self.mark_in_group(group, bit..bit.saturating_add(1), true)?;
                return Ok(first.saturating_add(bit));
            }
        }
        Err(Error::unsupported("fast commit", "no free block is known"))
    }

    fn sum_bitmap(
        &self,
        descriptor: &mut Descriptor,
        bitmap: &[u8],
        summed: usize,
        [low_at, high_at]: [usize; 2],
    ) -> Result<()> {
        if !self.superblock.ro_compat(ro_compat::METADATA_CSUM) {
            return Ok(());
        }
        let bytes = bitmap.get(..summed).unwrap_or(bitmap);
        let [a, b, c, d] = crc(self.superblock.checksum_seed(), bytes).to_le_bytes();
        put(&mut descriptor.bytes, low_at, &[a, b])?;
        if self.wide() {
            put(&mut descriptor.bytes, high_at, &[c, d])?;
        }
        Ok(())
    }
}

/// The bytes of a group descriptor.
struct Descriptor {
    bytes: Vec<u8>,
}

impl Descriptor {
    fn u16(&self, at: usize) -> Result<u16> {
        Fields::new("group descriptor", 0, &self.bytes).le16(at)
    }

    /// A block number of two halves.
    fn le(&self, low: usize, high: usize, wide: bool) -> Result<u64> {
        let fields = Fields::new("group descriptor", 0, &self.bytes);
        let high = if wide { fields.le32(high)? } else { 0 };
        Ok(u64::from(high) << 32 | u64::from(fields.le32(low)?))
    }
}

/// An inode as a value that is changed and written back.
pub(super) fn set_links(raw: &mut [u8], links: u16) -> Result<()> {
    put(raw, I_LINKS_COUNT, &links.to_le_bytes())
}

/// Makes the inode one that was deleted: no links, no size, a time of deletion.
pub(super) fn set_deleted(raw: &mut [u8]) -> Result<()> {
    set_links(raw, 0)?;
    put(raw, 4, &[0; 4])?;
    put(raw, 0x6C, &[0; 4])?;
    put(raw, I_DTIME, &1u32.to_le_bytes())
}

/// Sets `i_block`.
pub(super) fn set_i_block(raw: &mut [u8], bytes: &[u8]) -> Result<()> {
    put(raw, I_BLOCK, bytes)
}

/// Puts `bytes` at byte `at` of `into`.
pub(super) fn put(into: &mut [u8], at: usize, bytes: &[u8]) -> Result<()> {
    let there = at
        .checked_add(bytes.len())
        .and_then(|end| into.get_mut(at..end))
        .ok_or_else(|| Error::corrupt("fast commit").message("a field past the end"))?;
    there.copy_from_slice(bytes);
    Ok(())
}

fn has_bit(bitmap: &[u8], bit: u64) -> bool {
    let byte = to_usize(bit >> 3).and_then(|n| bitmap.get(n));
    // Past the end nothing is free.
    byte.is_none_or(|byte| byte >> (bit & 7) & 1 != 0)
}

fn set_bit(bitmap: &mut [u8], bit: u64, set: bool) {
    if let Some(byte) = to_usize(bit >> 3).and_then(|n| bitmap.get_mut(n)) {
        let mask = 1u8 << (bit & 7);
        *byte = if set { *byte | mask } else { *byte & !mask };
    }
}
