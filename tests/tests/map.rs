//! `hexz map` tells each byte of a disk once, and `hexz owner` tells the same of any of them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::fs;
use std::process::ExitCode;

use hexz_acceptance::{Case, cases, each};
use serde_json::Value;

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

fn main() -> ExitCode {
    hexz_acceptance::run(each("every byte once", cases(), hold))
}

fn records(text: &str, kind: &str) -> Vec<Value> {
    let records = text.lines().map(|l| serde_json::from_str(l).expect("JSON"));
    records.filter(|r: &Value| r["type"] == kind).collect()
}

fn number(record: &Value, key: &str) -> u64 {
    record[key].as_u64().expect("a number")
}

/// What it maps to, piece by piece; every byte must be there once.
fn whole(case: &Case, image: &str, size: u64) -> Vec<Value> {
    let text = case.hexz.text(&format!("map --json {image}"));
    let pieces = records(&text, "owner");
    let mut at = 0;
    for piece in &pieces {
        assert_eq!(number(piece, "start"), at, "{image}: {piece}");
        assert_ne!(number(piece, "length"), 0, "{image}: {piece}");
        at += number(piece, "length");
    }
    assert_eq!(at, size, "{image}");
    let summary = records(&text, "summary").remove(0);
    let classes = summary["classes"].as_object().expect("an object");
    let sum: u64 = classes.values().map(|c| number(c, "bytes")).sum();
    assert_eq!((number(&summary, "bytes"), sum), (size, size), "{image}");
    pieces
}

/// Asks about single bytes: where a piece starts, where it ends, and a sector of it.
fn ask(case: &Case, image: &str, pieces: &[Value]) {
    // Some pieces of every kind, wherever they are.
    for piece in pieces.iter().step_by(pieces.len().div_ceil(6)) {
        let (start, length) = (number(piece, "start"), number(piece, "length"));
        let (sector, last) = (start.div_ceil(512), start + length - 1);
        let mut line = format!("owner --json {image} --offset {start} --offset {last}");
        if (sector + 1) * 512 <= start + length {
            line += &format!(" --lba {sector}");
        }
        for found in records(&case.hexz.text(&line), "owner") {
            for key in ["volume", "class", "detail", "allocated", "reason"] {
                assert_eq!(found[key], piece[key], "{line}: {found}");
            }
            let mut owners = piece["owners"].clone();
            let moved = number(&found, "start") - start;
            for owner in owners.as_array_mut().expect("owners") {
                if let Some(offset) = owner["file_offset"].as_u64() {
                    owner["file_offset"] = (offset + moved).into();
                }
            }
            assert_eq!(found["owners"], owners, "{line}: {found}");
        }
    }
}

fn hold(name: &str) {
    let case = Case::new(HEXZ, name);
    let merged = case.merged();
    fs::write(case.dir().join("merged.img"), &merged).expect("a temporary folder");
    let base = case.fixture.bytes("base.img").len() as u64;
    for (image, size) in [("base.img", base), ("merged.img", merged.len() as u64)] {
        let pieces = whole(&case, image, size);
        ask(&case, image, &pieces);
    }
}
