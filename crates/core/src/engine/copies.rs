//! Copies that should be alike: where a mirrored volume changed, all of them are compared.

use super::run::Run;
use super::volume::OpenVolume;
use crate::{Diagnostic, RangeSet, ReadAt, Result, View, read_vec};

/// Bytes that are compared at a time.
const STEP: u64 = 1 << 20;

/// Tells where the copies of `volume` differ within `wanted`, in bytes of the volume: one of them
/// is read, and whoever uses the volume may be given another one.
pub(super) fn compare(
    run: &Run<'_>,
    volume: &OpenVolume,
    wanted: &RangeSet,
    disk: &dyn ReadAt,
) -> Result<()> {
    if !volume.map.has_copies() {
        return Ok(());
    }
    for range in wanted {
        for piece in volume.map.pieces(range).filter(|p| p.copies.several()) {
            let mut done = 0;
            while done < piece.volume.len() {
                run.check()?;
                let length = (piece.volume.len() - done).min(STEP);
                let read = |at: u64| read_vec(disk, at.checked_add(done)?, length as usize).ok();
                // What can't be read is told where it is needed.
                let mut copies = piece.copies.iter().filter_map(read);
                let first = copies.next();
                if copies.any(|copy| Some(copy) != first) {
                    let text = "its copies differ where blocks changed: the first is read, and \
                                whoever uses the volume may be given another one";
                    let finding = Diagnostic::warning("copies-differ", text).losing();
                    let finding = finding.at(piece.volume.start() + done).view(View::Merged);
                    run.report(Some(&volume.name), finding);
                    return Ok(());
                }
                done += length;
            }
        }
    }
    Ok(())
}
