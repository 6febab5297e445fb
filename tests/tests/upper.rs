//! `--overlay-upper` on a folder that the kernel's overlayfs wrote, against what the two mounted
//! overlays show (`fixtures/overlayfs-upper/make.sh`).
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeSet;
use std::fs;

use hexz_acceptance::Hexz;
use hexz_testkit::{decompress, fixtures_dir};
use serde_json::Value;

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

/// New files at paths at which others lie below the overlay, which the upper folder does not say:
/// they are told as added, and nothing of what they hide.
const HIDING: [&str; 3] = ["/link", "/opaque", "/to-dir"];
/// A directory that was copied up for what is in it: whether its attributes changed is not seen.
const COPIED_UP: &str = "/data/moved-here/inner";

type Record = (String, String, Option<String>);

fn record(value: &Value) -> Record {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let (change, path) = (text("change"), text("path"));
    (change.expect("a word"), path.expect("a path"), text("from"))
}

/// What the mounted overlays show, as far as an upper folder can tell it.
fn expected(lines: &str) -> BTreeSet<Record> {
    let all = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let all: Vec<Record> = all.map(|value| record(&value)).collect();
    let deleted = |path: &str| {
        all.iter()
            .any(|(word, p, _)| word == "deleted" && p == path)
    };
    let mut out = BTreeSet::new();
    for (word, path, from) in &all {
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        // One whiteout stands for a directory and all that was in it.
        if word == "deleted" && (deleted(above) || HIDING.contains(&above)) {
            continue;
        }
        let word = match HIDING.contains(&path.as_str()) {
            true => "added",
            false => word,
        };
        out.insert((word.to_owned(), path.clone(), from.clone()));
    }
    out.insert(("metadata".to_owned(), COPIED_UP.to_owned(), None));
    out
}

#[test]
fn the_report_is_what_the_mounted_overlays_show() {
    let fixture = fixtures_dir().join("overlayfs-upper");
    let dir = tempfile::tempdir().expect("a folder");
    for (file, packed) in [("base.img", "base.img.zst"), ("vm.overlay", "overlay.zst")] {
        fs::write(dir.path().join(file), decompress(&fixture.join(packed))).expect("written");
    }
    fs::copy(fixture.join("overlay.meta"), dir.path().join("vm.meta")).expect("copied");
    let hexz = Hexz::new(HEXZ, dir.path());
    let text = hexz.text("diff --files --json --overlay-upper /upper --base base.img vm.overlay");
    let records = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let changes = records.filter(|value| value["type"] == "change");
    let found: BTreeSet<Record> = changes.map(|value| record(&value)).collect();
    let seen = fs::read_to_string(fixture.join("seen.jsonl")).expect("what the kernel shows");
    let expected = expected(&seen);
    assert_eq!(found, expected);
    let words: BTreeSet<&str> = expected.iter().map(|(word, ..)| word.as_str()).collect();
    assert_eq!(
        words.len(),
        5,
        "added, deleted, metadata, modified, renamed"
    );
}
