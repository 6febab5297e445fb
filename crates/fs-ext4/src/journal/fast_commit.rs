//! Fast commits: small records of what changed, kept behind the log, that follow its last
//! transaction. All little-endian, and written where the log's own blocks end.
//! <https://www.kernel.org/doc/html/latest/filesystems/ext4/journal.html#fast-commits>

use hexz_ondisk::Fields;
use hexz_resolve::{Error, Result};

use super::log::Log;
use super::ondisk::Superblock;
use crate::checksum::crc;

/// `fc_tag` and `fc_len`, before each value.
const TL: usize = 4;
/// The first word of a tail is summed, its second is the sum.
const TAIL_SUMMED: usize = 8;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Blocks of the file are mapped so: the fields of an extent.
    AddRange { inode: u32, extent: [u8; 12] },
    /// Blocks of the file are mapped no more.
    DelRange { inode: u32, block: u32, length: u32 },
    /// A name of a new file.
    Create(Entry),
    /// A name.
    Link(Entry),
    /// A name that went.
    Unlink(Entry),
    /// The inode, without its map of blocks.
    Inode { inode: u32, raw: Vec<u8> },
}

/// `ext4_fc_dentry_info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) parent: u32,
    pub(crate) inode: u32,
    pub(crate) name: Vec<u8>,
}

/// What lies behind the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FastCommits {
    /// Complete fast commits.
    pub(crate) commits: u64,
    /// Their changes, in order.
    pub(crate) changes: Vec<Change>,
}

/// What a tag means to the scan.
enum Tag {
    Head { features: u32, transaction: u32 },
    Change(Change),
    Pad,
    Tail { transaction: u32, sum: u32 },
}

/// Reads the fast commits that follow transaction `next - 1`, up to the first that is not
/// complete.
///
/// # Errors
/// Unsupported features, or a block of the journal that can't be read.
pub(crate) fn scan(
    superblock: &Superblock,
    log: &mut Log,
    next: u32,
    limit: usize,
) -> Result<FastCommits> {
    let mut found = FastCommits::default();
    let mut pending = Vec::new();
    let mut memory = 0usize;
    let mut sum = 0;
    // One block is left between the log and the fast commits.
    let first = superblock.last.saturating_add(1);
    for index in first..superblock.maxlen {
        let block = log.block(index)?;
        let mut at = 0usize;
        while at.saturating_add(TL) <= block.len() {
            let length = usize::from(block.le16(at.saturating_add(2))?);
            let Ok(whole) = block.sub("fast commit", at, TL.saturating_add(length)) else {
                return Ok(found);
            };
            let Ok(tag) = parse(&whole) else {
                return Ok(found);
            };
            // The first tag of all is a head; without one, the area is empty or stale.
            let starts = index == first && at == 0;
            match tag {
                Some(Tag::Head {
                    features,
                    transaction,
                }) => {
                    if transaction != next {
                        return Ok(found);
                    }
                    if features != 0 {
                        let message = format!("features {features:#x}");
                        return Err(Error::unsupported("fast commit", message).at(whole.offset()));
                    }
                    sum = crc(sum, whole.as_bytes());
                }
                _ if starts => return Ok(found),
                None => return Ok(found),
                Some(Tag::Change(change)) => {
                    sum = crc(sum, whole.as_bytes());
                    pending.push(change);
                    memory = memory.saturating_add(length.saturating_add(64));
                }
                Some(Tag::Pad) => sum = crc(sum, whole.as_bytes()),
                Some(Tag::Tail {
                    transaction,
                    sum: expected,
                }) => {
                    sum = crc(sum, whole.bytes(0, TAIL_SUMMED)?);
                    if transaction != next || sum != expected {
                        return Ok(found);
                    }
                    sum = 0;
                    found.commits = found.commits.saturating_add(1);
                    found.changes.append(&mut pending);
                }
            }
            at = at.saturating_add(whole.len());
        }
        if memory > limit {
            let message = format!("fast commits take more than {limit} bytes");
            return Err(Error::limit("journal", message));
        }
    }
    Ok(found)
}

