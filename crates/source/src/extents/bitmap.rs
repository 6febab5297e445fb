//! A file of bits: one a unit, the lowest of a byte first, as qemu and the kernel keep them.

use std::io::Read;

use hexz_resolve::{Error, Result};

use super::list::List;
use crate::num::u64_of;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 16;

pub(super) fn parse(mut from: impl Read, unit: u64) -> Result<List> {
    let mut list = List::new(Some(unit));
    let mut piece = vec![0; PIECE];
    let mut number = 0u64;
    loop {
        let got = from
            .read(&mut piece)
            .map_err(|e| Error::io("extent list", e))?;
        if got == 0 {
            return Ok(list);
        }
        add_bits(
            &mut list,
            number,
            piece.get(..got).unwrap_or_default(),
            unit,
        )?;
        number = number.saturating_add(u64_of(got).saturating_mul(8));
    }
}

/// Adds the units whose bits in `bits` are set; the first is of unit `number`.
pub(crate) fn add_bits(list: &mut List, number: u64, bits: &[u8], unit: u64) -> Result<()> {
    for (at, byte) in (number..).step_by(8).zip(bits) {
        let mut rest = *byte;
        while rest != 0 {
            let first = rest.trailing_zeros();
            let count = (rest >> first).trailing_ones();
            let start = at.saturating_add(u64::from(first)).checked_mul(unit);
            match start.zip(u64::from(count).checked_mul(unit)) {
                Some((start, length)) => list.add(start, length)?,
                None => list.too_far = list.too_far.saturating_add(1),
            }
            // Clears the run: what is above it is left.
            let above = u32::from(rest) >> first >> count << count << first;
            rest = u8::try_from(above).unwrap_or(0);
        }
    }
    Ok(())
}
