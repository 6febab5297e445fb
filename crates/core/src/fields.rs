//! The named fields of on-disk records, as tables: so that what differs in a record can be named.
//!
//! A plugin says which records lie in a piece of its volume ([`Filesystem::records`],
//! [`VolumeScheme::records`]); the engine reads them in both views and compares field by field.
//!
//! [`Filesystem::records`]: crate::Filesystem::records
//! [`VolumeScheme::records`]: crate::VolumeScheme::records

/// How the bytes of a field are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldForm {
    /// An unsigned number of up to 8 bytes, the lowest first.
    Le,
    /// An unsigned number of up to 8 bytes, the highest first.
    Be,
    /// Bytes as they stand.
    Bytes,
}

/// A field of a record, or an array of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As the specification writes it: `s_wtime`.
    pub name: &'static str,
    /// Its first byte in the record.
    pub offset: usize,
    /// Bytes of it; of one element of an array.
    pub width: usize,
    /// Elements; 1 for what is no array.
    pub count: usize,
    /// How its bytes are read.
    pub form: FieldForm,
}

impl Field {
    const fn new(name: &'static str, offset: usize, width: usize, form: FieldForm) -> Self {
        Self {
            name,
            offset,
            width,
            count: 1,
            form,
        }
    }

    /// A number whose lowest byte comes first.
    #[must_use]
    pub const fn le(name: &'static str, offset: usize, width: usize) -> Self {
        Self::new(name, offset, width, FieldForm::Le)
    }

    /// A number whose highest byte comes first.
    #[must_use]
    pub const fn be(name: &'static str, offset: usize, width: usize) -> Self {
        Self::new(name, offset, width, FieldForm::Be)
    }

    /// Bytes: a name, a UUID.
    #[must_use]
    pub const fn bytes(name: &'static str, offset: usize, width: usize) -> Self {
        Self::new(name, offset, width, FieldForm::Bytes)
    }

    /// `count` of it, one behind the other.
    #[must_use]
    pub const fn times(self, count: usize) -> Self {
        Self { count, ..self }
    }
}

/// The fields of one kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldTable {
    /// What a record is called: `superblock`, `inode`.
    pub record: &'static str,
    /// What a record must hold, in both views: offsets and bytes. Another record has no fields.
    pub signs: &'static [(usize, &'static [u8])],
    /// Where a record says how long it is: the place of a number of 2 bytes, the lowest first, to
    /// which so many bytes are added. Fields beyond are not there.
    pub extent: Option<(usize, usize)>,
    /// The fields, by offset.
    pub fields: &'static [Field],
    /// Where they are specified.
    pub source: &'static str,
}

impl FieldTable {
    /// Bytes from the first byte of a record to the end of its last field.
    #[must_use]
    pub fn len(&self) -> usize {
        let end = |f: &Field| f.offset.saturating_add(f.width.saturating_mul(f.count));
        self.fields.iter().map(end).max().unwrap_or(0)
    }

    /// Whether it has no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Records of one kind in a piece of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records {
    /// Their fields.
    pub table: &'static FieldTable,
    /// The first byte of one of them, at or before the piece.
    pub origin: u64,
    /// Bytes from one to the next; `None` when there is only the one.
    pub stride: Option<u64>,
}

impl Records {
    /// One record, at `origin`.
    #[must_use]
    pub const fn one(table: &'static FieldTable, origin: u64) -> Self {
        Self {
            table,
            origin,
            stride: None,
        }
    }

    /// Records at `origin` and each `stride` bytes behind.
    #[must_use]
    pub const fn each(table: &'static FieldTable, origin: u64, stride: u64) -> Self {
        Self {
            table,
            origin,
            stride: Some(stride),
        }
    }
}
