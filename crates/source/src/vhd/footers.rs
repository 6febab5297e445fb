//! The footer at the end of a VHD, and its copy in front where blocks are allocated.

use hexz_ondisk::read;
use hexz_resolve::{Error, ReadAt, Result};

use super::ondisk::{self, COOKIE, DiskType, FOOTER, Footer, HEADER, SHORT_FOOTER};
use crate::num::u64_of;

/// The footer to go by.
pub(super) struct Found {
    pub(super) footer: Footer,
    /// Where it lies.
    pub(super) at: u64,
    /// What is wrong with the other copy.
    pub(super) odd: Option<&'static str>,
}

/// What begins with the cookie at one of the two places.
struct Candidate {
    at: u64,
    /// As long as a footer.
    bytes: Vec<u8>,
}

impl Candidate {
    fn front(file: &dyn ReadAt) -> Result<Option<Self>> {
        Self::at(file, 0, FOOTER)
    }

    fn back(file: &dyn ReadAt) -> Result<Option<Self>> {
        for length in [FOOTER, SHORT_FOOTER] {
            let at = file.len().saturating_sub(u64_of(length));
            if at > 0
                && let Some(copy) = Self::at(file, at, length)?
            {
                return Ok(Some(copy));
            }
        }
        Ok(None)
    }

    fn at(file: &dyn ReadAt, at: u64, length: usize) -> Result<Option<Self>> {
        if file.len().saturating_sub(at) < u64_of(length) {
            return Ok(None);
        }
        let mut bytes = read(file, "vhd footer", at, length)?;
        bytes.resize(FOOTER, 0);
        let found = bytes.starts_with(&COOKIE);
        Ok(found.then_some(Self { at, bytes }))
    }

    /// The footer, if its checksum is right.
    fn sound(&self) -> Result<Footer> {
        ondisk::check_footer(&self.bytes, self.at)?;
        ondisk::footer(&self.bytes, self.at)
    }
}

/// Whether the file is a VHD, which begins with `start`. A disk that merely ends with a footer is
/// one only if that fits what is before it.
pub(crate) fn recognised(file: &dyn ReadAt, start: &[u8]) -> bool {
    // What can't be read here is an error to who reads it.
    start.starts_with(&COOKIE) || matches!(at_end(file), Ok(Some(Ok(()))))
}

/// Why the file is no VHD although it ends like one.
pub(crate) fn unfit(file: &dyn ReadAt) -> Option<Error> {
    at_end(file).ok()?.and_then(Result::err)
}

/// Whether a footer at the end fits what is before it; `None` where there is none.
fn at_end(file: &dyn ReadAt) -> Result<Option<Result<()>>> {
    Ok(Candidate::back(file)?.map(|copy| {
        let footer = copy.sound()?;
        if footer.disk_type != DiskType::Fixed {
            return header(file, &footer).map(drop);
        }
        if [footer.current_size, footer.disk_size()].contains(&copy.at) {
            return Ok(());
        }
        let error = Error::corrupt("vhd footer").at(copy.at);
        let found = format!("a disk of {} bytes", footer.current_size);
        Err(error
            .expected(format!("a disk of {} bytes", copy.at))
            .found(found))
    }))
}

/// The header that `footer` says there is.
pub(super) fn header(file: &dyn ReadAt, footer: &Footer) -> Result<ondisk::Header> {
    let at = footer.data_offset;
    ondisk::header(&read(file, "vhd dynamic disk header", at, HEADER)?, at)
}

/// Finds the footer: the copy in front goes first, as in qemu.
pub(super) fn find(file: &dyn ReadAt) -> Result<Found> {
    let (front, back) = (Candidate::front(file)?, Candidate::back(file)?);
    let of_front = front.as_ref().map(Candidate::sound);
    let of_back = back.as_ref().map(Candidate::sound);
    let found = |footer, at, odd| Ok(Found { footer, at, odd });
    match (of_front, of_back, front, back) {
        (Some(Ok(footer)), other, ..) if footer.disk_type != DiskType::Fixed => {
            let damaged = !matches!(other, Some(Ok(_)));
            let odd = "its footer at the end is damaged or gone";
            found(footer, 0, damaged.then_some(odd))
        }
        (_, Some(Ok(footer)), _, Some(back)) => {
            let allocates = footer.disk_type != DiskType::Fixed;
            let odd = "the copy of its footer in front is damaged";
            found(footer, back.at, allocates.then_some(odd))
        }
        // Damage does not come twice: the program that wrote them calculates in another way.
        (Some(Err(_)), _, Some(front), Some(back)) if front.bytes == back.bytes => {
            let odd = "both copies of its footer have the same wrong checksum";
            found(ondisk::footer(&front.bytes, 0)?, 0, Some(odd))
        }
        (Some(Err(error)), ..) | (None, Some(Err(error)), ..) => Err(error),
        _ => Err(Error::corrupt("vhd footer")
            .at(file.len().saturating_sub(u64_of(FOOTER)))
            .expected("conectix")),
    }
}
