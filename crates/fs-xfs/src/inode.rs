//! One inode record.

use hexz_ondisk::Fields;
use hexz_resolve::{FileKey, FileKind, Result, Timestamp};

use crate::disk::Disk;
use crate::geometry::{Geometry, Internal};
use crate::ondisk::{
    DIFLAG_REALTIME, DIFLAG2_BIGTIME, DIFLAG2_METADATA, DIFLAG2_NREXT64, DINODE_MAGIC, format,
};

/// An inode that is in use, `struct xfs_dinode`.
#[derive(Clone, Copy)]
pub(crate) struct Inode<'a> {
    /// Number in the filesystem.
    pub(crate) number: u64,
    /// The whole record.
    pub(crate) fields: Fields<'a>,
    /// `di_mode`.
    pub(crate) mode: u16,
    /// `di_version`.
    pub(crate) version: u8,
    /// `di_format`.
    pub(crate) format: u8,
    /// `di_nlink`.
    pub(crate) nlink: u32,
    /// `di_size`.
    pub(crate) size: u64,
    /// `di_gen`.
    pub(crate) generation: u32,
    /// `di_flags`.
    pub(crate) flags: u16,
    /// `di_flags2`; 0 before version 3.
    pub(crate) flags2: u64,
}

/// Which of the two forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Content.
    Data,
    /// Extended attributes.
    Attr,
}

/// A fork as it lies in the record.
#[derive(Clone, Copy)]
pub(crate) struct Fork<'a> {
    /// `XFS_DINODE_FMT_*`.
    pub(crate) format: u8,
    /// Its bytes in the record.
    pub(crate) fields: Fields<'a>,
    /// Extents it says to have.
    pub(crate) extents: u64,
}

impl<'a> Inode<'a> {
    /// Reads the record of inode `number`; `None` for one that is not in use.
    pub(crate) fn parse(disk: &Disk<'_>, number: u64, fields: Fields<'a>) -> Result<Option<Self>> {
        let magic = fields.be16(0)?;
        if magic != DINODE_MAGIC {
            let error = fields.corrupt(0).expected("magic IN");
            return Err(error.found(format_args!("{magic:04x}")));
        }
        let mode = fields.be16(2)?;
        if mode == 0 {
            return Ok(None);
        }
        let version = fields.u8(4)?;
        let expected = if disk.geometry.v5 { 3..=3 } else { 1..=2 };
        if !expected.contains(&version) {
            return Err(fields
                .corrupt(4)
                .expected(format_args!("version {expected:?}"))
                .found(version));
        }
        if disk.geometry.v5 {
            disk.verify_checksum(&fields, 100)?;
            let ino = fields.be64(152)?;
            if ino != number {
                let text = format!("inode {number} says it is inode {ino}");
                disk.warn("misplaced-inode", fields.offset(), text);
            }
            if fields.array::<16>(160)? != disk.geometry.meta_uuid {
                let text = format!("inode {number} carries the UUID of another filesystem");
                disk.warn("foreign-block", fields.offset(), text);
            }
        }
        Ok(Some(Self {
            number,
            fields,
            mode,
            version,
            format: fields.u8(5)?,
            nlink: if version == 1 {
                u32::from(fields.be16(6)?)
            } else {
                fields.be32(16)?
            },
            size: fields.be64(56)?,
            generation: fields.be32(92)?,
            flags: fields.be16(90)?,
            flags2: if version < 3 { 0 } else { fields.be64(120)? },
        }))
    }

    /// Its identity.
    pub(crate) fn key(&self) -> FileKey {
        FileKey::new(self.number)
    }

    /// The kind of file.
    pub(crate) fn kind(&self) -> Option<FileKind> {
        FileKind::from_mode(self.mode)
    }

