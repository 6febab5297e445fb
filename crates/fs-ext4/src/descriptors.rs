//! Group descriptors: each held against its checksum and against where its structures can lie, and
//! taken from a backup where it fails.
//!
//! <https://www.kernel.org/doc/html/latest/filesystems/ext4/group_descr.html>

use hexz_ondisk::{Fields, read, to_usize};
use hexz_resolve::{Diagnostic, Error, OpenContext, ReadAt, Result};

use crate::checksum::{crc, crc16};
use crate::geometry::Geometry;
use crate::ondisk::{GroupDescriptor, Superblock, incompat, ro_compat};

/// Backups that are tried; the first is as good as any, unless it is damaged too.
const BACKUPS: usize = 8;
/// Where `bg_checksum` lies.
const BG_CHECKSUM: usize = 0x1E;

/// One copy of a descriptor.
struct Copy {
    descriptor: GroupDescriptor,
    /// Byte of the volume.
    offset: u64,
    /// Why it is not believed.
    fault: Option<Error>,
}

/// A block of descriptors.
struct Block<'a> {
    geometry: &'a Geometry,
    reader: &'a dyn ReadAt,
    cx: &'a OpenContext<'a>,
    /// Its number among the blocks of descriptors.
    number: u64,
    /// Group of its first descriptor.
    first: u64,
    /// Descriptors in it that count.
    wanted: u64,
    /// Groups with a backup superblock.
    backups: &'a [u64],
}

impl Geometry {
    /// Reads the group descriptors. What of them is damaged or can't be read is taken from a backup,
    /// and else left out.
    pub(crate) fn read(reader: &dyn ReadAt, sb: Superblock, cx: &OpenContext<'_>) -> Result<Self> {
        let mut geometry = Self {
            sb,
            groups: Vec::new(),
            volume: reader.len(),
        };
        let count = geometry.groups_within();
        geometry.groups = read_all(&geometry, reader, count, cx)?;
        Ok(geometry)
    }
}

/// Reads the descriptors of the first `count` groups. Those that are in no copy that can be read
/// are left empty.
///
/// # Errors
/// When no copy of the first block can be read.
fn read_all(
    geometry: &Geometry,
    reader: &dyn ReadAt,
    count: u64,
    cx: &OpenContext<'_>,
) -> Result<Vec<GroupDescriptor>> {
    let with_super = (1..count).filter(|group| geometry.has_super(*group));
    let backups: Vec<u64> = with_super.take(BACKUPS).collect();
    let per_block = geometry.descriptors_per_block();
    let mut groups = Vec::new();
    for number in 0..count.div_ceil(per_block) {
        let first = number.saturating_mul(per_block);
        let block = Block {
            geometry,
            reader,
            cx,
            number,
            first,
            wanted: count.saturating_sub(first).min(per_block),
            backups: &backups,
        };
        groups.extend(block.descriptors()?);
    }
    Ok(groups)
}

impl Block<'_> {
    fn descriptors(&self) -> Result<Vec<GroupDescriptor>> {
        let primary = match self.copy(self.geometry.descriptor_block(self.number)) {
            Ok(copies) if copies.iter().all(|copy| copy.fault.is_none()) => {
                return Ok(copies.iter().map(|copy| copy.descriptor).collect());
            }
            other => other,
        };
        let places = self.backup_blocks();
        let backups = places.iter().filter_map(|at| self.copy(*at).ok());
        let backups: Vec<Vec<Copy>> = backups.collect();
        let primary = match primary {
            Ok(copies) => copies,
            Err(error) if backups.is_empty() && self.number == 0 => return Err(error),
            Err(error) if backups.is_empty() => {
                self.cx.diagnose(Diagnostic::from(&error.layer("ext4")));
                Vec::new()
            }
            Err(error) => {
                self.backup_used(self.first, &error);
                Vec::new()
            }
        };
        let count = to_usize(self.wanted).unwrap_or(0);
        Ok((0..count)
            .map(|n| self.choose(n, primary.get(n), &backups))
            .collect())
    }

    /// The best of the copies of descriptor `n` of the block.
    fn choose(&self, n: usize, primary: Option<&Copy>, backups: &[Vec<Copy>]) -> GroupDescriptor {
        let group = self
            .first
            .saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        let mut copies = backups.iter().filter_map(|copies| copies.get(n));
        let sound = copies.find(|copy| copy.fault.is_none());
        let any = backups.first().and_then(|copies| copies.get(n));
        let Some(copy) = primary.or(any) else {
            return GroupDescriptor::default();
        };
        let Some(fault) = &copy.fault else {
            return match primary {
                Some(copy) => copy.descriptor,
                None => copy.descriptor.without_flags(),
            };
        };
        if let Some(sound) = sound {
            if primary.is_some() {
                self.backup_used(group, fault);
            }
            return sound.descriptor.without_flags();
        }
        // That the volume ends before the group is told for itself.
        if group < self.geometry.groups_starting_within() {
            self.doubt(group, copy, fault);
        }
        self.geometry.usable(copy.descriptor.without_flags())
    }

    fn backup_used(&self, group: u64, fault: &Error) {
        let text = format!(
            "descriptor of group {group}: {}; a backup of it is used",
            fault.chain()
        );
        let finding = Diagnostic::warning("ext4-backup-descriptor", text);
        self.cx.diagnose(match fault.offset() {
            Some(offset) => finding.at(offset),
            None => finding,
        });
    }

    /// Tells of a descriptor of which there is no better copy.
    fn doubt(&self, group: u64, copy: &Copy, fault: &Error) {
        let usable = self.geometry.usable(copy.descriptor) == copy.descriptor;
        let text = format!("descriptor of group {group}: {}", fault.chain());
        let finding = if usable {
            Diagnostic::warning("ext4-checksum", text)
        } else {
            let text = format!("{text}; what it leads to is left out");
            Diagnostic::error("corrupt-group-descriptor", text)
        };
        self.cx
            .diagnose(finding.at(fault.offset().unwrap_or(copy.offset)));
    }

    /// The copy of the block's descriptors at block `at` of the filesystem.
    fn copy(&self, at: u64) -> Result<Vec<Copy>> {
        let offset = at.saturating_mul(self.geometry.block());
        let length = to_usize(self.geometry.block()).unwrap_or(0);
        let bytes = read(self.reader, "group descriptors", offset, length)?;
        let fields = Fields::new("group descriptor", offset, &bytes);
        let size = usize::from(self.geometry.sb.descriptor_size);
        (0..to_usize(self.wanted).unwrap_or(0))
            .map(|n| {
                let one = fields.sub("group descriptor", n.saturating_mul(size), size)?;
                let group = self.first.saturating_add(u64::try_from(n).unwrap_or(0));
                let descriptor = GroupDescriptor::parse(one)?;
                let misplaced = || self.geometry.check_places(one, group, &descriptor);
                Ok(Copy {
                    descriptor,
                    offset: one.offset(),
                    fault: self
                        .geometry
                        .check_sum(one, group)
                        .and_then(|()| misplaced())
                        .err(),
                })
            })
            .collect()
    }

    /// Where the backups of the block lie.
    fn backup_blocks(&self) -> Vec<u64> {
        let geometry = self.geometry;
        if geometry.meta_bg(self.number) {
            let last = geometry.descriptors_per_block().saturating_sub(1);
            let groups = [1, last].map(|n| self.first.saturating_add(n));
            let groups = groups.into_iter().filter(|g| *g < geometry.sb.groups());
            return groups.map(|g| geometry.meta_group_block(g)).collect();
        }
        let groups = self.backups.iter();
        let behind = |group: &u64| geometry.super_block(*group).saturating_add(1);
        groups
            .map(|group| behind(group).saturating_add(self.number))
            .collect()
    }
}

