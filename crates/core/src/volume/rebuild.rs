//! What parity brings back: the bytes of one or two columns that are missing.
//!
//! P is the sum of the data of a row, Q the sum of the data each times a power of 2, in the field
//! of 256 elements with the polynomial 0x11D. H. Peter Anvin, "The mathematics of RAID-6";
//! Linux, `drivers/md/raid5.c` (`raid6_idx_to_slot`): the powers follow the columns from the one
//! behind Q on.

use super::stripes::{ParityColumns, Stripes};
use crate::ReadAt;

/// The product of two elements.
fn times(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        let carry = a & 0x80 != 0;
        a <<= 1;
        if carry {
            a ^= 0x1D;
        }
        b >>= 1;
    }
    product
}

fn power(exponent: usize) -> u8 {
    (0..exponent % 255).fold(1, |element, _| times(element, 2))
}

/// The element by which `a` is divided; there is none for zero.
fn inverse(a: u8) -> Option<u8> {
    (1..=255).find(|b| times(a, *b) == 1)
}

/// The data columns of a row in the order of their powers.
fn data_columns(count: usize, ParityColumns { p, q }: ParityColumns) -> Vec<usize> {
    let first = match q {
        Some(q) => q + 1,
        None => 0,
    };
    let columns = (0..count).map(|n| (first + n) % count);
    columns.filter(|c| *c != p && Some(*c) != q).collect()
}

/// The sums of a row, of what can be read of it.
struct Row {
    p: Vec<u8>,
    q: Vec<u8>,
    /// Data columns that can't be read, as powers.
    lost: Vec<usize>,
}

/// Computes the data at `offset` of `column`, which can't be read, from the rest of its row;
/// `None` where too much of that can't be read either. `below` is what the
/// columns lie on.
pub(super) fn rebuild(
    below: &dyn ReadAt,
    stripes: &Stripes,
    (column, offset): (usize, u64),
    out: &mut [u8],
) -> Option<()> {
    let parity = stripes.parity_at(offset)?;
    let read = |column: usize| {
        let place = stripes.place(column, offset)?;
        let mut bytes = vec![0; out.len()];
        below.read_exact_at(place, &mut bytes).ok()?;
        Some(bytes)
    };
    let columns = data_columns(stripes.columns().len(), parity);
    let wanted = columns.iter().position(|c| *c == column)?;
    let mut row = Row {
        p: vec![0; out.len()],
        q: vec![0; out.len()],
        lost: Vec::new(),
    };
    for (exponent, data) in columns.iter().enumerate() {
        match read(*data).filter(|_| *data != column) {
            Some(bytes) => {
                add(&mut row.p, &bytes, 1);
                if parity.q.is_some() {
                    add(&mut row.q, &bytes, power(exponent));
                }
            }
            None => row.lost.push(exponent),
        }
    }
    let p = read(parity.p);
    let q = || parity.q.and_then(read);
    match (&row.lost[..], p) {
        ([_], Some(p)) => add(&mut row.p, &p, 1),
        ([_], None) => {
            add(&mut row.q, &q()?, 1);
            let divisor = inverse(power(wanted))?;
            row.p = row.q.iter().map(|byte| times(*byte, divisor)).collect();
        }
        ([one, two], Some(p)) => {
            let other = if *one == wanted { *two } else { *one };
            add(&mut row.p, &p, 1);
            add(&mut row.q, &q()?, 1);
            // With x wanted and y the other: p = x + y, q = 2^i x + 2^j y.
            let (mine, others) = (power(wanted), power(other));
            let divisor = inverse(mine ^ others)?;
            let both = row.p.iter().zip(&row.q);
            let found = both.map(|(p, q)| times(times(others, *p) ^ q, divisor));
            row.p = found.collect();
        }
        _ => return None,
    }
    out.copy_from_slice(&row.p);
    Some(())
}

fn add(sum: &mut [u8], bytes: &[u8], factor: u8) {
    for (sum, byte) in sum.iter_mut().zip(bytes) {
        *sum ^= match factor {
            1 => *byte,
            factor => times(*byte, factor),
        };
    }
}

/// Writes the parity of `stripes` that fits its data.
#[cfg(test)]
pub(super) fn write_parity(stripes: &Stripes, disk: &mut [u8]) {
    let columns = stripes.columns();
    let mut offset = 0;
    let column = columns.len() as u64;
    let length = disk.len() as u64 / column;
    while offset < length {
        let parity = stripes.parity_at(offset).unwrap();
        let (mut p, mut q) = (vec![0; 512], vec![0; 512]);
        for (exponent, data) in data_columns(columns.len(), parity).into_iter().enumerate() {
            let at = stripes.place(data, offset).unwrap() as usize;
            let bytes = disk[at..at + 512].to_vec();
            add(&mut p, &bytes, 1);
            add(&mut q, &bytes, power(exponent));
        }
        let at = stripes.place(parity.p, offset).unwrap() as usize;
        disk[at..at + 512].copy_from_slice(&p);
        if let Some(column) = parity.q {
            let at = stripes.place(column, offset).unwrap() as usize;
            disk[at..at + 512].copy_from_slice(&q);
        }
        offset += 512;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_that_of_raid6() {
        // From the tables of Linux, `lib/raid6/mktables.c`.
        assert_eq!(times(0x80, 2), 0x1D);
        assert_eq!(power(8), 0x1D);
        assert_eq!(power(255), 1);
        assert_eq!(inverse(2), Some(0x8E));
        assert_eq!(inverse(0), None);
        for a in 1..=255 {
            assert_eq!(times(a, inverse(a).unwrap()), 1);
        }
    }
}
