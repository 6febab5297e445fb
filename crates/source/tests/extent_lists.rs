//! Lists of extents as the tools write them, against what was done to the disks.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hexz_resolve::{ByteRange, ChangeSet, ChangeSource, Limits, Precision, RangeSet, Result};
use hexz_source::{DefaultGate, ExtentList, ListFormat};
use hexz_testkit::fixtures_dir;

fn folder() -> PathBuf {
    fixtures_dir().join("extent-lists")
}

fn load(list: &Path, format: Option<ListFormat>) -> Result<ChangeSet> {
    let list = ExtentList {
        file: list.to_owned(),
        format,
        // Only texts have a unit: sectors, as ddrescue's log tool counts.
        unit: 512,
        base: None,
        merged: None,
    };
    Ok(list.load(&Limits::default(), &DefaultGate::new())?.changes)
}

/// All lists that there is a truth for, with their forms.
fn lists() -> Vec<(PathBuf, ListFormat)> {
    let files = fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path());
    let lists = files.filter(|list| {
        let extension = list.extension().unwrap();
        !["truth", "sh", "md", "in"]
            .iter()
            .any(|other| extension == *other)
    });
    let with_truth = lists.filter(|list| list.with_extension("truth").exists());
    with_truth
        .map(|list| {
            let name = list.file_name().unwrap().to_str().unwrap().to_owned();
            let mut forms = ListFormat::ALL.into_iter();
            let form = forms.find(|form| name.starts_with(form.as_str()));
            (list, form.unwrap_or_else(|| panic!("{name} is of no form")))
        })
        .collect()
}

fn truth(list: &Path) -> RangeSet {
    let text = fs::read_to_string(list.with_extension("truth")).unwrap();
    let extents = text.lines().map(|line| {
        let (start, length) = line.split_once(' ').unwrap();
        ByteRange::at(start.parse().unwrap(), length.parse().unwrap()).unwrap()
    });
    extents.collect()
}

#[test]
fn every_form_has_lists() {
    let found: BTreeSet<_> = lists().iter().map(|(_, form)| form.as_str()).collect();
    assert_eq!(found, ListFormat::ALL.iter().map(|f| f.as_str()).collect());
    let truths = fs::read_dir(folder()).unwrap().filter(|e| {
        let path = e.as_ref().unwrap().path();
        path.extension()
            .is_some_and(|extension| extension == "truth")
    });
    assert_eq!(truths.count(), lists().len(), "each truth has its list");
}

#[test]
fn a_list_says_what_was_done_to_the_disk() {
    for (list, form) in lists() {
        let truth = truth(&list);
        // Any file is a bitmap.
        let recognised = (form != ListFormat::Bitmap).then_some(None);
        for format in recognised.into_iter().chain([Some(form)]) {
            let changes = load(&list, format).unwrap();
            assert_eq!(changes.ranges, truth, "{} {format:?}", list.display());
            let codes: Vec<_> = changes.diagnostics.iter().map(|d| &*d.code).collect();
            if form == ListFormat::QemuCompare {
                assert_eq!(codes, ["list-may-miss"]);
                assert_eq!(changes.precision, Precision::MayMiss);
            } else {
                assert_eq!(codes, [""; 0], "{}", list.display());
                assert_eq!(changes.precision, Precision::Over);
            }
        }
    }
}

#[test]
fn a_list_of_another_form_is_refused() {
    for (list, form) in lists() {
        let others = ListFormat::ALL.into_iter().filter(|other| *other != form);
        for other in others.filter(|other| *other != ListFormat::Bitmap) {
            let loaded = load(&list, Some(other));
            assert!(loaded.is_err(), "{} as {other:?}", list.display());
        }
    }
}

#[test]
fn sums_are_no_extents() {
    let totals = folder().join("nbdinfo-totals.json");
    let forms = ListFormat::ALL
        .into_iter()
        .filter(|form| *form != ListFormat::Bitmap);
    for format in forms.map(Some).chain([None]) {
        assert!(load(&totals, format).is_err(), "{format:?}");
    }
}

#[test]
fn the_block_size_is_what_the_extents_keep_to() {
    for (list, size) in [
        // A write of 512 bytes.
        ("rbd-diff-since.json", 512),
        ("text-blocks.list", 512),
        ("nbdinfo-bitmap.json", 4096),
        ("qemu-img-map.json", 4096),
    ] {
        let changes = load(&folder().join(list), None).unwrap();
        assert_eq!(changes.block_size, size, "{list}");
    }
}
