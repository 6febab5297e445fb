//! Lists in lines: ddrescue map files, and plain numbers.

use std::io::BufRead;

use hexz_resolve::{Error, Result};

use super::List;
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
    let mut number = 0u64;
    loop {
        line.clear();
        number = number.saturating_add(1);
        let mut limited = std::io::Read::take(&mut from, MAX_LINE);
        let got = limited.read_until(b'\n', &mut line);
        let got = got.map_err(|e| Error::io("extent list", e))?;
        if got == 0 {
            return Ok(());
        }
        if got == usize_of(MAX_LINE) && line.last() != Some(&b'\n') {
            return Err(wrong(number, "a line that is too long"));
        }
        let text = std::str::from_utf8(&line).map_err(|_| wrong(number, "bytes, not text"))?;
        let text = text.split('#').next().unwrap_or_default().trim();
        if !text.is_empty() {
            each(number, text)?;
        }
    }
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
pub(super) fn plain(from: impl BufRead, unit: u64) -> Result<List> {
    let mut list = List::new(Some(unit));
    lines(from, |line, text| {
        let (start, length) = match text.split_once('+') {
            Some((start, length)) => (number(start.trim()), number(length.trim())),
            None => (number(text), Some(1)),
        };
        let (Some(start), Some(length)) = (start, length) else {
            return Err(
                wrong(line, "expected `block` or `start+length`").found(format_args!("{text:?}"))
            );
        };
        match start.checked_mul(unit).zip(length.checked_mul(unit)) {
            Some((start, length)) => list.add(start, length)?,
            None => list.too_far = list.too_far.saturating_add(1),
        }
        Ok(())
    })?;
    Ok(list)
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
pub(super) fn is_ddrescue(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(start);
    let named = text.lines().next().is_some_and(|first| {
        first.starts_with('#') && first.to_ascii_lowercase().contains("gnu ddrescue")
    });
    let mut lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty());
    let status = lines.next().is_some_and(status_line);
    status && lines.next().map_or(named, |line| block(line).is_some())
}
