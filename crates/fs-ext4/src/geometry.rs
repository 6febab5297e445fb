//! Where the fixed metadata of a filesystem lies: groups, their descriptors, bitmaps and tables.

use hexz_ondisk::to_usize;
use hexz_resolve::{ByteRange, Claim, RangeSet, Role};

use crate::ondisk::{GroupDescriptor, Superblock, compat, incompat, ro_compat};

/// The detail word of blocks that are kept for more group descriptors.
pub(crate) const RESERVED_GDT: &str = "reserved-gdt";

/// A superblock and the group descriptors it leads to.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(crate) sb: Superblock,
    pub(crate) groups: Vec<GroupDescriptor>,
    /// Length of the volume in bytes; it may be shorter than the filesystem.
    pub(crate) volume: u64,
}

impl Geometry {
    /// Number of groups of which anything may lie within the volume. The count of blocks is not
    /// believed beyond that: the volume may be cut, and the count may be wrong.
    pub(crate) fn groups_within(&self) -> u64 {
        let mut count = self.groups_starting_within();
        if self.sb.incompat(incompat::FLEX_BG) {
            // The first group has the inode tables of all that stand together with it; as many
            // as the volume has room for.
            let flex = 1u64.checked_shl(self.sb.s_log_groups_per_flex.into());
            let together = flex.and_then(|flex| count.checked_next_multiple_of(flex));
            let blocks = self.volume.div_ceil(self.block());
            let tables = blocks.checked_div(self.table_blocks()).unwrap_or(0);
            count = together.unwrap_or(u64::MAX).min(tables.max(count));
        }
        count.min(self.sb.groups())
    }

    /// Number of groups whose first block lies within the volume.
    pub(crate) fn groups_starting_within(&self) -> u64 {
        let blocks = self.volume.div_ceil(self.block());
        let blocks = blocks.saturating_sub(self.sb.s_first_data_block.into());
        let per_group = u64::from(self.sb.s_blocks_per_group);
        blocks.div_ceil(per_group.max(1)).min(self.sb.groups())
    }

    /// Bytes of a block.
    pub(crate) fn block(&self) -> u64 {
        u64::from(self.sb.block_size)
    }

    /// `length` blocks at block `start`, in bytes; `None` unless they lie in the filesystem.
    pub(crate) fn blocks(&self, start: u64, length: u64) -> Option<ByteRange> {
        let end = start
            .checked_add(length)
            .filter(|end| *end <= self.sb.s_blocks_count)?;
        let range = ByteRange::new(
            start.checked_mul(self.block())?,
            end.checked_mul(self.block())?,
        );
        (length > 0).then_some(range)
    }

    /// The same of what a group descriptor leads to; block 0 says that it leads nowhere.
    pub(crate) fn structure(&self, start: u64, length: u64) -> Option<ByteRange> {
        self.blocks(start, length).filter(|_| start != 0)
    }

    pub(crate) fn descriptors_per_block(&self) -> u64 {
        self.block()
            .checked_div(self.sb.descriptor_size.into())
            .unwrap_or(0)
            .max(1)
    }

    /// First block of a group.
    pub(crate) fn group_start(&self, group: u64) -> u64 {
        group
            .saturating_mul(u64::from(self.sb.s_blocks_per_group))
            .saturating_add(u64::from(self.sb.s_first_data_block))
    }

    /// Blocks of a group; the last one may be shorter.
    pub(crate) fn group_blocks(&self, group: u64) -> u64 {
        let left = self
            .sb
            .s_blocks_count
            .saturating_sub(self.group_start(group));
        left.min(u64::from(self.sb.s_blocks_per_group))
    }

    /// Where the superblock of a group would be: behind the boot block even in a group that
    /// starts at block 0 of 1 KiB (`bigalloc`).
    pub(crate) fn super_block(&self, group: u64) -> u64 {
        match self.group_start(group) {
            0 if self.sb.block_size == 1024 => 1,
            start => start,
        }
    }

    /// Whether a group has a superblock.
    pub(crate) fn has_super(&self, group: u64) -> bool {
        if group == 0 {
            return true;
        }
        if self.sb.compat(compat::SPARSE_SUPER2) {
            return self.sb.s_backup_bgs.iter().any(|g| u64::from(*g) == group);
        }
        if group == 1 || !self.sb.ro_compat(ro_compat::SPARSE_SUPER) {
            return true;
        }
        [3u64, 5, 7].into_iter().any(|root| {
            let mut power = root;
            while power < group {
                power = power.saturating_mul(root);
            }
            power == group
        })
    }

    pub(crate) fn meta_bg(&self, descriptor_block: u64) -> bool {
        self.sb.incompat(incompat::META_BG)
            && descriptor_block >= u64::from(self.sb.s_first_meta_bg)
    }

    /// The block with the descriptors of a meta group, in one of its groups.
    pub(crate) fn meta_group_block(&self, group: u64) -> u64 {
        self.super_block(group)
            .saturating_add(u64::from(self.has_super(group)))
    }

    /// Where block number `block` of the group descriptors lies.
    pub(crate) fn descriptor_block(&self, block: u64) -> u64 {
        if self.meta_bg(block) {
            self.meta_group_block(block.saturating_mul(self.descriptors_per_block()))
        } else {
            self.super_block(0).saturating_add(1).saturating_add(block)
        }
    }

