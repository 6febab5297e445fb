//! The first page of a swap area.
//!
//! <https://man7.org/linux/man-pages/man8/mkswap.8.html>; the fields are those of `union
//! swap_header` in Linux, `include/linux/swap.h`.

use hexz_ondisk::{Fields, Guid, to_usize};
use hexz_resolve::{Error, Result};

/// Sizes of a page on the machines that Linux runs on. The signature ends with the first page.
pub(crate) const PAGE_SIZES: [u64; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
/// Bytes of the signature.
pub(crate) const SIGNATURE: u64 = 10;

/// What a signature says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `SWAPSPACE2`: the header has fields.
    New,
    /// `SWAP-SPACE`: as Linux had before 2.1, up to a bitmap of pages.
    Old,
    /// The system was suspended to it.
    Suspended,
}

/// Signatures with what they say. The last ones are those of swsusp, uswsusp and Xen.
pub(crate) const SIGNATURES: [(&[u8; 10], Kind); 6] = [
    (b"SWAPSPACE2", Kind::New),
    (b"SWAP-SPACE", Kind::Old),
    (b"S1SUSPEND\0", Kind::Suspended),
    (b"S2SUSPEND\0", Kind::Suspended),
    (b"ULSUSPEND\0", Kind::Suspended),
    (b"LINHIB0001", Kind::Suspended),
];

/// Where the fields start: a boot sector may stand before them.
const INFO: usize = 1024;
/// `nr_badpages` that are looked at: as many as fit into the largest page.
const MAX_BAD_PAGES: u32 = 16_000;

/// A swap area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// Bytes of a page.
    pub(crate) page: u64,
    /// Bytes of the area; `None` where the header does not say.
    pub(crate) size: Option<u64>,
    pub(crate) uuid: Option<Guid>,
    pub(crate) label: Vec<u8>,
    /// `badpages`: pages that are not used.
    pub(crate) bad: Vec<u64>,
}

impl Header {
    /// The header in `page`, the first page, when it ends with a signature.
    pub(crate) fn parse(page: &[u8]) -> Option<Result<Self>> {
        let size = u64::try_from(page.len()).ok()?;
        let at = to_usize(size.checked_sub(SIGNATURE)?)?;
        let signature = page.get(at..)?;
        let kind = SIGNATURES.iter().find(|(bytes, _)| *bytes == signature)?.1;
        Some(Self::read(kind, size, &Fields::new("swap header", 0, page)))
    }

    fn read(kind: Kind, page: u64, fields: &Fields<'_>) -> Result<Self> {
        let mut header = Self {
            kind,
            page,
            size: None,
            uuid: None,
            label: Vec::new(),
            bad: Vec::new(),
        };
        if kind == Kind::Old {
            return Ok(header);
        }
        // It is in the byte order of the machine that made it.
        let big = match (fields.le32(INFO)?, fields.be32(INFO)?) {
            (1, _) => false,
            (_, 1) => true,
            (version, _) => {
                let text = format!("version {version}");
                return Err(Error::unsupported("swap header", text).at(fields.offset_of(INFO)));
            }
        };
        let number = |at: usize| {
            if big {
                fields.be32(at)
            } else {
                fields.le32(at)
            }
        };
        let last_page = number(INFO.saturating_add(4))?;
        if last_page == 0 {
            return Err(fields
                .corrupt(INFO.saturating_add(4))
                .expected("a last page other than the first")
                .found(last_page));
        }
        let pages = u64::from(last_page).saturating_add(1);
        header.size = pages.checked_mul(page);
        let uuid = Guid::from_bytes(fields.array(INFO.saturating_add(12))?);
        header.uuid = Some(uuid).filter(|uuid| !uuid.is_nil());
        let label: [u8; 16] = fields.array(INFO.saturating_add(28))?;
        header.label = label.into_iter().take_while(|b| *b != 0).collect();
        let nr_badpages = number(INFO.saturating_add(8))?.min(MAX_BAD_PAGES);
        let mut at = INFO.saturating_add(512);
        for _ in 0..nr_badpages {
            // The signature ends the list in any case.
            match number(at) {
                Ok(bad) if bad != 0 && bad <= last_page => header.bad.push(bad.into()),
                _ => break,
            }
            at = at.saturating_add(4);
        }
        header.bad.sort_unstable();
        header.bad.dedup();
        Ok(header)
    }
}
