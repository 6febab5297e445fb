//! Every fixture: the report against what debugfs, the kernel or ntfsinfo say of the two disks.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeMap;
use std::process::ExitCode;

use hexz_acceptance::schema::{self, Change, Report};
use hexz_acceptance::{Case, Properties, cases, each, without_cost};
use hexz_testkit::{fixtures_dir, recipe_hash};
use serde_json::{Value, json};

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

fn main() -> ExitCode {
    let mut tests = each("truth", cases(), hold);
    tests.extend(each("recipe", cases(), archive_is_of_its_recipe));
    let alike = ["no-table", "gpt-moved", "cyclic-extents", "htree"];
    tests.extend(each(
        "threads",
        alike.map(String::from),
        threads_change_nothing,
    ));
    hexz_acceptance::run(tests)
}

fn archive_is_of_its_recipe(name: &str) {
    let dir = fixtures_dir().join(name);
    let recorded = std::fs::read_to_string(dir.join("recipe.hash")).unwrap_or_default();
    let now = recipe_hash(&dir);
    assert_eq!(recorded.trim(), now, "run `cargo xtask fixtures {name}`");
}

fn hold(name: &str) {
    let case = Case::new(HEXZ, name);
    let report = case.diff("");
    report.check_sums();
    let properties = Properties::of(name);
    if !properties.truth {
        // The test that says what comes out instead is in `special.rs`.
        assert!(case.records("expected.jsonl").is_empty(), "{name}");
        return;
    }
    let told = report.changes.iter().filter(|c| is_compared(c));
    let found: Vec<Value> = told.map(record).collect();
    assert_same(name, &case.records("expected.jsonl"), &found);
    assert!(
        report.unresolved.is_empty(),
        "{name}: {:?}",
        report.unresolved
    );
    let listed = report.header.precision.as_deref() != Some("may-miss");
    assert!(
        report.summary.complete || !listed,
        "{name}: {:?}",
        report.diagnostics
    );
    check_ranges(name, &properties, &case, &report);
    if !properties.replayed {
        check_all_told(name, &properties, &case, &report);
    }
}

fn assert_same(name: &str, expected: &[Value], found: &[Value]) {
    let missing: Vec<_> = expected.iter().filter(|e| !found.contains(e)).collect();
    let spurious: Vec<_> = found.iter().filter(|f| !expected.contains(f)).collect();
    let lines = |records: &[&Value]| -> String {
        let lines = records.iter().map(|r| format!("\n    {r}"));
        lines.collect()
    };
    assert!(
        missing.is_empty() && spurious.is_empty() && expected.len() == found.len(),
        "{name}:\n  missing {}\n  spurious {}",
        lines(&missing),
        lines(&spurious)
    );
}

/// The attributes of a change that a truth has: recipes can't fix these times.
fn compared(change: &Change) -> Vec<&String> {
    let kept = |a: &&String| !["ctime", "atime"].contains(&a.as_str());
    change.attributes.iter().filter(kept).collect()
}

/// Whether a truth knows of a change: not when it is one of such times and of nothing else.
fn is_compared(change: &Change) -> bool {
    let untold = change.change == "metadata" && !change.replaced;
    !untold || change.attributes.is_empty() || !compared(change).is_empty()
}

/// A change in the words of a truth.
fn record(change: &Change) -> Value {
    let attributes = compared(change);
    let pathwise = ["added", "deleted"].contains(&change.change.as_str());
    let mut record = json!({
        "volume": change.volume,
        "change": change.change,
        "path": change.path,
        "kind": change.kind,
        "content_changed": change.content_changed,
        "attributes": if pathwise { Vec::new() } else { attributes },
        "replaced": change.replaced,
    });
    if let Some(from) = &change.from {
        record["from"] = json!(from);
    }
    if ["modified", "metadata"].contains(&change.change.as_str()) && !change.replaced {
        record["links"] = json!(change.links);
    }
    record
}

