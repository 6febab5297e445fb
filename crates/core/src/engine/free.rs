//! Data that came where a filesystem calls its blocks free.
//!
//! A filesystem that writes data writes its own structures too, and frees little of what it wrote
//! a moment ago. Where blocks that it calls free change over and over, and are not cleared, what
//! is on the volume may be another format by now.

use super::account::{Piece, Sums};
use super::pairing::Pairing;
use super::refine::Differences;
use super::run::Run;
use crate::{ByteRange, Class, Diagnostic, ReadAt, Result};

const BLOCK: u64 = 4096;
/// Blocks that are looked at, of one volume.
const LOOKED_AT: u64 = 4096;
/// Fewer may be chance: a block that was freed after it was written.
const FEW: u64 = 4;
/// So many are worth telling of even where structures changed too.
const MANY: u64 = 64;

/// Tells of volumes whose free space has more new data than chance allows.
pub(super) fn tell(
    run: &Run<'_>,
    pairing: &Pairing<'_>,
    (pieces, sums): (&[Piece], &Sums),
    differences: &Differences,
    merged: &dyn ReadAt,
) -> Result<()> {
    for (index, pair) in pairing.pairs.iter().enumerate() {
        let Some(volume) = pair.merged.filter(|v| v.filesystem().is_some()) else {
            continue;
        };
        let Some(classes) = sums.volumes.get(&index) else {
            continue;
        };
        let free = classes.get(&Class::Free).map_or(0, |sum| sum.changed);
        let all: u64 = classes.values().map(|sum| sum.changed).sum();
        if free < all / 2 || free == 0 {
            continue;
        }
        run.check()?;
        let of_volume = pieces
            .iter()
            .filter(|piece| piece.volume() == Some(index) && piece.class == Class::Free);
        let live = live_blocks(of_volume.map(|piece| piece.range), differences, merged);
        let own = |class: &Class| {
            !matches!(
                class,
                Class::Free | Class::FileData | Class::Unresolved | Class::Gap
            )
        };
        let structures: u64 = classes
            .iter()
            .filter(|(class, _)| own(class))
            .map(|(_, sum)| sum.changed)
            .sum();
        let finding = match structures {
            0 if live >= FEW => Diagnostic::warning(
                "free-space-written",
                format!(
                    "{live} changed blocks hold data where it calls its space free, and none of \
                     its structures changed: no filesystem writes like that, so another format \
                     may be here now (`hexz layout --explain` tells what was thought of)"
                ),
            ),
            _ if live >= MANY && free > all / 4 * 3 => Diagnostic::info(
                "free-space-changed",
                format!(
                    "{live} changed blocks hold data where it calls its space free: more than \
                     in its files"
                ),
            ),
            _ => continue,
        };
        run.report(Some(&volume.name), finding);
    }
    Ok(())
}

/// Blocks of `ranges` that differ, and are not zero.
fn live_blocks(
    ranges: impl Iterator<Item = ByteRange>,
    differences: &Differences,
    merged: &dyn ReadAt,
) -> u64 {
    let (mut live, mut looked_at) = (0, 0);
    let mut block = [0; BLOCK as usize];
    for range in ranges {
        for part in &differences.ranges().clipped(range).aligned_out(BLOCK) {
            let mut at = part.start();
            while at < part.end() && looked_at < LOOKED_AT {
                looked_at += 1;
                let piece = ByteRange::new(at, at + BLOCK).intersection(&range);
                let bytes = piece.and_then(|piece| {
                    let bytes = block.get_mut(..piece.len() as usize)?;
                    merged.read_exact_at(piece.start(), bytes).ok()?;
                    Some(bytes)
                });
                live += u64::from(bytes.is_some_and(|bytes| bytes.iter().any(|b| *b != 0)));
                at += BLOCK;
            }
        }
    }
    live
}