impl Geometry {
    /// Whether a descriptor matches its checksum, where the filesystem has any.
    fn check_sum(&self, f: Fields<'_>, group: u64) -> Result<()> {
        let number = u32::try_from(group).unwrap_or(u32::MAX).to_le_bytes();
        let head = f.bytes(0, BG_CHECKSUM)?;
        let tail = f.rest(BG_CHECKSUM.saturating_add(2))?;
        let sum = if self.sb.ro_compat(ro_compat::METADATA_CSUM) {
            let sum = crc(crc(self.sb.checksum_seed(), &number), head);
            crc(crc(sum, &[0; 2]), tail) & 0xFFFF
        } else if self.sb.ro_compat(ro_compat::GDT_CSUM) {
            let sum = crc16(crc16(crc16(!0, &self.sb.s_uuid), &number), head);
            crc16(sum, tail).into()
        } else {
            return Ok(());
        };
        let stored = f.le16(BG_CHECKSUM)?;
        if sum == u32::from(stored) {
            return Ok(());
        }
        let expected = format_args!("bg_checksum {sum:#06x}");
        let found = format_args!("{stored:#06x}");
        Err(f.corrupt(BG_CHECKSUM).expected(expected).found(found))
    }

    /// Whether what a descriptor leads to can lie there: in its own group, unless groups may stand
    /// together, and behind the descriptors themselves.
    fn check_places(&self, f: Fields<'_>, group: u64, d: &GroupDescriptor) -> Result<()> {
        let (mut first, mut end) = (self.first_free_block(), self.sb.s_blocks_count);
        if !self.sb.incompat(incompat::FLEX_BG) {
            let start = self.group_start(group);
            first = first.max(start);
            end = start.saturating_add(self.group_blocks(group));
        }
        for (at, name, block, length) in [
            (0, "bg_block_bitmap", d.bg_block_bitmap, 1),
            (4, "bg_inode_bitmap", d.bg_inode_bitmap, 1),
            (8, "bg_inode_table", d.bg_inode_table, self.table_blocks()),
        ] {
            let last = block.checked_add(length);
            if block < first || last.is_none_or(|last| last > end) {
                let expected = format_args!("{name} from {first} to {end}");
                return Err(f.corrupt(at).expected(expected).found(block));
            }
        }
        Ok(())
    }

    /// The block behind the primary superblock and the descriptors that stand with it.
    fn first_free_block(&self) -> u64 {
        let all = self
            .groups_starting_within()
            .div_ceil(self.descriptors_per_block())
            .min(self.plain_descriptor_blocks());
        self.super_block(0).saturating_add(1).saturating_add(all)
    }

    /// `descriptor` without what leads out of the filesystem.
    fn usable(&self, descriptor: GroupDescriptor) -> GroupDescriptor {
        let within = |block: u64, length: u64| {
            let inside = self.blocks(block, length).is_some() && block >= self.first_free_block();
            if inside { block } else { 0 }
        };
        GroupDescriptor {
            bg_block_bitmap: within(descriptor.bg_block_bitmap, 1),
            bg_inode_bitmap: within(descriptor.bg_inode_bitmap, 1),
            bg_inode_table: within(descriptor.bg_inode_table, 1),
            ..descriptor
        }
    }
}
