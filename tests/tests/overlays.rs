//! `hexz diff --overlays` writes of each overlay what `hexz diff --files` writes of it alone.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::fs;

use hexz_acceptance::{Case, without_cost};

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

/// The fixture's overlay twice, each half of its changes, and one that changes nothing, in a folder
/// `fleet`. What was read of the base for one of them is there for the next.
fn fleet(name: &str) -> Case {
    let case = Case::new(HEXZ, name);
    let folder = case.dir().join("fleet");
    fs::create_dir(&folder).expect("a folder");
    for (from, to) in [("case.overlay", "one.overlay"), ("case.meta", "one.meta")] {
        fs::copy(case.dir().join(from), folder.join(to)).expect("copied");
        fs::copy(case.dir().join(from), folder.join(to.replace("one", "two"))).expect("copied");
    }
    let index = fs::read(case.dir().join("case.meta")).expect("an index");
    let blocks: Vec<&[u8]> = index.chunks(8).collect();
    let (first, second) = blocks.split_at(blocks.len() / 2);
    for (half, blocks) in [("first", first), ("second", second)] {
        let overlay = folder.join(format!("{half}.overlay"));
        fs::copy(case.dir().join("case.overlay"), overlay).expect("copied");
        let index = folder.join(format!("{half}.meta"));
        fs::write(index, blocks.concat()).expect("written");
    }
    fs::write(folder.join("idle.overlay"), "").expect("written");
    fs::write(folder.join("idle.meta"), "").expect("written");
    case
}

#[test]
fn each_report_is_that_of_the_overlay_alone() {
    for name in ["blocks-1k", "htree", "mbr-logical", "xfs-rmap"] {
        let case = fleet(name);
        let _ = case
            .hexz
            .text("diff --base base.img --overlays fleet --to reports");
        let stream = without_cost(&case.hexz.text("diff --base base.img --overlays fleet"));
        let mut in_stream = stream.lines();
        for overlay in ["first", "idle", "one", "second", "two"] {
            let line = format!("diff --files --json --base base.img fleet/{overlay}.overlay");
            let alone = without_cost(&case.hexz.text(&line));
            let report = case.dir().join(format!("reports/{overlay}.overlay.jsonl"));
            let report = fs::read_to_string(report).expect("a report");
            assert_eq!(without_cost(&report), alone, "{name}");
            for record in alone.lines() {
                let named = in_stream.next().expect("a record");
                if record.starts_with(r#"{"type":"header""#) {
                    assert_eq!(named, record);
                } else {
                    let prefix = format!(r#"{{"overlay":"fleet/{overlay}.overlay","#);
                    assert_eq!(named, record.replacen('{', &prefix, 1));
                }
            }
        }
        assert_eq!(in_stream.next(), None);
    }
}

#[test]
fn what_lacks_its_other_half_is_told_and_other_files_are_left_out() {
    let case = fleet("blocks-1k");
    let folder = case.dir().join("fleet");
    let data = folder.join("one.overlay");
    fs::remove_file(&data).expect("removed");
    fs::create_dir(&data).expect("a folder");
    fs::remove_file(folder.join("two.meta")).expect("removed");
    fs::write(folder.join("notes.txt"), "of no overlay").expect("written");
    let output = case.hexz.run("diff --base base.img --overlays fleet");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stdout);
    let records: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    // An index without its overlay has no report.
    let of = |name: &str| {
        let name = format!("fleet/{name}");
        let of = records.iter().filter(move |r| r["overlay"] == name);
        of.collect::<Vec<_>>()
    };
    assert_eq!(of("one.meta").len(), 1);
    assert_eq!(of("one.meta")[0]["type"], "overlay-error");
    // An overlay without its index has one, in which something is lacking.
    let two = of("two.overlay");
    assert!(two.iter().any(|r| r["code"] == "meta-missing"));
    let summary = two.iter().find(|r| r["type"] == "summary");
    assert_eq!(summary.expect("a summary")["complete"], false);
    assert!(!text.contains("notes.txt"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("2 other files and folders"), "{told}");
}

#[test]
fn an_overlay_that_ends_early_is_told_as_it_is_alone() {
    let case = fleet("blocks-1k");
    let data = case.dir().join("fleet/one.overlay");
    let file = fs::File::options().write(true).open(data).expect("a file");
    file.set_len(64 << 10).expect("cut");
    let line = "diff --files --json --base base.img fleet/one.overlay";
    let alone = String::from_utf8(case.hexz.run(line).stdout).expect("text");
    let _ = case
        .hexz
        .run("diff --base base.img --overlays fleet --to reports");
    let report = case.dir().join("reports/one.overlay.jsonl");
    let report = fs::read_to_string(report).expect("a report");
    assert!(alone.contains("overlay-short"));
    assert_eq!(without_cost(&report), without_cost(&alone));
}

#[test]
fn an_overlay_without_an_answer_is_a_record() {
    let case = fleet("blocks-1k");
    let output = case
        .hexz
        .run("diff --base base.img --overlays fleet --volume p7");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stdout);
    let records = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let records: Vec<_> = records.map(|r| r.expect("JSON")).collect();
    let named: Vec<_> = records
        .iter()
        .map(|r| r["overlay"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        named,
        ["first", "idle", "one", "second", "two"].map(|name| format!("fleet/{name}.overlay"))
    );
    for record in &records {
        assert_eq!(record["type"], "overlay-error");
        assert!(
            record["error"].as_str().expect("text").contains("p7"),
            "{record}"
        );
    }
    let missing = case.hexz.run("diff --base base.img --overlays nowhere");
    assert_eq!(missing.status.code(), Some(2));
}
