//! Formats that are known by name: one row each, with what detection must know of them.

use std::fmt;

use crate::{ByteRange, Magic, Window};

/// A format, whether a plugin reads it or not. Detection weighs its signs against those of other
/// formats; where no plugin reads it, the volume is called by its name.
#[derive(Clone, Copy)]
pub struct KnownFormat {
    /// Unique: the name that `blkid` gives it, where it gives one.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// The id of the plugin that reads it, where there may be one. A registered plugin says
    /// itself whether a volume is of its format; the row then only says what its maker writes.
    pub reader: Option<&'static str>,
    /// The format is looked for when any of these is there; always, when there are none.
    pub magics: &'static [Magic],
    /// Devices smaller than this are never of the format.
    pub minimum_size: u64,
    /// Why files in it are not told: `is not read`, `is encrypted`.
    pub reason: &'static str,
    /// Looks for the format. Pure and bounded; must not panic.
    pub recognize: fn(&Window) -> Option<Sign>,
}

impl KnownFormat {
    /// Whether a window may be of this format, so that it is worth to look closer.
    #[must_use]
    pub fn is_shown(&self, window: &Window) -> bool {
        window.size() >= self.minimum_size
            && (self.magics.is_empty() || self.magics.iter().any(|magic| window.has(magic)))
    }

    /// Why a volume with this sign is not resolved, in words.
    #[must_use]
    pub fn describe(&self, sign: &Sign) -> String {
        let mut text = self.name.to_owned();
        if let Some(version) = &sign.version {
            text.push_str(&format!(" {version}"));
        }
        let mut known = Vec::new();
        if !sign.label.is_empty() {
            known.push(format!("label {:?}", String::from_utf8_lossy(&sign.label)));
        }
        if let Some(uuid) = &sign.uuid {
            known.push(format!("UUID {uuid}"));
        }
        if !known.is_empty() {
            text.push_str(&format!(" ({})", known.join(", ")));
        }
        let reason = sign.reason.as_deref().unwrap_or(self.reason);
        format!("{text}, which {reason}")
    }
}

impl fmt::Debug for KnownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownFormat")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What the place of a sign says of the bytes in front of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It lies where the format begins.
    #[default]
    Front,
    /// It is a copy that is kept elsewhere; what is in front is not of this format.
    Copy,
    /// It belongs at the end, and what it speaks of lies in front of it, from the first byte on.
    Around,
}

/// A format that shows itself on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// The name the report gives it: that of `blkid`. May be finer than the row's.
    pub filesystem: &'static str,
    /// How sure this is, as in [`Probe::Match`](crate::Probe::Match).
    pub confidence: u8,
    /// Where the sign lies: the magic, and the structure around it that was checked.
    pub place: ByteRange,
    /// Where that is.
    pub standing: Standing,
    /// Bytes of the device, from its start, that it says it takes up; of a sign that stands
    /// around something, the bytes in front of it that are its data.
    pub size: Option<u64>,
    /// Its label, raw; empty for none.
    pub label: Vec<u8>,
    /// Its UUID or serial number, as people write it.
    pub uuid: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Another reason than the row's why its files are not told.
    pub reason: Option<String>,
    /// Places that are always written when the format is made, be it with zeros: another sign
    /// that is whole there came later.
    pub written: Vec<ByteRange>,
}

impl Sign {
    /// A sign at `place`.
    #[must_use]
    pub const fn new(filesystem: &'static str, confidence: u8, place: ByteRange) -> Self {
        Self {
            filesystem,
            confidence,
            place,
            standing: Standing::Front,
            size: None,
            label: Vec::new(),
            uuid: None,
            version: None,
            reason: None,
            written: Vec::new(),
        }
    }

    /// Says where the sign stands.
    #[must_use]
    pub const fn standing(mut self, standing: Standing) -> Self {
        self.standing = standing;
        self
    }

    /// Sets the size.
    #[must_use]
    pub const fn size(mut self, size: Option<u64>) -> Self {
        self.size = size;
        self
    }

    /// Sets the label: the bytes up to the first NUL, without blanks at the end.
    #[must_use]
    pub fn label(mut self, label: &[u8]) -> Self {
        let label = label.split(|b| *b == 0).next().unwrap_or_default();
        self.label = label.trim_ascii_end().to_vec();
        self
    }

    /// Sets the UUID.
    #[must_use]
    pub fn uuid(mut self, uuid: impl Into<Option<String>>) -> Self {
        self.uuid = uuid.into();
        self
    }

    /// Sets the version.
    #[must_use]
    pub fn version(mut self, version: impl fmt::Display) -> Self {
        self.version = Some(version.to_string());
        self
    }

    /// Sets a reason of its own.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Adds bytes that the maker writes.
    #[must_use]
    pub fn written(mut self, start: u64, end: u64) -> Self {
        self.written
            .extend((start < end).then(|| ByteRange::new(start, end)));
        self
    }

    /// Adds the last `length` bytes of the device to those that the maker writes.
    #[must_use]
    pub fn written_at_end(self, length: u64, window: &Window) -> Self {
        let size = window.size();
        // A device that is shorter than that is written from its start.
        self.written(size.saturating_sub(length), size)
    }

    /// Whether making this format would have written over `place`.
    #[must_use]
    pub fn writes(&self, place: &ByteRange) -> bool {
        self.written.iter().any(|written| written.overlaps(place))
    }
}
