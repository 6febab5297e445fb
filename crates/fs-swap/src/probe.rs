//! Whether a device holds a swap area.

use hexz_ondisk::to_usize;
use hexz_resolve::{Descriptor, Magic, Probe, Result, Window};

use crate::ondisk::{Header, Kind, PAGE_SIZES, SIGNATURE, SIGNATURES};

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // Run by the compiler only.
const fn magics() -> [Magic; 30] {
    let mut magics = [Magic::at(0, b""); 30];
    let mut n = 0;
    while n < magics.len() {
        let page = PAGE_SIZES[n / SIGNATURES.len()];
        magics[n] = Magic::at(page - SIGNATURE, SIGNATURES[n % SIGNATURES.len()].0);
        n += 1;
    }
    magics
}

static MAGICS: [Magic; 30] = magics();

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    id: "swap",
    name: "Linux swap",
    magics: &MAGICS,
    minimum_size: 2 * 4096,
    container: false,
    specification: "https://man7.org/linux/man-pages/man8/mkswap.8.html",
};

pub(crate) fn probe(window: &Window) -> Probe {
    match find(window) {
        None => Probe::No,
        Some(Err(error)) => Probe::Damaged {
            reason: error.to_string(),
        },
        Some(Ok(header)) => Probe::matches(if header.kind == Kind::Old { 60 } else { 80 }),
    }
}

/// The header, with the smallest page that ends with a signature.
pub(crate) fn find(window: &Window) -> Option<Result<Header>> {
    PAGE_SIZES.into_iter().find_map(|page| {
        let bytes = window.bytes(0, to_usize(page)?)?;
        Header::parse(bytes)
    })
}
