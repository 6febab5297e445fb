//! `thin_delta` of thin-provisioning-tools: XML, of which a few elements with a few attributes are
//! written. Blocks are those of the pool; a sector has 512 bytes.

use std::io::{BufRead, Read as _};

use hexz_resolve::{Error, Result};

use super::list::List;
use crate::num::usize_of;

const SECTOR: u64 = 512;
/// Longest element; they are short.
const MAX_ELEMENT: u64 = 4096;

pub(super) fn is_one(start: &str) -> bool {
    let text = start.trim_start();
    text.starts_with('<') && (text.contains("<diff") || text.contains("data_block_size"))
}

pub(super) fn parse(mut from: impl BufRead) -> Result<List> {
    let mut list = List::new(None);
    let mut block = None;
    // The parent element of ranges, which `--verbose` writes.
    let mut differs = false;
    let mut element = Vec::new();
    loop {
        element.clear();
        // Up to the next element, which is read up to its end.
        let skipped = from
            .by_ref()
            .take(MAX_ELEMENT)
            .read_until(b'<', &mut element);
        if skipped.map_err(|e| Error::io("extent list", e))? == 0 {
            break;
        }
        if element.last() != Some(&b'<') {
            continue;
        }
        element.clear();
        let got = from
            .by_ref()
            .take(MAX_ELEMENT)
            .read_until(b'>', &mut element);
        let got = got.map_err(|e| Error::io("extent list", e))?;
        if element.pop() != Some(b'>') {
            let what = if got == usize_of(MAX_ELEMENT) {
                "too long"
            } else {
                "cut short"
            };
            return Err(wrong(&format!("an element that is {what}")));
        }
        let text = std::str::from_utf8(&element).map_err(|_| wrong("bytes, not text"))?;
        let text = text.trim_end_matches('/').trim();
        let name = text.split_ascii_whitespace().next().unwrap_or_default();
        match name {
            "superblock" => {
                let sectors = attribute(text, "data_block_size").unwrap_or(0);
                block = sectors.checked_mul(SECTOR).filter(|size| *size > 0);
            }
            "left_only" | "right_only" | "different" | "same" => {
                differs = name != "same";
                if differs && let Some(begin) = attribute(text, "begin") {
                    add(&mut list, block, begin, text)?;
                }
            }
            "range" if differs => {
                let begin = attribute(text, "begin");
                add(
                    &mut list,
                    block,
                    begin.ok_or_else(|| wrong("a range without begin"))?,
                    text,
                )?;
            }
            _ => {}
        }
    }
    match block {
        Some(size) => {
            list.unit = u32::try_from(size).is_ok().then_some(size);
            Ok(list)
        }
        None => Err(wrong("no superblock with a data_block_size")),
    }
}

fn add(list: &mut List, block: Option<u64>, begin: u64, text: &str) -> Result<()> {
    let block = block.ok_or_else(|| wrong("blocks before the superblock"))?;
    let length = attribute(text, "length").ok_or_else(|| wrong("blocks without length"))?;
    match begin.checked_mul(block).zip(length.checked_mul(block)) {
        Some((start, length)) => list.add(start, length),
        None => {
            list.too_far = list.too_far.saturating_add(1);
            Ok(())
        }
    }
}

/// The number in `name="…"`.
fn attribute(text: &str, name: &str) -> Option<u64> {
    text.split_ascii_whitespace().find_map(|part| {
        let (key, value) = part.split_once('=')?;
        (key == name).then(|| value.trim_matches(['"', '\'']).parse().ok())?
    })
}

fn wrong(what: &str) -> Error {
    Error::corrupt("extent list").message(format!("thin_delta: {what}"))
}
