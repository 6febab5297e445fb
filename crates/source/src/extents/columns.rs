//! Lists in lines that programs write for people.

use std::io::BufRead;

use hexz_resolve::Result;

use super::json::is_changed_of_nbd;
use super::list::List;
use super::text::{lines, number, wrong};

/// The first line that says something.
fn first_line(start: &str) -> &str {
    let mut lines = start.lines().map(str::trim);
    lines.find(|line| !line.is_empty()).unwrap_or_default()
}

/// Three columns and a heading: `Offset Length Type`.
pub(super) fn is_rbd_diff(start: &str) -> bool {
    let line = first_line(start);
    line.split_ascii_whitespace()
        .eq(["Offset", "Length", "Type"])
}

/// `rbd diff` without `--format`: data, and what was discarded or written as zeros.
pub(super) fn rbd_diff(from: impl BufRead) -> Result<List> {
    let mut list = List::new(None);
    lines(from, |line, text| {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        match fields.as_slice() {
            ["Offset", "Length", "Type"] => Ok(()),
            [start, length, "data" | "zero"] => match number(start).zip(number(length)) {
                Some((start, length)) => list.add(start, length),
                None => Err(wrong(line, "expected numbers").found(format_args!("{text:?}"))),
            },
            _ => Err(wrong(line, "expected `offset length type`").found(format_args!("{text:?}"))),
        }
    })?;
    Ok(list)
}

/// Offset, length, type and description.
fn nbd_line(text: &str) -> Option<(u64, u64, bool)> {
    let mut fields = text.split_ascii_whitespace();
    let mut next = || fields.next().and_then(number);
    let (start, length, _) = (next()?, next()?, next()?);
    let words: Vec<&str> = fields.collect();
    Some((start, length, is_changed_of_nbd(&words.join(" "))?))
}

pub(super) fn is_nbdinfo(start: &str) -> bool {
    nbd_line(first_line(start)).is_some()
}

/// `nbdinfo --map`, with any map: base:allocation, a dirty bitmap, the depth.
pub(super) fn nbdinfo(from: impl BufRead) -> Result<List> {
    let mut list = List::new(None);
    lines(from, |line, text| {
        let expected = "expected `offset length type description`";
        let found = || wrong(line, expected).found(format_args!("{text:?}"));
        let (start, length, changed) = nbd_line(text).ok_or_else(found)?;
        match changed {
            true => list.add(start, length),
            false => Ok(()),
        }
    })?;
    Ok(list)
}

/// `[start,end)`
fn interval(text: &str) -> Option<(u64, u64)> {
    let inner = text.strip_prefix('[')?.strip_suffix(')')?;
    let (start, end) = inner.split_once(',')?;
    let (start, end) = (number(start.trim())?, number(end.trim())?);
    Some((start, end.checked_sub(start)?))
}

pub(super) fn is_intervals(start: &str) -> bool {
    let line = first_line(start);
    line.split_ascii_whitespace()
        .next()
        .is_some_and(|first| interval(first).is_some())
        || interval(line).is_some()
}

/// Half-open intervals of bytes, one or more a line, as E2B and many others print them.
pub(super) fn intervals(from: impl BufRead) -> Result<List> {
    let mut list = List::new(None);
    lines(from, |line, text| {
        for part in text.split_inclusive(')') {
            let part = part.trim_matches([' ', '\t', ',', ';']);
            if part.is_empty() {
                continue;
            }
            let found = || wrong(line, "expected `[start,end)`").found(format_args!("{part:?}"));
            let (start, length) = interval(part).ok_or_else(found)?;
            list.add(start, length)?;
        }
        Ok(())
    })?;
    Ok(list)
}

const MISMATCH: &str = "Content mismatch at offset ";

pub(super) fn is_qemu_compare(start: &str) -> bool {
    start.lines().any(|line| line.starts_with(MISMATCH)) || start.contains("Images are identical.")
}

/// `qemu-img compare`: it ends at the first byte that differs.
pub(super) fn qemu_compare(from: impl BufRead) -> Result<List> {
    /// As much is compared at a time at least.
    const SECTOR: u64 = 512;
    let mut list = List::new(Some(SECTOR));
    lines(from, |line, text| {
        if let Some(offset) = text.strip_prefix(MISMATCH) {
            let offset = number(offset.trim_end_matches('!'));
            let offset = offset.ok_or_else(|| wrong(line, "expected an offset"))?;
            list.may_miss = Some(
                "qemu-img compare tells where the first difference is, and of no other: give both \
                 images instead",
            );
            return list.add(offset & !SECTOR.saturating_sub(1), SECTOR);
        }
        let known = ["Images are identical.", "Warning: ", "Strict mode: "];
        match known.iter().any(|start| text.starts_with(start)) {
            true => Ok(()),
            false => {
                Err(wrong(line, "not what qemu-img compare says").found(format_args!("{text:?}")))
            }
        }
    })?;
    Ok(list)
}
