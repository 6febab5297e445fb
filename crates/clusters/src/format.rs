//! What a format says of its directory entries.

use hexz_ondisk::Fields;
use hexz_resolve::{Attributes, Error, Result};

use crate::ENTRY;

/// 32 bytes of a directory.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// Where they lie in the directory.
    pub offset: u32,
    /// Where they lie on the volume.
    pub place: u64,
    /// The bytes.
    pub bytes: &'a [u8; ENTRY],
}

impl<'a> Slot<'a> {
    /// As fields that know where they lie.
    #[must_use]
    pub const fn fields(&self) -> Fields<'a> {
        Fields::new("directory entry", self.place, self.bytes)
    }
}

/// A file as its entries describe it. A set of entries has a primary one, by whose place the file
/// is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the primary entry lies in the directory.
    pub offset: u32,
    /// Entries of the set that lie before it.
    pub before: u8,
    /// Entries of the set that lie behind it.
    pub after: u8,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Whether its clusters follow each other, whatever the table says.
    pub contiguous: bool,
    /// First cluster; 0 for none.
    pub first: u32,
    /// Bytes of its content; of a directory, where the format says so.
    pub size: u64,
    /// How many of those were ever written.
    pub valid: u64,
}

/// What an entry leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next one is to be looked at.
    More,
    /// With it a set is complete.
    File(Entry),
    /// No entries follow.
    End,
}

/// The entries of one file, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Set<'a> {
    /// Their bytes.
    pub bytes: &'a [u8],
    /// How many lie before the primary one.
    pub before: usize,
    /// Where the primary one lies on the volume.
    pub place: u64,
}

impl<'a> Set<'a> {
    /// The primary entry.
    ///
    /// # Errors
    /// `Corrupt`, when it is not there.
    pub fn primary(&self) -> Result<Fields<'a>> {
        let from = self.before.saturating_mul(ENTRY);
        let end = from.saturating_add(ENTRY);
        let bytes = self.bytes.get(from..end);
        let missing = || Error::corrupt("directory entry").at(self.place);
        let bytes = bytes.ok_or_else(missing)?;
        Ok(Fields::new("directory entry", self.place, bytes))
    }

    /// All of them, in their order.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a> {
        self.bytes.chunks_exact(ENTRY)
    }
}

/// What is different between formats.
pub trait Format: Send + Sync + 'static {
    /// What is remembered from one entry of a directory to the next.
    type State: Default;

    /// Its name, with which codes of findings start.
    const NAME: &'static str;

    /// Bytes that a directory may have.
    const LARGEST_DIRECTORY: u64;

    /// Looks at the next entry. What makes no sense goes to `fault`.
    ///
    /// # Errors
    /// What `fault` gives back.
    fn slot(
        &self,
        state: &mut Self::State,
        slot: &Slot<'_>,
        fault: &mut dyn FnMut(Error),
    ) -> Result<Flow>;

    /// The name that a set of entries gives a file; `None` when it is none.
    ///
    /// # Errors
    /// `Corrupt`, when the set is none.
    fn name(&self, set: &Set<'_>) -> Result<Option<Vec<u8>>>;

    /// Fills in what a set of entries says of a file beside its kind, size and lineage.
    ///
    /// # Errors
    /// `Corrupt`, when the set is none.
    fn describe(&self, set: &Set<'_>, attributes: &mut Attributes) -> Result<()>;

    /// The bytes in a set of entries that say when the file was made.
    ///
    /// # Errors
    /// `Corrupt`, when the set is none.
    fn made(&self, set: &Set<'_>) -> Result<[u8; 6]>;
}
