//! `--verify`: what other parsers read, against the places that the report names.

use std::process::Command;
use std::sync::Arc;

use hexz_acceptance::schema::Report;
use hexz_acceptance::{Case, cases};
use hexz_resolve::ReadAt;
use hexz_verify::{Asked, Outcome, Parser, Range};

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

/// The numbers in `verified VOLUME: N ranges are equal, N differ, N were not compared`.
fn said(errors: &str) -> [u64; 3] {
    let mut sums = [0; 3];
    for line in errors.lines().filter(|l| l.contains("hexz: verified ")) {
        let (_, counts) = line.rsplit_once(": ").expect("counts");
        let numbers = counts
            .split(' ')
            .filter_map(|word| word.parse::<u64>().ok());
        for (sum, number) in sums.iter_mut().zip(numbers) {
            *sum += number;
        }
    }
    sums
}

#[test]
fn no_fixture_has_a_range_that_differs() {
    let (mut equal, mut fixtures) = (0, 0);
    for name in cases() {
        let case = Case::new(HEXZ, &name);
        let output = case.hexz.run("diff --verify --base base.img case.overlay");
        let errors = String::from_utf8_lossy(&output.stderr);
        let [verified, differ, _] = said(&errors);
        assert_eq!(differ, 0, "{name}: {errors}");
        assert_ne!(output.status.code(), Some(2), "{name}: {errors}");
        equal += verified;
        fixtures += u64::from(verified > 0);
    }
    assert!(
        fixtures > 20,
        "only {fixtures} fixtures had a range to verify"
    );
    assert!(equal > 100, "only {equal} ranges were verified");
}

/// What is said of the ranges of a fixture, once `falsify` has changed them.
fn verified(falsify: impl Fn(&mut Range)) -> (Outcome, usize) {
    let case = Case::new(HEXZ, "blocks-4k");
    let report: Report = case.diff("");
    let mut ranges = Vec::new();
    for change in &report.changes {
        for range in change.ranges.iter().filter(|r| r.view == "merged") {
            let mut range = Range {
                path: change.path.clone().into_bytes(),
                number: 0,
                stream: Vec::new(),
                file_offset: range.file_offset.expect("an offset"),
                length: range.length,
                disk_offset: range.disk_offset,
            };
            falsify(&mut range);
            ranges.push(range);
        }
    }
    assert!(ranges.len() > 3);
    let disk: Arc<dyn ReadAt> = Arc::new(case.merged());
    let mut child = Command::new(HEXZ);
    child.arg("verify-child");
    let asked = Asked {
        child,
        parser: Parser::Ext4,
        volume: &*disk,
        disk: &*disk,
    };
    let outcome = hexz_verify::verify(asked, &ranges).expect("a child");
    (outcome, ranges.len())
}

#[test]
fn a_claim_that_is_true_is_verified() {
    let (outcome, ranges) = verified(|_| {});
    assert_eq!(outcome.differ, []);
    assert_eq!(outcome.verified, ranges as u64, "{outcome:?}");
}

#[test]
fn a_claim_that_names_another_place_is_found() {
    let (outcome, ranges) = verified(|range| range.disk_offset = 0);
    assert_eq!(outcome.differ.len(), ranges, "{outcome:?}");
}

#[test]
fn a_claim_that_names_another_file_is_found() {
    let (outcome, _) = verified(|range| range.path = b"/lost+found".to_vec());
    assert_eq!(outcome.verified, 0, "{outcome:?}");
    let (outcome, _) = verified(|range| range.file_offset += 512);
    assert!(!outcome.differ.is_empty(), "{outcome:?}");
}

#[test]
fn a_child_that_dies_takes_nothing_down() {
    let disk: Arc<dyn ReadAt> = Arc::new(vec![0; 1 << 20]);
    let asked = |child| Asked {
        child,
        parser: Parser::Ntfs,
        volume: &*disk,
        disk: &*disk,
    };
    let range = Range {
        path: b"/x".to_vec(),
        number: 5,
        stream: Vec::new(),
        file_offset: 0,
        length: 1,
        disk_offset: 0,
    };
    // A program that says nothing, and the parser on what is no NTFS.
    let mut other = Command::new(HEXZ);
    other.arg("verify-child");
    for child in [Command::new("true"), other] {
        let outcome = hexz_verify::verify(asked(child), std::slice::from_ref(&range));
        let outcome = outcome.expect("an outcome");
        assert_eq!((outcome.verified, outcome.differ.len()), (0, 0));
        assert_eq!(outcome.unverified.values().sum::<u64>(), 1);
    }
}
