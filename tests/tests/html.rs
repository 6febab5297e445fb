//! The pages for a browser, as far as they can be read without one: `cargo xtask browser` opens
//! them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hexz_acceptance::Case;
use hexz_acceptance::schema::Report;
use serde_json::Value;

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

/// What the script of a page is given.
fn data(page: &Path) -> Value {
    let page = std::fs::read_to_string(page).expect("a page");
    let (_, rest) = page.split_once("id=\"data\">").expect("data");
    let (data, _) = rest.split_once("</script>").expect("its end");
    assert!(!data.contains('<'));
    assert!(page.contains("default-src 'none'"));
    assert!(
        !page.contains("http:") && !page.contains("https:"),
        "the page names a place"
    );
    serde_json::from_str(data).expect("JSON")
}

/// Column `index` of a list of lists.
fn column(value: &Value, index: usize) -> impl Iterator<Item = &Value> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(move |v| &v[index])
}

fn sum(value: &Value, index: usize) -> u64 {
    column(value, index).filter_map(Value::as_u64).sum()
}

/// Bytes by class: of the cells of a picture, by the names in `classes`.
fn by_class(data: &Value, picture: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for cell in data[picture].as_array().expect("cells") {
        let class = usize::try_from(cell[1].as_u64().expect("an index")).expect("small");
        let name = data["classes"][class][0].as_str().expect("a name");
        *sums.entry(name.to_owned()).or_default() += cell[2].as_u64().expect("bytes");
    }
    sums
}

/// Bytes by class, as the summary has them.
fn classes(report: &Report) -> BTreeMap<String, u64> {
    let classes = report.summary.classes.iter();
    classes
        .map(|(class, sum)| (class.clone(), sum.bytes))
        .collect()
}

#[test]
fn the_page_holds_every_change_and_lets_nothing_in() {
    let case = Case::new(HEXZ, "guest-mounts");
    let report = case.diff("--html page.html");
    let data = data(&case.dir().join("page.html"));
    let rows = data["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), report.changes.len());
    let paths: Vec<&str> = rows.iter().filter_map(|r| r[3].as_str()).collect();
    assert!(paths.contains(&"/boot/grub/grub.cfg"), "{paths:?}");
    assert_eq!(sum(&data["classes"], 1), report.summary.bytes);
    assert_eq!(sum(&data["classes"], 2), report.summary.changed);
}

#[test]
fn the_pictures_show_what_the_changed_blocks_are_and_what_they_were() {
    let names = [
        "guest-mounts",
        "htree",
        "xfs-rmap",
        "ntfs-plain",
        "btrfs-snapshots",
        "mbr-logical",
    ];
    for name in names {
        let case = Case::new(HEXZ, name);
        let report = case.diff("--html page.html");
        let data = data(&case.dir().join("page.html"));
        let after = classes(&report);
        assert_eq!(by_class(&data, "cells"), after, "{name}");
        // The disk before, asked alone.
        let regions = report.regions.iter().map(|r| (r.start, r.length));
        let unresolved = report.unresolved.iter().map(|u| (u.start, u.length));
        let ranges = report.changes.iter().flat_map(|c| &c.ranges);
        let ranges = ranges
            .filter(|r| r.view == "merged")
            .map(|r| (r.disk_offset, r.length));
        let blocks = regions.chain(unresolved).chain(ranges);
        let blocks =
            blocks.flat_map(|(start, length)| start / 4096..(start + length).div_ceil(4096));
        let blocks: BTreeSet<u64> = blocks.collect();
        assert_eq!(blocks.len() as u64, report.header.blocks, "{name}");
        let numbers: String = blocks.iter().map(|block| format!("{block}\n")).collect();
        std::fs::write(case.dir().join("blocks"), numbers).expect("written");
        let before = case.hexz.report("owner base.img --from blocks --json");
        let before = classes(&before);
        assert_eq!(by_class(&data, "before"), before, "{name}");
        assert_eq!(
            sum(&data["classes"], 3),
            before.values().sum::<u64>(),
            "{name}"
        );
    }
}

#[test]
fn the_page_of_a_map_has_every_file_and_every_byte() {
    for name in ["guest-mounts", "htree", "ntfs-plain", "btrfs-snapshots"] {
        let case = Case::new(HEXZ, name);
        let map = case.hexz.report("map base.img --json");
        assert!(case.hexz.text("map base.img --html page.html").is_empty());
        let data = data(&case.dir().join("page.html"));
        assert_eq!(data["kind"], "map");
        assert_eq!(by_class(&data, "cells"), classes(&map), "{name}");
        let mut files: BTreeMap<(String, String), u64> = BTreeMap::new();
        for piece in &map.owners {
            let volume = piece.volume.clone().unwrap_or_default();
            let mut counted = BTreeSet::new();
            for owner in &piece.owners {
                let sum = files
                    .entry((volume.clone(), owner.file.clone()))
                    .or_default();
                if owner.role != "inode-record" && counted.insert(&owner.file) {
                    *sum += piece.length;
                }
            }
        }
        assert_eq!(
            data["rows"].as_array().expect("rows").len(),
            files.len(),
            "{name}"
        );
        assert_eq!(sum(&data["rows"], 1), files.values().sum::<u64>(), "{name}");
        assert_eq!(sum(&data["cells"], 2), sum(&data["classes"], 1), "{name}");
    }
}

#[test]
fn a_page_is_written_over_no_image() {
    let case = Case::new(HEXZ, "guest-mounts");
    let base = std::fs::read(case.dir().join("base.img")).expect("the disk before");
    let lines = [
        "map base.img --html base.img",
        "diff --files case.overlay --base base.img --html base.img",
    ];
    for line in lines {
        let output = case.hexz.run(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("base.img is there and is no page"), "{said}");
        assert!(std::fs::read(case.dir().join("base.img")).is_ok_and(|now| now == base));
    }
    // A page is.
    for _ in 0..2 {
        assert!(
            case.hexz
                .run(lines[0].replace("--html base.img", "--html p").as_str())
                .status
                .success()
        );
    }
}
