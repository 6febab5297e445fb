//! The devices of a filesystem as one reader, end to end.

use std::sync::Arc;

use hexz_resolve::{ByteRange, Member, RangeSet, ReadAt, ReadError, check_bounds};

/// Several devices, each at its start; what lies between them can't be read.
pub(crate) struct Joined {
    members: Vec<Member>,
    length: u64,
}

/// The bytes of all members by their volume address.
pub(crate) fn join(members: &[Member]) -> Arc<dyn ReadAt> {
    match members {
        [member] if member.start == 0 => Arc::clone(&member.device),
        _ => {
            let ends = members.iter().map(|m| m.start.checked_add(m.device.len()));
            Arc::new(Joined {
                members: members.to_vec(),
                length: ends.flatten().max().unwrap_or_default(),
            })
        }
    }
}

impl ReadAt for Joined {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let length = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        check_bounds(offset, buf.len(), self.length)?;
        for member in &self.members {
            let inner = offset.checked_sub(member.start);
            if let Some(inner) = inner.filter(|inner| *inner < member.device.len()) {
                return member.device.read_exact_at(inner, buf);
            }
        }
        Err(ReadError::OutOfBounds {
            offset,
            length,
            size: self.length,
        })
    }

    fn data_in(&self, range: ByteRange) -> RangeSet {
        let mut all = RangeSet::new();
        for member in &self.members {
            let own = ByteRange::at(member.start, member.device.len());
            let part = own.and_then(|own| own.intersection(&range));
            let Some(part) = part.and_then(|part| part.moved_down(member.start)) else {
                continue;
            };
            for data in &member.device.data_in(part) {
                if let Some(data) = data.moved_up(member.start) {
                    all.insert(data);
                }
            }
        }
        all
    }
}
