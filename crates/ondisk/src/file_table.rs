//! The disk as which a set of files is shown that lies on none: an archive of a directory, and a
//! folder that was written over one. Who shows it writes this table, and a filesystem plugin reads
//! it, so that names, contents and changes go the way of every other filesystem.
//!
//! | where | what |
//! |---|---|
//! | byte 0 | [`Header`], 64 bytes |
//! | from [`FRONT`] | [`Record`]s, 64 bytes each: the root directory first, each behind its parent |
//! | behind them | names, one after the other |
//! | behind them | contents, each from a multiple of [`UNIT`] on |
//! | the last [`FRONT`] bytes | nothing |
//!
//! Numbers are little-endian. Both ends are left empty so that no content lies where another
//! format has its signs. Two disks that are compared have the same records in the same places; a
//! file that one of them lacks has no kind there.

use hexz_resolve::{ByteRange, FileKind, Result, Timestamp};

use crate::Fields;

/// First bytes of the disk.
pub const MAGIC: &[u8; 16] = b"hexz file table\n";
/// Bytes of the header.
pub const HEADER: usize = 64;
/// Bytes of a record.
pub const RECORD: usize = 64;
/// Bytes before the records, and behind the last content.
pub const FRONT: u64 = 16 << 20;
/// What contents begin at multiples of.
pub const UNIT: u64 = 4096;

const VERSION: u32 = 1;
/// What stands for no mode.
const NO_MODE: u32 = u32::MAX;
/// Longest name.
const MAX_NAME: u32 = 4096;
/// Kinds by their number; 0 is for a file that is not there.
const KINDS: [FileKind; 7] = [
    FileKind::File,
    FileKind::Directory,
    FileKind::Symlink,
    FileKind::Fifo,
    FileKind::Socket,
    FileKind::BlockDevice,
    FileKind::CharDevice,
];

/// Where things are. All places are bytes of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of records.
    pub count: u32,
    /// Where the first record lies.
    pub records: u64,
    /// Where the names lie.
    pub names: ByteRange,
    /// Bytes of the disk.
    pub size: u64,
}

impl Header {
    /// As it lies on the disk.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let mut bytes = Bytes::<HEADER>::new();
        bytes.put(MAGIC);
        bytes.put(&VERSION.to_le_bytes());
        bytes.put(&self.count.to_le_bytes());
        bytes.put(&self.records.to_le_bytes());
        bytes.put(&self.names.start().to_le_bytes());
        bytes.put(&self.names.end().to_le_bytes());
        bytes.put(&self.size.to_le_bytes());
        bytes.bytes
    }

    /// Reads and checks the first bytes of a disk.
    ///
    /// # Errors
    /// `Corrupt`, where the fields do not agree with each other.
    pub fn parse(fields: &Fields<'_>) -> Result<Self> {
        if fields.array::<16>(0)? != *MAGIC || fields.le32(16)? != VERSION {
            return Err(fields.corrupt(0).expected("a file table"));
        }
        let header = Self {
            count: fields.le32(20)?,
            records: fields.le64(24)?,
            names: ByteRange::new(fields.le64(32)?, fields.le64(40)?),
            size: fields.le64(48)?,
        };
        let table = header.table().map(|table| table.end());
        let sound = fields.le64(32)? <= fields.le64(40)?
            && header.records >= UNIT
            && table.is_some_and(|end| end <= header.names.start())
            && header.names.end() <= header.size;
        match sound && header.count > 0 {
            true => Ok(header),
            false => Err(fields.corrupt(20).expected("records and names in order")),
        }
    }

    /// All records.
    #[must_use]
    pub fn table(&self) -> Option<ByteRange> {
        let length = u64::from(self.count).checked_mul(64)?;
        ByteRange::at(self.records, length)
    }

    /// Where record `number` lies.
    #[must_use]
    pub fn record(&self, number: u64) -> Option<ByteRange> {
        let at = self.records.checked_add(number.checked_mul(64)?)?;
        ByteRange::at(at, 64).filter(|_| number < u64::from(self.count))
    }
}

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// `None` where the file is not there.
    pub kind: Option<FileKind>,
    /// Number of the record of the directory it is in; 0 for the root.
    pub parent: u32,
    /// Its name, as bytes of the disk; empty for the root.
    pub name: ByteRange,
    /// Permission bits, where they are known.
    pub mode: Option<u32>,
    /// Last change of content, where it is known.
    pub mtime: Option<Timestamp>,
    /// Its content (the target of a symbolic link), as bytes of the disk.
    pub content: ByteRange,
}