/// A tag with its value. `None` for one of an unknown type.
fn parse(whole: &Fields<'_>) -> Result<Option<Tag>> {
    let value = whole.sub("fast commit", TL, whole.len().saturating_sub(TL))?;
    let entry = || -> Result<Entry> {
        Ok(Entry {
            parent: value.le32(0)?,
            inode: value.le32(4)?,
            name: value.rest(8)?.to_vec(),
        })
    };
    Ok(Some(match whole.le16(0)? {
        1 => Tag::Change(Change::AddRange {
            inode: value.le32(0)?,
            extent: value.array(4)?,
        }),
        2 => Tag::Change(Change::DelRange {
            inode: value.le32(0)?,
            block: value.le32(4)?,
            length: value.le32(8)?,
        }),
        3 => Tag::Change(Change::Create(entry()?)),
        4 => Tag::Change(Change::Link(entry()?)),
        5 => Tag::Change(Change::Unlink(entry()?)),
        6 => Tag::Change(Change::Inode {
            inode: value.le32(0)?,
            raw: value.rest(4)?.to_vec(),
        }),
        7 => Tag::Pad,
        8 => Tag::Tail {
            transaction: value.le32(0)?,
            sum: value.le32(4)?,
        },
        9 => Tag::Head {
            features: value.le32(0)?,
            transaction: value.le32(4)?,
        },
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::log::Run;
    use crate::journal::ondisk::Checksum;

    const BLOCK: usize = 1024;
    const NEXT: u32 = 77;

    fn superblock() -> Superblock {
        Superblock {
            block_size: BLOCK as u32,
            maxlen: 12,
            first: 1,
            last: 8,
            sequence: 70,
            start: 1,
            checksum: Checksum::V3,
            wide: true,
            fast_commit: true,
            seed: 0,
        }
    }

    /// Writes fast commits as a kernel would: a commit fills up its last block with its tail.
    #[derive(Default)]
    struct Area {
        bytes: Vec<u8>,
        sum: u32,
    }

    impl Area {
        fn tag(&mut self, tag: u16, value: &[u8]) -> &mut Self {
            let mut whole = tag.to_le_bytes().to_vec();
            whole.extend((value.len() as u16).to_le_bytes());
            whole.extend(value);
            self.sum = crc(self.sum, &whole);
            self.bytes.extend(whole);
            self
        }

        fn head(&mut self, features: u32, transaction: u32) -> &mut Self {
            let value = [features.to_le_bytes(), transaction.to_le_bytes()].concat();
            self.tag(9, &value)
        }

        fn tail(&mut self, transaction: u32, wrong: u32) -> &mut Self {
            let room = BLOCK - self.bytes.len() % BLOCK - TL;
            let mut whole = 8u16.to_le_bytes().to_vec();
            whole.extend((room as u16).to_le_bytes());
            whole.extend(transaction.to_le_bytes());
            let sum = crc(self.sum, &whole) ^ wrong;
            whole.extend(sum.to_le_bytes());
            whole.resize(TL + room, 0);
            self.bytes.extend(whole);
            self.sum = 0;
            self
        }

        fn scan(&self) -> Result<FastCommits> {
            let mut volume = vec![0; 16 * BLOCK];
            let at = 9 * BLOCK;
            volume[at..at + self.bytes.len()].copy_from_slice(&self.bytes);
            let run = Run {
                logical: 0,
                physical: 0,
                length: 12,
            };
            let mut log = Log::new(Arc::new(volume), BLOCK as u32, vec![run]).unwrap();
            scan(&superblock(), &mut log, NEXT, 1 << 20)
        }
    }

    fn unlink(parent: u8, inode: u8) -> [u8; 9] {
        [parent, 0, 0, 0, inode, 0, 0, 0, b'x']
    }

    fn change(parent: u32, inode: u32) -> Change {
        Change::Unlink(Entry {
            parent,
            inode,
            name: b"x".to_vec(),
        })
    }

    #[test]
    fn complete_commits_are_read_and_the_rest_is_not() {
        let mut area = Area::default();
        area.head(0, NEXT).tag(5, &unlink(2, 12)).tail(NEXT, 0);
        area.tag(7, &[0; BLOCK - TL]);
        area.tag(5, &unlink(2, 13)).tail(NEXT, 0);
        let expected = FastCommits {
            commits: 2,
            changes: vec![change(2, 12), change(2, 13)],
        };
        assert_eq!(area.scan().unwrap(), expected);
        area.tag(5, &unlink(2, 14));
        assert_eq!(area.scan().unwrap(), expected);
    }

    #[test]
    fn a_commit_with_a_wrong_sum_or_of_another_transaction_ends_them() {
        for (transaction, wrong) in [(NEXT, 1), (NEXT - 1, 0)] {
            let mut area = Area::default();
            area.head(0, NEXT).tag(5, &unlink(2, 12)).tail(NEXT, 0);
            area.tag(5, &unlink(2, 13)).tail(transaction, wrong);
            assert_eq!(area.scan().unwrap().changes, [change(2, 12)]);
        }
        let mut area = Area::default();
        area.head(0, NEXT + 1).tag(5, &unlink(2, 12)).tail(NEXT, 0);
        assert_eq!(area.scan().unwrap(), FastCommits::default());
        let mut area = Area::default();
        area.tag(5, &unlink(2, 12)).tail(NEXT, 0);
        assert_eq!(area.scan().unwrap(), FastCommits::default());
    }

    #[test]
    fn what_is_not_known_is_said_or_ends_them() {
        let mut area = Area::default();
        area.head(1, NEXT).tail(NEXT, 0);
        let error = area.scan().unwrap_err();
        assert_eq!(error.kind(), hexz_resolve::ErrorKind::Unsupported);
        let mut area = Area::default();
        area.head(0, NEXT).tag(10, &[]).tail(NEXT, 0);
        assert_eq!(area.scan().unwrap(), FastCommits::default());
        // A length that reaches past the block.
        let mut area = Area::default();
        area.head(0, NEXT);
        area.bytes.extend([7, 0, 0xFF, 0xFF]);
        assert_eq!(area.scan().unwrap(), FastCommits::default());
    }
}
