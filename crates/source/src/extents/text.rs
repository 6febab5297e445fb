//! Lists in lines: ddrescue map files, and plain numbers.

use std::io::BufRead;

use hexz_resolve::{Error, Result};

use super::list::List;
use crate::num::usize_of;

/// Longest line; more is no list.
const MAX_LINE: u64 = 4096;

/// Calls `each` with the number and the content of each line that is not empty; comments begin
/// with `#`.
pub(super) fn lines(
    mut from: impl BufRead,
    mut each: impl FnMut(u64, &str) -> Result<()>,
) -> Result<()> {
    let mut line = Vec::new();
    let mut number = 1u64;
    while one_line(&mut from, &mut line, number, &mut each)? {
        number = number.saturating_add(1);
    }
    Ok(())
}

/// The same for the next line, which `line` is memory for. `false` at the end.
fn one_line(
    from: &mut impl BufRead,
    line: &mut Vec<u8>,
    number: u64,
    each: &mut impl FnMut(u64, &str) -> Result<()>,
) -> Result<bool> {
    line.clear();
    let mut limited = std::io::Read::take(from, MAX_LINE);
    let got = limited.read_until(b'\n', line);
    let got = got.map_err(|e| Error::io("extent list", e))?;
    if got == 0 {
        return Ok(false);
    }
    if got == usize_of(MAX_LINE) && line.last() != Some(&b'\n') {
        return Err(wrong(number, "a line that is too long"));
    }
    let text = std::str::from_utf8(line).map_err(|_| wrong(number, "bytes, not text"))?;
    let text = text.split('#').next().unwrap_or_default().trim();
    if !text.is_empty() {
        each(number, text)?;
    }
    Ok(true)
}

pub(super) fn wrong(line: u64, what: &str) -> Error {
    Error::corrupt("extent list").message(format!("line {line}: {what}"))
}

/// Decimal, or hexadecimal after `0x`.
pub(super) fn number(text: &str) -> Option<u64> {
    // `parse` would take a sign.
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Lines of `block` or `start+length`, in units.
pub(super) fn plain(mut from: impl BufRead, unit: u64) -> Result<List> {
    let mut list = List::new(Some(unit));
    let mut line = Vec::new();
    let mut number = 1u64;
    loop {
        let simple = simple_lines(&mut from, unit, &mut list)?;
        number = number.saturating_add(simple);
        let mut each = |line, text: &str| plain_line(line, text, unit, &mut list);
        if !one_line(&mut from, &mut line, number, &mut each)? {
            return Ok(list);
        }
        number = number.saturating_add(1);
    }
}

fn plain_line(line: u64, text: &str, unit: u64, list: &mut List) -> Result<()> {
    let (start, length) = match text.split_once('+') {
        Some((start, length)) => (number(start.trim()), number(length.trim())),
        None => (number(text), Some(1)),
    };
    let (Some(start), Some(length)) = (start, length) else {
        return Err(
            wrong(line, "expected `block` or `start+length`").found(format_args!("{text:?}"))
        );
    };
    list.add_units(start, length, unit)
}

/// Takes the lines that are whole in memory and such as tools write them, decimal digits and at
/// most one `+`, up to the first that is not. Gives how many: a list may have millions.
fn simple_lines(from: &mut impl BufRead, unit: u64, list: &mut List) -> Result<u64> {
    let buffer = from.fill_buf().map_err(|e| Error::io("extent list", e))?;
    let (mut rest, mut lines) = (buffer, 0u64);
    while let Some((start, length, behind)) = simple_line(rest) {
        list.add_units(start, length, unit)?;
        rest = behind;
        lines = lines.saturating_add(1);
    }
    let used = buffer.len().saturating_sub(rest.len());
    from.consume(used);
    Ok(lines)
}

/// Start and length of a line `start` or `start+length` of digits, and what comes behind it.
fn simple_line(text: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (start, mut rest) = digits(text)?;
    let mut length = 1;
    if let Some(behind) = rest.strip_prefix(b"+") {
        (length, rest) = digits(behind)?;
    }
    Some((start, length, rest.strip_prefix(b"\n")?))
}

/// The decimal number that the text begins with, and what comes behind it, which is not nothing.
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at_checked(end)?;
    let add = |value: u64, digit: &u8| {
        let digit = digit.checked_sub(b'0')?;
        value.checked_mul(10)?.checked_add(digit.into())
    };
    let value = digits.iter().try_fold(0, add)?;
    (!digits.is_empty()).then_some((value, rest))
}

/// A ddrescue map file: a line with the current position, then `pos size status`. See
/// <https://www.gnu.org/software/ddrescue/manual/ddrescue_manual.html#Mapfile-structure>.
pub(super) fn ddrescue(from: impl BufRead) -> Result<List> {
    let mut list = List::new(None);
    let mut seen_status_line = false;
    lines(from, |line, text| {
        if !std::mem::replace(&mut seen_status_line, true) {
            return status_line(text)
                .then_some(())
                .ok_or_else(|| wrong(line, "expected the current position and status"));
        }
        let Some((start, length, status)) = block(text) else {
            return Err(wrong(line, "expected `pos size status`").found(format_args!("{text:?}")));
        };
        if status != '+' {
            list.add(start, length)?;
        }
        Ok(())
    })?;
    Ok(list)
}

/// `current_pos current_status [current_pass]`
fn status_line(text: &str) -> bool {
    let mut fields = text.split_ascii_whitespace();
    let position = fields.next().and_then(number).is_some();
    let status = fields
        .next()
        .is_some_and(|s| matches!(s, "?" | "*" | "/" | "-" | "F" | "G" | "+"));
    let pass = fields.next().is_none_or(|pass| number(pass).is_some());
    position && status && pass && fields.next().is_none()
}

fn block(text: &str) -> Option<(u64, u64, char)> {
    let mut fields = text.split_ascii_whitespace();
    let (start, length) = (number(fields.next()?)?, number(fields.next()?)?);
    let mut status = fields.next()?.chars();
    let known = status.next().filter(|s| "?*/-+".contains(*s))?;
    let alone = status.next().is_none() && fields.next().is_none();
    alone.then_some((start, length, known))
}

/// Whether a text begins as a map file does: `5 + 3` alone could as well be a line of the text
/// form, so that the line after it counts, or the comment that ddrescue begins its files with.
pub(super) fn is_ddrescue(start: &str) -> bool {
    let named = start.lines().next().is_some_and(|first| {
        first.starts_with('#') && first.to_ascii_lowercase().contains("gnu ddrescue")
    });
    let mut lines = start
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty());
    let status = lines.next().is_some_and(status_line);
    status && lines.next().map_or(named, |line| block(line).is_some())
}
