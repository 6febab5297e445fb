//! What a format is, and how it shows itself on a device.

use std::fmt;
use std::sync::Arc;

use crate::{ByteRange, ReadAt, ReadError, read_around};

/// Bytes that a format shows at a fixed place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Magic {
    /// Byte offset, from the start of the device, or back from its end.
    pub offset: u64,
    /// Whether `offset` counts back from the end.
    pub from_end: bool,
    /// The bytes.
    pub bytes: &'static [u8],
}

impl Magic {
    /// `bytes` at `offset` from the start.
    #[must_use]
    pub const fn at(offset: u64, bytes: &'static [u8]) -> Self {
        Self {
            offset,
            from_end: false,
            bytes,
        }
    }

    /// `bytes` starting `offset` bytes before the end.
    #[must_use]
    pub const fn before_end(offset: u64, bytes: &'static [u8]) -> Self {
        Self {
            offset,
            from_end: true,
            bytes,
        }
    }
}

/// What a plugin is.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// Unique, lower case: `ext4`, `gpt`.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// The plugin is asked when any of these is there; always, when there are none.
    pub magics: &'static [Magic],
    /// Devices smaller than this are never its.
    pub minimum_size: u64,
    /// Whether it holds other volumes, and so outranks filesystems.
    pub container: bool,
    /// Where the format is specified.
    pub specification: &'static str,
}

/// The two ends of a device, read once; all that detection may look at.
#[derive(Clone)]
pub struct Window {
    size: u64,
    head: Arc<[u8]>,
    tail: Arc<[u8]>,
    lost: Arc<[(ByteRange, ReadError)]>,
    /// For the few formats with a sign elsewhere.
    device: Option<Arc<dyn ReadAt>>,
}

impl Window {
    /// How much of each end is read.
    pub const LENGTH: usize = 128 * 1024;
    /// The most bytes that [`elsewhere`](Self::elsewhere) reads.
    pub const ELSEWHERE: usize = 64 * 1024;

    /// Reads the window of `device`, as far as that can be done.
    #[must_use]
    pub fn read(device: &dyn ReadAt) -> Self {
        let size = device.len();
        let length = usize::try_from(size)
            .unwrap_or(usize::MAX)
            .min(Self::LENGTH);
        let (mut head, mut tail) = (vec![0; length], vec![0; length]);
        let mut lost = read_around(device, 0, &mut head);
        let behind = read_around(device, size - length as u64, &mut tail);
        // The two ends of a small device are the same bytes.
        let known = lost.last().map_or(0, |(range, _)| range.end());
        lost.extend(
            behind
                .into_iter()
                .filter(|(range, _)| range.start() >= known),
        );
        Self {
            size,
            head: head.into(),
            tail: tail.into(),
            lost: lost.into(),
            device: None,
        }
    }

    /// As [`read`](Self::read), and lets a few bytes be read elsewhere on the device.
    #[must_use]
    pub fn of(device: &Arc<dyn ReadAt>) -> Self {
        Self {
            device: Some(Arc::clone(device)),
            ..Self::read(&**device)
        }
    }

    /// The window as if `ranges` could not be read.
    #[must_use]
    pub fn without(&self, ranges: &[ByteRange]) -> Self {
        if ranges.is_empty() {
            return self.clone();
        }
        let hidden = ranges.iter().map(|range| {
            let offset = range.start();
            let reason = "not looked at".to_owned();
            (*range, ReadError::Damaged { offset, reason })
        });
        let lost = self.lost.iter().map(|(range, error)| {
            let (offset, reason) = (error.offset(), error.to_string());
            (*range, ReadError::Damaged { offset, reason })
        });
        Self {
            lost: lost.chain(hidden).collect(),
            ..self.clone()
        }
    }

    /// `length` bytes at `offset`, in the window or elsewhere on the device; `None` where they
    /// can't be read, or are more than [`ELSEWHERE`](Self::ELSEWHERE).
    #[must_use]
    pub fn elsewhere(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        if let Some(bytes) = self.bytes(offset, length) {
            return Some(bytes.to_vec());
        }
        let device = self.device.as_ref()?;
        let end = offset.checked_add(length as u64)?;
        let range = ByteRange::new(offset, end);
        let lost = self.lost.iter().any(|(lost, _)| lost.overlaps(&range));
        if length > Self::ELSEWHERE || end > self.size || lost {
            return None;
        }
        let mut bytes = vec![0; length];
        device.read_exact_at(offset, &mut bytes).ok()?;
        Some(bytes)
    }

    /// What of the window could not be read, rising, with what failed at the start of each.
    #[must_use]
    pub fn lost(&self) -> &[(ByteRange, ReadError)] {
        &self.lost
    }

    /// Length of the device.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// `length` bytes at `offset`, when they lie in the window and could be read.
    #[must_use]
    pub fn bytes(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let asked = ByteRange::at(offset, length as u64)?;
        if self.lost.iter().any(|(range, _)| range.overlaps(&asked)) {
            return None;
        }
        fn part(bytes: &[u8], at: u64, length: usize) -> Option<&[u8]> {
            let at = usize::try_from(at).ok()?;
            bytes.get(at..at.checked_add(length)?)
        }
        part(&self.head, offset, length).or_else(|| {
            let tail_at = self.size - ReadAt::len(&*self.tail);
            part(&self.tail, offset.checked_sub(tail_at)?, length)
        })
    }

    /// Whether `magic` is there.
    #[must_use]
    pub fn has(&self, magic: &Magic) -> bool {
        let offset = if magic.from_end {
            self.size.checked_sub(magic.offset)
        } else {
            Some(magic.offset)
        };
        offset
            .and_then(|o| self.elsewhere(o, magic.bytes.len()))
            .is_some_and(|b| b == magic.bytes)
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// What a plugin says of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Not this format.
    No,
    /// This format.
    Match {
        /// 0 to 100: how much of what could be checked was checked. A magic of two bytes alone
        /// is 10, a magic of eight bytes 50, a superblock whose fields agree 80, one with a good
        /// checksum 95.
        confidence: u8,
        /// For what may lie on several devices: which of them this is.
        group: Option<Group>,
    },
    /// This format, and too damaged to open.
    Damaged {
        /// What is wrong.
        reason: String,
    },
}

impl Probe {
    /// A format that lies on one device.
    #[must_use]
    pub const fn matches(confidence: u8) -> Self {
        Self::Match {
            confidence,
            group: None,
        }
    }
}

/// A device's place in a set of devices that hold one volume together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which set: the same bytes on each device of it, such as the UUID of the filesystem.
    pub id: Vec<u8>,
    /// Which one of it: its number, as the format counts its devices; `u64::MAX` for one that has
    /// no place of its own, such as a spare.
    pub member: u64,
    /// How many there should be, where each says so.
    pub members: Option<u32>,
    /// Rises with what is written: of two devices that say they are the same one, the greater is
    /// the newer. 0 where the format does not count.
    pub generation: u64,
}
