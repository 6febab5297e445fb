//! Partition tables: what detection must know of them beside what their schemes say.
//!
//! UEFI, "GUID Partition Table Format" and "MBR Partition Table Format".

use hexz_resolve::{Sign, Standing, Window};

use crate::look::{fields, last, place};

/// Bytes of a sector that a table may count in.
const SECTORS: [u64; 4] = [512, 1024, 2048, 4096];
const HEADER: &[u8] = b"EFI PART";
/// Sectors of 512 bytes that a table takes up at either end, as everyone makes it.
const FRONT: u64 = 34;
const END: u64 = 33;

pub(crate) fn mbr(window: &Window) -> Option<Sign> {
    let sector = fields(window, "MBR", 0, 512)?;
    let signed = sector.bytes(510, 2).ok()? == [0x55, 0xAA];
    signed.then_some(Sign::new("dos", 10, place(446, 66)?).written(0, 512))
}

/// First byte and end of the entries of the header in sector 1.
fn entries(window: &Window, sector: u64) -> Option<(u64, u64)> {
    let header = fields(window, "GPT header", sector, 92)?;
    let start = header.le64(72).ok()?.checked_mul(sector)?;
    let count = u64::from(header.le32(80).ok()?);
    let length = count.checked_mul(header.le32(84).ok()?.into())?;
    Some((start, start.checked_add(length)?))
}

pub(crate) fn gpt(window: &Window) -> Option<Sign> {
    let header = |at: u64| window.elsewhere(at, 8).is_some_and(|bytes| bytes == HEADER);
    // The entry that stands for a GPT, in a table that was not overwritten.
    let protective = fields(window, "MBR", 0, 512).is_some_and(|sector| {
        let kinds = [450, 466, 482, 498].map(|at| sector.u8(at).ok());
        sector.bytes(510, 2).is_ok_and(|b| b == [0x55, 0xAA]) && kinds.contains(&Some(0xEE))
    });
    let front = SECTORS.into_iter().find(|sector| header(*sector));
    let ends = SECTORS
        .into_iter()
        .filter_map(|sector| last(window, sector));
    let end = ends.into_iter().find(|at| header(*at));
    let (at, standing) = match (front, protective, end) {
        (Some(sector), _, _) => (sector, Standing::Front),
        (None, true, Some(_)) => (0, Standing::Front),
        (None, false, Some(at)) => (at, Standing::Copy),
        (None, _, None) => return None,
    };
    let sign = Sign::new("gpt", 50, place(at, 92)?)
        .standing(standing)
        .written(0, 512)
        .written_at_end(END.checked_mul(512)?, window);
    let entries = front.and_then(|sector| entries(window, sector));
    Some(match (front, entries) {
        (Some(sector), Some((start, end))) => sign
            .written(sector, sector.checked_add(512)?)
            .written(start, end),
        _ => sign.written(512, FRONT.checked_mul(512)?),
    })
}