/// Every range lies where the truth says that the file has its data, and every changed block of a
/// changed file is in its ranges.
fn check_ranges(name: &str, properties: &Properties, case: &Case, report: &Report) {
    let extents = case.records("extents.jsonl");
    let number = |v: &Value, key: &str| v[key].as_u64().expect("a number");
    for change in report.changes.iter().filter(|c| c.kind == "file") {
        for range in &change.ranges {
            let path = match (&change.from, range.view.as_str()) {
                (Some(from), "base") => from,
                _ => &change.path,
            };
            // What is compressed has no offset in the file.
            let Some(offset) = range.file_offset else {
                assert!(properties.encoded, "{name}: {path}: {range:?}");
                continue;
            };
            let of_file = extents.iter().filter(|e| {
                e["volume"] == change.volume.as_str()
                    && e["view"] == range.view.as_str()
                    && e["path"] == path.as_str()
            });
            // The truth has the extents of unnamed streams, and none of content within metadata.
            let within = properties.content_in_metadata && of_file.clone().next().is_none();
            let inline = within || range.stream.is_some();
            let place = of_file.clone().find(|e| {
                let start = number(e, "disk_offset");
                start <= range.disk_offset
                    && range.disk_offset + range.length <= start + number(e, "length")
            });
            let shift = place
                .map(|e| number(e, "file_offset") + range.disk_offset - number(e, "disk_offset"));
            assert!(inline || shift == Some(offset), "{name}: {path}: {range:?}");
        }
    }
}

/// Every byte of a file that differs is in its ranges, and counted.
fn check_all_told(name: &str, properties: &Properties, case: &Case, report: &Report) {
    let (base, merged) = (case.fixture.bytes("base.img"), case.merged());
    let number = |v: &Value, key: &str| v[key].as_u64().expect("a number");
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for extent in case.records("extents.jsonl") {
        let change = report
            .changes
            .iter()
            .find(|c| extent["path"] == c.path.as_str());
        let told = change.filter(|c| c.volume == extent["volume"].as_str().unwrap_or_default());
        let Some(change) = told.filter(|_| extent["view"] == "merged") else {
            continue;
        };
        let size = change
            .merged
            .as_ref()
            .and_then(|m| m["size"].as_u64())
            .unwrap_or_default();
        let (start, offset) = (
            number(&extent, "disk_offset"),
            number(&extent, "file_offset"),
        );
        for at in 0..number(&extent, "length") {
            let place = start + at;
            let differs = base.get(place as usize) != merged.get(place as usize);
            let content = offset + at < size && extent["unwritten"] == false;
            let within =
                |r: &schema::Range| r.disk_offset <= place && place < r.disk_offset + r.length;
            let told = !differs || !content || change.ranges.iter().any(within);
            assert!(
                told,
                "{name}: {}: byte {} differs",
                change.path,
                offset + at
            );
            *counts.entry(&change.path).or_default() += u64::from(differs && content);
        }
    }
    let extents = case.records("extents.jsonl");
    let mapped = |c: &Change| {
        let views = ["base", "merged"];
        let has = |view| move |e: &&Value| e["view"] == view && e["path"] == c.path.as_str();
        views
            .into_iter()
            .all(|v| extents.iter().any(|e| has(v)(&e)))
    };
    // What a record of an MFT or a leaf holds is counted too, and has no extents; what a file lost
    // when it shrank is counted in base.
    let in_place = |c: &&Change| {
        c.change == "modified"
            && c.kind == "file"
            && c.ranges.iter().all(|r| r.view == "merged")
            && !c.replaced
            && (!properties.content_in_metadata || mapped(c))
    };
    for change in report.changes.iter().filter(in_place) {
        let count = counts
            .get(change.path.as_str())
            .copied()
            .unwrap_or_default();
        assert_eq!(change.changed_bytes, count, "{name}: {}", change.path);
    }
}

fn threads_change_nothing(name: &str) {
    let case = Case::new(HEXZ, name);
    let line = "diff --files --json --base base.img case.overlay --threads";
    let [one, four] = [1, 4].map(|n| without_cost(&case.hexz.text(&format!("{line} {n}"))));
    assert_eq!(one, four, "{name}");
}
