//! The disk changed through the real hexz, against the trees that the kernel mounted.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use hexz_acceptance::Hexz;
use hexz_acceptance::schema::{Change, Report};
use hexz_testkit::fixtures_dir;
use serde_json::{Value, json};

fn hexz() -> Hexz {
    Hexz::new(
        env!("CARGO_BIN_EXE_hexz-under-test"),
        &fixtures_dir().join("demo"),
    )
}

/// A change in the words of the truth, which looks at neither ctime, atime, btime nor flags, and
/// has a record for each path of a file.
fn records(change: &Change) -> Vec<Value> {
    let looked_at = ["mode", "uid", "gid", "mtime", "xattr", "rdev", "nlink"];
    let mut attributes: Vec<&str> = change.attributes.iter().map(String::as_str).collect();
    attributes.retain(|a| looked_at.contains(a));
    let pathwise = ["added", "deleted"].contains(&change.change.as_str());
    if pathwise {
        attributes.clear();
    }
    attributes.sort_unstable();
    if change.change == "metadata" && attributes.is_empty() && !change.replaced {
        return Vec::new();
    }
    let mut record = json!({
        "change": change.change,
        "type": change.kind.replace('-', "_"),
        "content_changed": change.content_changed,
        "attrs": attributes,
        "replaced": change.replaced,
    });
    if let Some(from) = &change.from {
        record["from"] = json!(from);
    }
    let whole = ["modified", "metadata"].contains(&change.change.as_str()) && !change.replaced;
    let paths = if whole {
        &change.links[..]
    } else {
        std::slice::from_ref(&change.path)
    };
    paths
        .iter()
        .map(|path| {
            record["path"] = json!(path);
            record.clone()
        })
        .collect()
}

fn truth(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(fixtures_dir().join("demo").join(file)).expect("a truth");
    text.lines()
        .map(|line| {
            let mut record: Value = serde_json::from_str(line).expect("JSON");
            if let Some(attributes) = record["attrs"].as_array_mut() {
                attributes.sort_by_key(ToString::to_string);
            }
            record
        })
        .collect()
}

fn assert_truth(report: &Report, file: &str) {
    report.check_sums();
    let found: Vec<Value> = report.changes.iter().flat_map(records).collect();
    let truth = truth(file);
    let missing: Vec<_> = truth.iter().filter(|t| !found.contains(t)).collect();
    let spurious: Vec<_> = found.iter().filter(|f| !truth.contains(f)).collect();
    assert!(
        missing.is_empty() && spurious.is_empty() && found.len() == truth.len(),
        "missing {missing:#?}\nspurious {spurious:#?}"
    );
}

#[test]
fn a_clean_overlay_agrees_with_the_kernel() {
    let report = hexz().report("diff --files --json --base base.hxz vm-state.overlay");
    assert_truth(&report, "vm-state.truth.jsonl");
    assert!(report.summary.complete, "{:?}", report.diagnostics);
    assert!(report.unresolved.is_empty(), "{:?}", report.unresolved);
    let volume = report.volume("p2");
    assert_eq!(volume.filesystem.as_deref(), Some("ext4"));
    assert_eq!(volume.label.as_deref(), Some("root"));
    assert_eq!(volume.scheme.as_deref(), Some("gpt"));
    assert_eq!(volume.transactions_replayed, 0);
}

#[test]
fn an_overlay_of_a_mounted_disk_agrees_once_its_journal_is_replayed() {
    let report = hexz().report("diff --files --json --base base.hxz crash.overlay");
    assert_truth(&report, "crash.truth.jsonl");
    assert!(report.volume("p2").transactions_replayed > 0);
    let ignored = "diff --files --json --journal ignore --base base.hxz crash.overlay";
    let ignored = hexz().report(ignored);
    ignored.check_sums();
    assert_eq!(ignored.volume("p2").transactions_replayed, 0);
    assert_eq!(
        ignored.volume("p2").state.as_deref(),
        Some("needs-recovery")
    );
    assert!(ignored.changes.len() < report.changes.len());
}

#[test]
fn every_layout_of_archive_gives_the_same_report() {
    let expected = hexz().report("diff --files --json --base base.hxz vm-state.overlay");
    for archive in [
        "layout-a-0.4.0-lz4.hxz",
        "layout-b-0.5.0-zstd-cdc.hxz",
        "layout-c-0.7.0-zstd.hxz",
        "layout-d-0.8.2-lz4.hxz",
    ] {
        let line = format!("diff --files --json --base ../archives/{archive} vm-state.overlay");
        let report = hexz().report(&line);
        let changes = |r: &Report| format!("{:?} {:?}", r.changes, r.summary.without_cost());
        assert_eq!(changes(&report), changes(&expected), "{archive}");
    }
}
