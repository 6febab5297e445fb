//! Lists of changed runs, made up from the map of a disk.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Lists that differ; the others are these again.
const DIFFERENT: u64 = 1000;

/// Writes lists of `runs` runs each, and the file `names` with the names of `count` of them. Gives
/// how many of them differ.
pub(super) fn make(dir: &Path, count: u64, runs: u64) -> Result<u64> {
    let blocks = allocated(&dir.join("tables/map.jsonl"))?;
    let different = count.min(DIFFERENT);
    let folder = dir.join("lists");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir(&folder)?;
    let mut random = 88_172_645_463_325_252u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below.max(1)
    };
    let many = u64::try_from(blocks.len())?;
    for list in 0..different {
        let mut text = String::new();
        let mut chosen: Vec<u64> = (0..runs).map(|_| next(many)).collect();
        chosen.sort_unstable();
        for index in chosen {
            let (start, length) = blocks[usize::try_from(index)?];
            let skip = next(length);
            let run = 1 + next((length - skip).min(8));
            writeln!(text, "{}+{}", start + skip, run.min(length - skip))?;
        }
        fs::write(folder.join(format!("{list:06}")), text)?;
    }
    let mut names = String::new();
    for list in 0..count {
        writeln!(names, "lists/{:06}", list % different)?;
    }
    fs::write(dir.join("names"), names)?;
    Ok(different)
}

/// The pieces of the map that are in use, in blocks: start and length.
fn allocated(map: &Path) -> Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    for line in BufReader::new(File::open(map)?).lines() {
        let record: Value = serde_json::from_str(&line?)?;
        if record["type"] == "owner" && record["allocated"] == true {
            let number = |key: &str| record[key].as_u64().context("a number");
            let (start, length) = (number("start")? / 4096, number("length")? / 4096);
            if length > 0 {
                found.push((start, length));
            }
        }
    }
    Ok(found)
}
