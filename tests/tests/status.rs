//! The exit status of every command: 0 whole, 1 changes with --exit-code, 2 no answer, 3 not whole.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.

use hexz_acceptance::{Case, Hexz};
use hexz_testkit::fixtures_dir;

const HEXZ: &str = env!("CARGO_BIN_EXE_hexz-under-test");

/// Runs `line`, and what it says on standard error.
fn code(hexz: &Hexz, line: &str) -> (Option<i32>, String) {
    let output = hexz.run(line);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), errors)
}

fn check(hexz: &Hexz, table: &[(&str, i32)]) {
    for (line, expected) in table {
        let (found, errors) = code(hexz, line);
        assert_eq!(found, Some(*expected), "hexz {line}: {errors}");
        let said = errors.contains("hexz: not whole");
        let partial_ok = line.contains("--partial-ok");
        let holds = said == (*expected == 3) || said && partial_ok;
        assert!(holds, "hexz {line}: {errors}");
    }
}

const FORMS: [&str; 5] = ["--files", "--json", "--name-only", "--name-status", "--all"];

#[test]
fn a_whole_answer_is_0_and_1_where_that_was_asked_for() {
    let demo = Hexz::new(HEXZ, &fixtures_dir().join("demo"));
    let base = "diff vm-state.overlay --base base.hxz";
    for form in FORMS {
        let plain = format!("{base} --files {form}").replace("--files --files", "--files");
        check(
            &demo,
            &[
                (&plain, 0),
                (&format!("{plain} --exit-code"), 1),
                (&format!("{plain} --exit-code --partial-ok"), 1),
                (&format!("{plain} --exit-code -- /nowhere"), 0),
                (&format!("{plain} --volume p9"), 2),
            ],
        );
    }
    check(
        &demo,
        &[
            ("diff vm-state.overlay", 0),
            ("diff vm-state.overlay --blocks --exit-code", 1),
            ("diff base.hxz base.hxz --files --exit-code", 0),
            ("owner base.hxz --offset 1048576-1050000 --volume p2", 0),
            ("owner base.hxz", 2),
            ("owner base.hxz --block 1 --json --partial-ok", 0),
            ("map base.hxz --volume p2", 0),
            ("map nowhere.img", 2),
            ("layout base.hxz", 0),
            ("layout nowhere.img", 2),
            ("layout", 2),
            ("ls base.hxz p2:/", 0),
            ("ls base.hxz p2:/nowhere", 2),
            ("ls nowhere.img", 2),
            ("cat base.hxz p2:/etc/hostname", 0),
            ("cat base.hxz p2:/etc", 2),
            ("cat base.hxz", 2),
            ("extract base.hxz p2:/nowhere --to out", 2),
            ("extract base.hxz", 2),
            ("explain bad-checksum", 0),
            ("explain nonsense", 2),
            ("completions bash", 0),
            ("completions nonsense", 2),
            ("--help", 0),
            ("--version", 0),
            ("nonsense", 2),
        ],
    );
}

#[test]
fn what_was_not_looked_at_is_3_in_every_form() {
    // Its filesystem is of no known kind.
    let case = Case::new(HEXZ, "unsupported");
    for form in FORMS {
        let line = format!("diff case.overlay --base base.img {form}");
        let line = line.replace("--all", "--files --all");
        check(
            &case.hexz,
            &[
                (&line, 3),
                (&format!("{line} --exit-code"), 3),
                (&format!("{line} --exit-code --partial-ok"), 1),
                (&format!("{line} --partial-ok"), 0),
            ],
        );
    }
    check(
        &case.hexz,
        &[
            ("owner base.img --block 3", 3),
            ("owner base.img --block 3 --partial-ok", 0),
            ("map base.img --json", 3),
            ("map base.img --partial-ok", 0),
        ],
    );
    // A damaged list may lack some of the changes.
    let torn = Case::new(HEXZ, "torn-meta");
    let base = "diff case.overlay --base base.img";
    check(
        &torn.hexz,
        &[
            ("diff case.overlay", 3),
            (&format!("{base} --name-only"), 3),
            (&format!("{base} --json --partial-ok"), 0),
        ],
    );
}

#[test]
fn an_overlay_without_its_index_is_not_unchanged() {
    let case = Case::new(HEXZ, "no-table");
    std::fs::remove_file(case.dir().join("case.meta")).expect("removed");
    for form in FORMS {
        let line = format!("diff case.overlay --base base.img {form}");
        let line = line.replace("--all", "--files --all");
        check(&case.hexz, &[(&line, 3)]);
    }
    check(&case.hexz, &[("diff case.overlay", 3)]);
}

/// The first bytes of a filesystem, and all of it.
fn emptied(case: &Case, name: &str, range: std::ops::Range<usize>) {
    let mut disk = case.fixture.bytes("base.img");
    let end = range.end.min(disk.len());
    disk[range.start..end].fill(0);
    std::fs::write(case.dir().join(name), disk).expect("written");
}

#[test]
fn a_filesystem_that_is_no_more_is_one_record() {
    let case = Case::new(HEXZ, "no-table");
    emptied(&case, "wiped.img", 1024..2048);
    emptied(&case, "zeros.img", 0..usize::MAX);
    for (image, whole, says) in [
        (
            "wiped.img",
            false,
            "ext4 before; no known filesystem now, and not zeros",
        ),
        ("zeros.img", true, "ext4 before; zeros now"),
    ] {
        let report = case.hexz.report(&format!("diff --json base.img {image}"));
        let changes: Vec<_> = report
            .changes
            .iter()
            .map(|c| (&*c.change, &*c.path))
            .collect();
        assert_eq!(changes, [("deleted", "/")], "{image}");
        assert_eq!(report.summary.complete, whole, "{image}");
        assert_eq!(report.volume("disk").reason.as_deref(), Some(says));
        let text = case.hexz.text(&format!("diff --files base.img {image}"));
        assert!(text.contains(says), "{text}");
    }
}