    /// Whether it belongs to the filesystem and not to a user.
    pub(crate) fn internal(&self, geometry: &Geometry) -> Option<Internal> {
        let internal = geometry.internal(self.number);
        if internal.is_none() && geometry.metadir && self.flags2 & DIFLAG2_METADATA != 0 {
            return Some(Internal::Metadata);
        }
        internal
    }

    /// Whether the data lie on the realtime device.
    pub(crate) fn is_realtime(&self) -> bool {
        self.flags & DIFLAG_REALTIME != 0
    }

    /// Whether a mount would leave it: what has no link is freed then.
    pub(crate) fn is_linked(&self) -> bool {
        self.nlink != 0
    }

    /// Byte of the record where the data fork begins.
    const fn core(&self) -> usize {
        if self.version < 3 { 100 } else { 176 }
    }

    /// Byte of the record where the attribute fork begins, when there is one.
    fn attr_at(&self) -> Result<Option<usize>> {
        let forkoff = usize::from(self.fields.u8(82)?).saturating_mul(8);
        if forkoff == 0 {
            return Ok(None);
        }
        let at = self.core().saturating_add(forkoff);
        if at >= self.fields.len() {
            return Err(self
                .fields
                .corrupt(82)
                .expected("a fork within the inode")
                .found(at));
        }
        Ok(Some(at))
    }

    /// A fork; `None` when there is none.
    pub(crate) fn fork(&self, which: Which) -> Result<Option<Fork<'a>>> {
        let attr_at = self.attr_at()?;
        let wide = self.flags2 & DIFLAG2_NREXT64 != 0;
        Ok(match which {
            Which::Data => {
                let end = attr_at.unwrap_or(self.fields.len());
                let length = end.saturating_sub(self.core());
                Some(Fork {
                    format: self.format,
                    fields: self.fields.sub("data fork", self.core(), length)?,
                    extents: if wide {
                        self.fields.be64(24)?
                    } else {
                        u64::from(self.fields.be32(76)?)
                    },
                })
            }
            Which::Attr => match attr_at {
                None => None,
                Some(at) => Some(Fork {
                    format: self.fields.u8(83)?,
                    fields: self.fields.sub(
                        "attribute fork",
                        at,
                        self.fields.len().saturating_sub(at),
                    )?,
                    extents: if wide {
                        u64::from(self.fields.be32(76)?)
                    } else {
                        u64::from(self.fields.be16(80)?)
                    },
                }),
            },
        })
    }

    /// The time at byte `at` of the record.
    pub(crate) fn time(&self, at: usize) -> Result<Timestamp> {
        if self.flags2 & DIFLAG2_BIGTIME == 0 {
            let seconds = i32::from_be_bytes(self.fields.array(at)?);
            return Ok(Timestamp {
                seconds: i64::from(seconds),
                nanoseconds: self.fields.be32(at.saturating_add(4))?,
            });
        }
        // Nanoseconds since the earliest moment that 32 bits of seconds could tell.
        let nanoseconds = self.fields.be64(at)?;
        let (seconds, rest) = (
            nanoseconds.checked_div(BILLION),
            nanoseconds.checked_rem(BILLION),
        );
        let seconds = i64::try_from(seconds.unwrap_or(0)).unwrap_or(i64::MAX);
        Ok(Timestamp {
            seconds: seconds.saturating_add(i64::from(i32::MIN)),
            nanoseconds: u32::try_from(rest.unwrap_or(0)).unwrap_or(0),
        })
    }

    /// Device number of a device file, `major << 32 | minor`; on disk the minor number is the low
    /// 18 bits.
    pub(crate) fn rdev(&self) -> Result<Option<u64>> {
        let Some(fork) = self.fork(Which::Data)?.filter(|f| f.format == format::DEV) else {
            return Ok(None);
        };
        let dev = fork.fields.be32(0)?;
        Ok(Some(u64::from(dev >> 18) << 32 | u64::from(dev & 0x3_FFFF)))
    }
}

const BILLION: u64 = 1_000_000_000;