impl Record {
    /// As it lies on the disk.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; RECORD] {
        let kind = KINDS.iter().position(|kind| Some(*kind) == self.kind);
        let kind = kind.map_or(0, |at| u32::try_from(at).unwrap_or(0).saturating_add(1));
        let length = u32::try_from(self.name.len()).unwrap_or(u32::MAX);
        let time = self.mtime.unwrap_or_default();
        let mut bytes = Bytes::<RECORD>::new();
        bytes.put(&kind.to_le_bytes());
        bytes.put(&self.parent.to_le_bytes());
        bytes.put(&self.name.start().to_le_bytes());
        bytes.put(&length.to_le_bytes());
        bytes.put(&self.mode.unwrap_or(NO_MODE).to_le_bytes());
        bytes.put(&time.seconds.to_le_bytes());
        bytes.put(&time.nanoseconds.to_le_bytes());
        bytes.put(&u32::from(self.mtime.is_some()).to_le_bytes());
        bytes.put(&self.content.start().to_le_bytes());
        bytes.put(&self.content.len().to_le_bytes());
        bytes.bytes
    }

    /// Reads and checks record `number` of the table of `header`.
    ///
    /// # Errors
    /// `Corrupt`, where a field leads out of its place.
    pub fn parse(header: &Header, number: u64, fields: &Fields<'_>) -> Result<Self> {
        let kind = match fields.le32(0)? {
            0 => None,
            n => {
                let at = n.checked_sub(1).and_then(|at| usize::try_from(at).ok());
                let kind = at.and_then(|at| KINDS.get(at));
                Some(*kind.ok_or_else(|| fields.corrupt(0).found(format_args!("kind {n}")))?)
            }
        };
        let parent = fields.le32(4)?;
        let is_root = number == 0;
        if u64::from(parent) >= number.max(1) {
            return Err(fields.corrupt(4).found(format_args!("parent {parent}")));
        }
        let length = fields.le32(16)?;
        let name = ByteRange::at(fields.le64(8)?, u64::from(length));
        let within = |name: &ByteRange| {
            let inside = name.start() >= header.names.start() && name.end() <= header.names.end();
            (is_root && name.is_empty()) || (!is_root && inside && !name.is_empty())
        };
        let name = name.filter(|name| within(name) && length <= MAX_NAME);
        let name = name.ok_or_else(|| fields.corrupt(8).expected("a name among the names"))?;
        let content = ByteRange::at(fields.le64(40)?, fields.le64(48)?);
        let content = content.filter(|content| {
            let inside = content.start() >= header.names.end() && content.end() <= header.size;
            content.is_empty() || inside
        });
        let content = content.ok_or_else(|| fields.corrupt(40).expected("bytes of the disk"))?;
        let mode = fields.le32(20)?;
        let seconds = i64::from_le_bytes(fields.array(24)?);
        let nanoseconds = fields.le32(32)?;
        let mtime = Timestamp {
            seconds,
            nanoseconds,
        };
        Ok(Self {
            kind,
            parent,
            name,
            mode: (mode != NO_MODE).then_some(mode),
            mtime: (fields.le32(36)? != 0).then_some(mtime),
            content,
        })
    }
}

/// Fields that are put one behind the other; what is past the end is left out.
struct Bytes<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Bytes<N> {
    const fn new() -> Self {
        Self {
            bytes: [0; N],
            at: 0,
        }
    }

    fn put(&mut self, field: &[u8]) {
        let end = self.at.saturating_add(field.len());
        if let Some(place) = self.bytes.get_mut(self.at..end) {
            place.copy_from_slice(field);
        }
        self.at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Header = Header {
        count: 3,
        records: FRONT,
        names: ByteRange::new(FRONT + 4096, FRONT + 4100),
        size: FRONT * 3,
    };

    #[test]
    fn what_is_written_is_read() {
        let bytes = TABLE.to_bytes();
        let read = Header::parse(&Fields::new("header", 0, &bytes)).unwrap();
        assert_eq!(read, TABLE);
        let record = Record {
            kind: Some(FileKind::Symlink),
            parent: 1,
            name: ByteRange::new(FRONT + 4097, FRONT + 4100),
            mode: Some(0o644),
            mtime: Some(Timestamp {
                seconds: -1,
                nanoseconds: 5,
            }),
            content: ByteRange::new(FRONT * 2, FRONT * 2 + 9),
        };
        let bytes = record.to_bytes();
        let fields = Fields::new("record", 0, &bytes);
        assert_eq!(Record::parse(&TABLE, 2, &fields).unwrap(), record);
        assert!(Record::parse(&TABLE, 1, &fields).is_err(), "its own parent");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        let header = |change: &dyn Fn(&mut Header)| {
            let mut table = TABLE;
            change(&mut table);
            Header::parse(&Fields::new("header", 0, &table.to_bytes()))
        };
        assert!(header(&|h| h.count = u32::MAX).is_err());
        assert!(header(&|h| h.records = u64::MAX - 3).is_err());
        assert!(header(&|h| h.size = FRONT).is_err());
        assert!(header(&|h| h.count = 0).is_err());
        let record = Record {
            kind: Some(FileKind::File),
            parent: 0,
            name: ByteRange::new(FRONT + 4096, FRONT + 4101),
            mode: None,
            mtime: None,
            content: ByteRange::default(),
        };
        let parse = |record: &Record| {
            Record::parse(&TABLE, 1, &Fields::new("record", 0, &record.to_bytes()))
        };
        assert!(parse(&record).is_err(), "a name past the names");
        let mut sound = record;
        sound.name = ByteRange::new(FRONT + 4096, FRONT + 4097);
        assert_eq!(parse(&sound).unwrap(), sound);
        sound.content = ByteRange::new(FRONT, FRONT + 1);
        assert!(parse(&sound).is_err(), "content among the records");
    }
}
