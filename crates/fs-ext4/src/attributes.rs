//! Attributes of files, decoded from their inodes.

use hexz_resolve::{
    Attributes, FileKey, FileKind, FileSet, RawName, Result, Scan, Sink, Timestamp,
};

use crate::content::kind;
use crate::fs::{Ext4, telling};
use crate::ondisk::{RawInode, i_flags};
use crate::reserved;

impl Ext4 {
    pub(crate) fn read_attributes(
        &self,
        files: &FileSet,
        cx: &Scan<'_>,
        out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        let diagnose = telling(cx);
        self.each_file(files, cx, |number, inode| {
            // A mount deletes a file that has no name any more.
            if self.orphans.contains(&number) && inode.i_links_count()? == 0 {
                return Ok(());
            }
            self.check_inode(number, &inode, cx)?;
            let mut attributes = basic(number, &inode)?;
            attributes.reserved = self.reserved_name(number);
            let content = self.content(number, &inode)?;
            if attributes.kind == FileKind::Symlink {
                let target = self.target(number, &inode, content, &diagnose)?;
                attributes.target = Some(RawName::from(&*target));
                if attributes.encrypted {
                    // What the kernel says, too: the length of the target that it shows.
                    attributes.size = u64::try_from(target.len()).unwrap_or(u64::MAX);
                }
            }
            match self.xattrs(&inode, &diagnose) {
                Ok(xattrs) => attributes.xattrs = xattrs,
                Err(error) => cx.tolerate(error.layer("ext4"))?,
            }
            out.put(attributes)
        })
    }

    /// The usual name of a file that no directory names.
    pub(crate) fn reserved_name(&self, number: u64) -> Option<&'static str> {
        let sb = &self.geometry.sb;
        let is = |inum: u32| inum != 0 && u64::from(inum) == number;
        if is(sb.s_journal_inum) {
            return Some("<journal>");
        }
        for (inum, name) in [
            (sb.s_usr_quota_inum, "<user quota>"),
            (sb.s_grp_quota_inum, "<group quota>"),
            (sb.s_prj_quota_inum, "<project quota>"),
            (sb.s_orphan_file_inum, "<orphan file>"),
        ] {
            if is(inum) {
                return Some(name);
            }
        }
        if number >= u64::from(sb.s_first_ino) {
            return None;
        }
        reserved::NAMES
            .iter()
            .find(|(n, _)| *n == number)
            .map(|(_, name)| *name)
    }
}

fn basic(number: u64, inode: &RawInode<'_>) -> Result<Attributes> {
    let f = inode.fields();
    let mode = inode.i_mode()?;
    let kind = kind(inode)?;
    let mut a = Attributes::inode(FileKey::new(number), inode.i_generation()?.into(), kind);
    a.size = inode.i_size()?;
    a.mode = Some(u32::from(mode) & 0o7777);
    a.uid = Some(u32::from(f.le16(0x78)?) << 16 | u32::from(f.le16(2)?));
    a.gid = Some(u32::from(f.le16(0x7A)?) << 16 | u32::from(f.le16(0x18)?));
    a.nlink = Some(inode.i_links_count()?.into());
    a.flags = Some((inode.i_flags()? & i_flags::VISIBLE).into());
    a.encrypted = inode.i_flags()? & i_flags::ENCRYPT != 0;
    a.ctime = Some(time(f.le32(0xC)?, inode.extra32(0x84)));
    a.mtime = Some(time(f.le32(0x10)?, inode.extra32(0x88)));
    a.atime = Some(time(f.le32(8)?, inode.extra32(0x8C)));
    a.btime = inode
        .extra32(0x90)
        .map(|seconds| time(seconds, inode.extra32(0x94)));
    if matches!(kind, FileKind::BlockDevice | FileKind::CharDevice) {
        let block = inode.i_block()?;
        a.rdev = Some(device(block.le32(0)?, block.le32(4)?));
    }
    if let Some(project) = inode.extra32(0x9C).filter(|id| *id != 0) {
        a.special.push(("project", project.to_string()));
    }
    Ok(a)
}

/// A time of 32 bits, with its extra field: two more bits of seconds, then nanoseconds.
fn time(seconds: u32, extra: Option<u32>) -> Timestamp {
    // The 32 bits are signed; the epoch bits count periods of 2^32 seconds above them.
    let low = i64::from(seconds.cast_signed());
    let extra = extra.unwrap_or(0);
    let epoch = i64::from(extra & 3) << 32;
    Timestamp {
        seconds: low.saturating_add(epoch),
        nanoseconds: extra >> 2,
    }
}

/// The two forms of a device number: 8 bits each, or 12 and 20 bits.
fn device(old: u32, new: u32) -> u64 {
    let (major, minor) = if old != 0 {
        (old >> 8 & 0xFF, old & 0xFF)
    } else {
        (new >> 8 & 0xFFF, new & 0xFF | new >> 12 & 0xF_FF00)
    };
    u64::from(major) << 32 | u64::from(minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_reach_from_1901_to_2446() {
        // The table in the ext4 documentation, "Inode Timestamps".
        for (extra, raw, seconds) in [
            (0, 0x8000_0000, -0x8000_0000),
            (0, 0x7FFF_FFFF, 0x7FFF_FFFF),
            (1, 0x8000_0000, 0x8000_0000),
            (1, 0x7FFF_FFFF, 0x1_7FFF_FFFF),
            (3, 0x7FFF_FFFF, 0x3_7FFF_FFFFi64),
        ] {
            let found = time(raw, Some(extra | 999_999_999 << 2));
            assert_eq!((found.seconds, found.nanoseconds), (seconds, 999_999_999));
        }
        assert_eq!(
            time(5, None),
            Timestamp {
                seconds: 5,
                nanoseconds: 0
            }
        );
    }

    #[test]
    fn device_numbers_have_an_old_and_a_new_form() {
        assert_eq!(device(0x0803, 0), 8 << 32 | 3);
        // mknod b 259 70000: minor bits 8 and up stand above the major.
        assert_eq!(device(0, 0x1111_0370), 0x103 << 32 | 0x1_1170);
    }
}
