//! Who owns each byte, in a form that does not depend on how claims are cut.

use std::collections::BTreeSet;

use hexz_resolve::{ByteRange, Claim, Class, Owner, RangeSet, RawName, Role};

/// What a claim says of each of its bytes: the file offset is kept as its distance from the
/// byte's place on the disk, which is the same for all bytes of one claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Says {
    pub(super) owner: Owner,
    pub(super) role: Role,
    pub(super) shift: Option<i128>,
    pub(super) stream: Option<RawName>,
    pub(super) detail: &'static str,
    pub(super) encoded: bool,
}

impl From<&Claim> for Says {
    fn from(claim: &Claim) -> Self {
        let start = i128::from(claim.range.start());
        Self {
            owner: claim.owner,
            role: claim.role,
            shift: claim.file_offset.map(|o| i128::from(o) - start),
            stream: claim.stream.clone(),
            detail: claim.detail,
            encoded: claim.encoded,
        }
    }
}

/// A piece of the disk and all that is said of it.
pub(super) type Piece = (ByteRange, BTreeSet<Says>);

/// All that `claims` say of the bytes of `wanted`, as the fewest pieces.
pub(super) fn pieces<'a>(
    claims: impl IntoIterator<Item = &'a Claim>,
    wanted: &RangeSet,
) -> Vec<Piece> {
    let mut edges: Vec<(u64, bool, Says)> = Vec::new();
    for claim in claims {
        for part in wanted.overlapping(claim.range) {
            edges.push((part.start(), true, claim.into()));
            edges.push((part.end(), false, claim.into()));
        }
    }
    edges.sort_unstable();
    let mut open: Vec<Says> = Vec::new();
    let mut out: Vec<Piece> = Vec::new();
    let mut at = 0;
    for (place, starts, says) in edges {
        if place > at && !open.is_empty() {
            append(&mut out, ByteRange::new(at, place), &open);
        }
        at = place;
        if starts {
            open.push(says);
        } else if let Some(index) = open.iter().position(|o| *o == says) {
            open.swap_remove(index);
        }
    }
    out
}

fn append(out: &mut Vec<Piece>, range: ByteRange, open: &[Says]) {
    let says: BTreeSet<Says> = open.iter().cloned().collect();
    match out.last_mut() {
        Some((last, same)) if last.end() == range.start() && *same == says => {
            *last = ByteRange::new(last.start(), range.end());
        }
        _ => out.push((range, says)),
    }
}

/// The first place where two lists of pieces differ.
pub(super) fn difference(expected: &[Piece], found: &[Piece]) -> Option<String> {
    let at = expected.iter().zip(found).position(|(a, b)| a != b);
    let at =
        at.or_else(|| (expected.len() != found.len()).then(|| expected.len().min(found.len())))?;
    Some(format!(
        "expected {:?}, found {:?}",
        expected.get(at),
        found.get(at)
    ))
}

/// The first piece of `found` that says what `sound` does not: a wrong file, or free where it is
/// not. Of structures only the class must agree, since a part of one may stand for the whole
/// where something in it can't be read.
pub(super) fn unsound(sound: &[Piece], found: &[Piece]) -> Option<String> {
    let mut from = 0;
    for (range, says) in found {
        while sound
            .get(from)
            .is_some_and(|(r, _)| r.end() <= range.start())
        {
            from += 1;
        }
        let mut at = range.start();
        for (piece, sound_says) in sound.get(from..).unwrap_or_default() {
            if piece.start() >= range.end() || piece.start() > at {
                break;
            }
            if let Some(wrong) = says.iter().find(|s| !allowed(s, sound_says)) {
                return Some(format!(
                    "{range:?} is said to be {wrong:?}; it is {sound_says:?}"
                ));
            }
            at = piece.end();
        }
        if at < range.end() {
            return Some(format!(
                "{range:?} is said to be {says:?}; no one owns byte {at}"
            ));
        }
    }
    None
}

fn allowed(says: &Says, sound: &BTreeSet<Says>) -> bool {
    let class = |s: &Says| -> Class { s.role.class() };
    sound.contains(says)
        || (says.owner == Owner::Structure && sound.iter().any(|s| class(s) == class(says)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexz_resolve::FileKey;

    fn file(start: u64, end: u64, offset: u64) -> Claim {
        Claim::file(ByteRange::new(start, end), FileKey::default(), Role::Data).offset(offset)
    }

    #[test]
    fn the_same_said_in_other_cuts_is_equal() {
        let disk = RangeSet::from(ByteRange::new(0, 100));
        let one = pieces(&[file(10, 50, 0)], &disk);
        let two = pieces(&[file(30, 50, 20), file(10, 30, 0), file(10, 20, 0)], &disk);
        assert_eq!(difference(&one, &two), None);
        let moved = pieces(&[file(10, 30, 0), file(30, 50, 21)], &disk);
        assert!(difference(&one, &moved).is_some());
    }

    #[test]
    fn less_is_sound_and_other_is_not() {
        let disk = RangeSet::from(ByteRange::new(0, 100));
        let free = Claim::free(ByteRange::new(50, 100));
        let sound = pieces(&[file(0, 50, 0), free], &disk);
        assert_eq!(unsound(&sound, &pieces(&[file(10, 20, 10)], &disk)), None);
        assert!(unsound(&sound, &pieces(&[file(40, 60, 40)], &disk)).is_some());
        let wrong = Claim::free(ByteRange::new(0, 10));
        assert!(unsound(&sound, &pieces(&[wrong], &disk)).is_some());
    }
}
