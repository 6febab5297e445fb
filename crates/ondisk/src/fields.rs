//! Fields of a structure, by their offset in it.

use hexz_resolve::{Error, Result};

/// The bytes of one on-disk structure. A field past its end is a `Corrupt` error that says where
/// on the image it should have been.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    structure: &'static str,
    offset: u64,
    bytes: &'a [u8],
}

macro_rules! integers {
    ($($name:ident: $type:ty = $from:ident;)*) => {$(
        #[doc = concat!("The `", stringify!($type), "` at byte `at` of the structure.")]
        ///
        /// # Errors
        /// `Corrupt`, when it lies past the end.
        #[inline]
        pub fn $name(&self, at: usize) -> Result<$type> {
            self.array(at).map(<$type>::$from)
        }
    )*};
}

impl<'a> Fields<'a> {
    /// `bytes`, which lie at byte `offset` of the image, as a `structure`.
    #[must_use]
    pub const fn new(structure: &'static str, offset: u64, bytes: &'a [u8]) -> Self {
        Self {
            structure,
            offset,
            bytes,
        }
    }

    /// What it is.
    #[must_use]
    pub const fn structure(&self) -> &'static str {
        self.structure
    }

    /// Where on the image it lies.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Where on the image byte `at` of it lies.
    #[must_use]
    #[inline]
    pub fn offset_of(&self, at: usize) -> u64 {
        self.offset
            .saturating_add(u64::try_from(at).unwrap_or(u64::MAX))
    }

    /// All its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number of bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// `length` bytes at byte `at`.
    ///
    /// # Errors
    /// `Corrupt`, when they reach past the end.
    #[inline]
    pub fn bytes(&self, at: usize, length: usize) -> Result<&'a [u8]> {
        at.checked_add(length)
            .and_then(|end| self.bytes.get(at..end))
            .ok_or_else(|| self.past_end(at, length))
    }

    #[cold]
    fn past_end(&self, at: usize, length: usize) -> Error {
        Error::corrupt(self.structure)
            .at(self.offset_of(at))
            .expected(format_args!("{length} bytes"))
            .found(format_args!("{}", self.bytes.len().saturating_sub(at)))
    }

    /// The bytes from byte `at` to the end.
    ///
    /// # Errors
    /// `Corrupt`, when `at` is past the end.
    pub fn rest(&self, at: usize) -> Result<&'a [u8]> {
        self.bytes(at, self.bytes.len().saturating_sub(at))
    }

    /// `N` bytes at byte `at`.
    ///
    /// # Errors
    /// `Corrupt`, when they reach past the end.
    #[inline]
    pub fn array<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(at, N)?);
        Ok(array)
    }

    /// The structure that takes up `length` bytes at byte `at` of this one.
    ///
    /// # Errors
    /// `Corrupt`, when it reaches past the end.
    #[inline]
    pub fn sub(&self, structure: &'static str, at: usize, length: usize) -> Result<Self> {
        Ok(Self {
            structure,
            offset: self.offset_of(at),
            bytes: self.bytes(at, length)?,
        })
    }

    /// A `Corrupt` error about the field at byte `at`.
    #[must_use]
    pub fn corrupt(&self, at: usize) -> Error {
        Error::corrupt(self.structure).at(self.offset_of(at))
    }

    integers! {
        u8: u8 = from_le_bytes;
        le16: u16 = from_le_bytes;
        le32: u32 = from_le_bytes;
        le64: u64 = from_le_bytes;
        be16: u16 = from_be_bytes;
        be32: u32 = from_be_bytes;
        be64: u64 = from_be_bytes;
    }
}

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} at {}+{}",
            self.structure,
            self.offset,
            self.bytes.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_past_the_end_says_where_it_should_be() {
        let fields = Fields::new("thing", 1000, &[1, 2, 3, 4, 5]);
        assert_eq!(fields.le16(1).unwrap(), 0x0302);
        assert_eq!(fields.be32(0).unwrap(), 0x0102_0304);
        let error = fields.le32(2).unwrap_err();
        assert_eq!(error.offset(), Some(1002));
        assert_eq!(
            error.to_string(),
            "corrupt thing at byte 1002: expected 4 bytes, found 3"
        );
        assert!(fields.bytes(usize::MAX, 2).is_err());
    }
}