    /// Bytes of the used part of a group's inode table, and its first inode; `None` when the group
    /// has none that is used, or lies about where it is.
    pub(crate) fn inode_table(&self, group: usize) -> Option<(u64, u64, u64)> {
        let descriptor = self.groups.get(group)?;
        let per_group = u64::from(self.sb.s_inodes_per_group);
        let first = u64::try_from(group)
            .ok()?
            .checked_mul(per_group)?
            .checked_add(1)?;
        let mut count = u64::from(self.sb.s_inodes_count)
            .checked_sub(first.checked_sub(1)?)?
            .min(per_group);
        if self.has_checksummed_groups() {
            if descriptor.bg_flags & crate::ondisk::bg_flags::INODE_UNINIT != 0 {
                return None;
            }
            count = count.saturating_sub(u64::from(descriptor.bg_itable_unused));
        }
        self.structure(descriptor.bg_inode_table, 1)?;
        let start = descriptor.bg_inode_table.checked_mul(self.block())?;
        (count > 0).then_some((start, first, count))
    }

    /// Whether `bg_flags` and `bg_itable_unused` mean something.
    pub(crate) fn has_checksummed_groups(&self) -> bool {
        self.sb.ro_compat(ro_compat::GDT_CSUM) || self.sb.ro_compat(ro_compat::METADATA_CSUM)
    }

    /// Bytes of an inode table.
    pub(crate) fn table_blocks(&self) -> u64 {
        u64::from(self.sb.s_inodes_per_group)
            .saturating_mul(u64::from(self.sb.s_inode_size))
            .div_ceil(self.block())
    }

    /// Where an inode lies; `None` for a number that is none.
    pub(crate) fn inode_offset(&self, number: u64) -> Option<u64> {
        if number > u64::from(self.sb.s_inodes_count) {
            return None;
        }
        let index = number.checked_sub(1)?;
        let per_group = u64::from(self.sb.s_inodes_per_group);
        let group = to_usize(index.checked_div(per_group)?)?;
        let descriptor = self.groups.get(group)?;
        self.structure(descriptor.bg_inode_table, 1)?;
        let within = index
            .checked_rem(per_group)?
            .checked_mul(u64::from(self.sb.s_inode_size))?;
        descriptor
            .bg_inode_table
            .checked_mul(self.block())?
            .checked_add(within)
    }

    /// The fixed metadata that shares a byte with `wanted`.
    pub(crate) fn structures(&self, wanted: &RangeSet) -> Vec<Claim> {
        let mut out = Vec::new();
        let volume = ByteRange::new(0, self.volume);
        let mut put = |range: Option<ByteRange>, role, detail| {
            let range = range.and_then(|range| range.intersection(&volume));
            if let Some(range) = range.filter(|r| wanted.overlaps(*r)) {
                out.push(Claim::structure(range, role, detail));
            }
        };
        // In blocks of more than 1 KiB, the boot sector is the head of the superblock's block.
        let boot = if self.block() > 1024 {
            Role::Superblock
        } else {
            Role::Boot
        };
        put(Some(ByteRange::new(0, 1024)), boot, "boot-sector");
        let primary = ByteRange::new(1024, self.block().max(2048));
        put(Some(primary), Role::Superblock, "superblock");
        if self.sb.incompat(incompat::MMP) {
            put(self.blocks(self.sb.s_mmp_block, 1), Role::Superblock, "mmp");
        }
        for (group, descriptor) in (0u64..).zip(&self.groups) {
            if group > 0 && self.has_super(group) {
                let range = self.blocks(self.super_block(group), 1);
                put(range, Role::Superblock, "backup-superblock");
            }
            self.descriptor_copies(group, &mut put);
            put(
                self.structure(descriptor.bg_block_bitmap, 1),
                Role::Allocation,
                "block-bitmap",
            );
            put(
                self.structure(descriptor.bg_inode_bitmap, 1),
                Role::Allocation,
                "inode-bitmap",
            );
            let table = self.structure(descriptor.bg_inode_table, self.table_blocks());
            put(table, Role::InodeTable, "inode-table");
        }
        out
    }

    /// Blocks of group descriptors that stand together behind a superblock.
    pub(crate) fn plain_descriptor_blocks(&self) -> u64 {
        let all = self.sb.groups().div_ceil(self.descriptors_per_block());
        if self.sb.incompat(incompat::META_BG) {
            all.min(u64::from(self.sb.s_first_meta_bg))
        } else {
            all
        }
    }

    fn descriptor_copies(
        &self,
        group: u64,
        put: &mut impl FnMut(Option<ByteRange>, Role, &'static str),
    ) {
        let role = Role::GroupDescriptors;
        let plain = self.plain_descriptor_blocks();
        let name = if group == 0 {
            "group-descriptors"
        } else {
            "backup-group-descriptors"
        };
        if self.has_super(group) {
            let start = self.super_block(group).saturating_add(1);
            put(self.blocks(start, plain), role, name);
            if self.sb.compat(compat::RESIZE_INODE) {
                let reserved = u64::from(self.sb.s_reserved_gdt_blocks);
                put(
                    self.blocks(start.saturating_add(plain), reserved),
                    role,
                    RESERVED_GDT,
                );
            }
        }
        let per_block = self.descriptors_per_block();
        let meta = group.checked_div(per_block).unwrap_or(0);
        if self.meta_bg(meta) {
            let within = group.checked_rem(per_block).unwrap_or(0);
            if within == 0 {
                put(
                    self.blocks(self.meta_group_block(group), 1),
                    role,
                    "group-descriptors",
                );
            } else if within == 1 || within == per_block.saturating_sub(1) {
                put(
                    self.blocks(self.meta_group_block(group), 1),
                    role,
                    "backup-group-descriptors",
                );
            }
        }
    }
}
