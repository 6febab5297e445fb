//! From pieces of an attribute to claims.

use hexz_resolve::{ByteRange, Claim, RawName, Role};

use crate::ondisk::{I30, Reference, kind};
use crate::record::Piece;
use crate::system::role;

/// Whose an attribute is, and what is the same for all its claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) id: Reference,
    pub(crate) kind: u32,
    stream: Option<RawName>,
}

impl Holder {
    pub(crate) fn new(id: Reference, kind: u32, name: &[u8]) -> Self {
        let named = !name.is_empty() && name != I30;
        Self {
            id,
            kind,
            stream: named.then(|| RawName::from(name)),
        }
    }

    /// The claims of one piece. Content reads as zeros from `boundary` on.
    pub(crate) fn claims(&self, piece: &Piece, boundary: u64, mut put: impl FnMut(Claim)) {
        let (role, detail) = role(self.kind);
        let mut claim = |range: ByteRange, role: Role, offset: u64| {
            let mut claim = self.id.claim(range, role).detail(detail);
            claim.stream.clone_from(&self.stream);
            claim.encoded = piece.encoded;
            if matches!(self.kind, kind::DATA | kind::INDEX_ALLOCATION) {
                claim = claim.offset(offset);
            }
            put(claim);
        };
        if self.kind != kind::DATA || piece.encoded {
            return claim(piece.range, role, piece.offset);
        }
        let written = boundary.saturating_sub(piece.offset).min(piece.range.len());
        let middle = piece.range.start().saturating_add(written);
        if written > 0 {
            let range = ByteRange::new(piece.range.start(), middle);
            claim(range, Role::Data, piece.offset);
        }
        if written < piece.range.len() {
            let range = ByteRange::new(middle, piece.range.end());
            claim(range, Role::Unwritten, piece.offset.saturating_add(written));
        }
    }
}
