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
}

/// Each command with an answer that is whole, and with none.
const COMMANDS: &[(&str, i32)] = &[
    ("diff vm-state.overlay", 0),
    ("diff vm-state.overlay --blocks", 0),
    ("diff vm-state.overlay --blocks --exit-code", 1),
    ("diff vm-state.overlay --files --exit-code", 1),
    ("diff vm-state.overlay --json", 2),
    ("diff base.hxz base.hxz --files --exit-code", 0),
    ("diff nowhere.img base.hxz --files", 2),
    ("diff --changes vm-state.map.json --base base.hxz", 0),
    ("diff --changes nowhere --base base.hxz --json", 2),
    ("diff --overlays overlays --base base.hxz", 0),
    ("diff --overlays overlays --base base.hxz --exit-code", 1),
    ("diff --overlays nowhere --base base.hxz", 2),
    ("diff vm-state.overlay --nonsense", 2),
    (
        "diff vm-state.overlay --base base.hxz --html nowhere/page",
        2,
    ),
    ("owner base.hxz --offset 1048576-1050000 --volume p2", 0),
    ("owner base.hxz --lists lists --volume p2", 0),
    ("owner base.hxz --lists nowhere", 2),
    ("owner base.hxz", 2),
    ("owner base.hxz --block 1 --volume p9", 2),
    ("owner nowhere.img --block 1", 2),
    ("owner base.hxz --block 1 --json --partial-ok", 0),
    ("map base.hxz --volume p2", 0),
    ("map base.hxz --volume p2 --json", 0),
    ("map base.hxz --volume p2 --html map.html", 0),
    ("map base.hxz --volume p9", 2),
    ("map nowhere.img", 2),
    ("layout base.hxz", 0),
    ("layout base.hxz --json", 0),
    ("layout base.hxz --explain", 0),
    ("layout nowhere.img", 2),
    ("layout", 2),
    ("ls base.hxz p2:/", 0),
    ("ls base.hxz p2:/ -R --json", 0),
    ("ls base.hxz p2:/nowhere", 2),
    ("ls nowhere.img", 2),
    ("cat base.hxz p2:/etc/hostname", 0),
    ("cat base.hxz p2:/etc", 2),
    ("cat base.hxz", 2),
    ("cat nowhere.img /etc/hostname", 2),
    ("extract base.hxz p2:/etc --to taken", 0),
    ("extract base.hxz p2:/etc --to taken", 3),
    ("extract base.hxz p2:/etc --to taken --partial-ok", 0),
    ("extract base.hxz p2:/etc --to taken --force", 0),
    ("extract base.hxz p2:/nowhere --to taken", 2),
    ("extract base.hxz", 2),
    ("extract nowhere.img / --to taken", 2),
    ("explain", 0),
    ("explain bad-checksum", 0),
    ("explain nonsense", 2),
    ("completions bash", 0),
    ("completions nonsense", 2),
    ("help", 0),
    ("help nonsense", 2),
    ("--help", 0),
    ("--version", 0),
    ("nonsense", 2),
];

#[test]
fn every_command_keeps_to_the_table() {
    let (_dir, demo) = demo();
    check(&demo, COMMANDS);
    let all = hexz_cli::command(&hexz_cli::registry());
    let shown = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    for command in shown {
        let name = command.get_name();
        for expected in [0, 2] {
            let mut lines = COMMANDS.iter();
            let held = lines
                .any(|(line, status)| *status == expected && line.split(' ').next() == Some(name));
            assert!(
                held,
                "hexz {name}: no line of the table ends with {expected}"
            );
        }
    }
}

/// What else a diff can write, each with an answer that is whole, with changes, and with one that
/// is not whole.
#[test]
fn what_is_written_besides_changes_no_status() {
    let (_dir, demo) = demo();
    let case = Case::new(HEXZ, "unsupported");
    for more in [
        "--files --html page.html",
        "--files --stat",
        "--files --top 3",
        "--files --explain",
        "--files --volume-paths",
        "--files --dirs",
        "--name-only -z",
        "--json --memory 0",
        "--patch",
        "--tar -",
        "--tar files.tar --json --force",
        "--oci-layer layer.tar --name-only --force",
        "--extract taken --force",
        "--json --verify",
    ] {
        let plain = format!("diff vm-state.overlay --base base.hxz {more}");
        let part = format!("diff case.overlay --base base.img {more}");
        check(
            &demo,
            &[
                (&plain, 0),
                (&format!("{plain} --exit-code"), 1),
                (&format!("{plain} --volume p9"), 2),
            ],
        );
        check(
            &case.hexz,
            &[
                (&part, 3),
                (&format!("{part} --exit-code"), 3),
                (&format!("{part} --partial-ok"), 0),
                (&format!("{part} --partial-ok --exit-code"), 1),
            ],
        );
    }
}

/// The demo, where files may be written.
fn demo() -> (tempfile::TempDir, Hexz) {
    let dir = tempfile::tempdir().expect("a folder");
    let names = ["base.hxz", "vm-state.overlay", "vm-state.meta"];
    let [overlays, lists] = ["overlays", "lists"].map(|name| dir.path().join(name));
    for folder in [&overlays, &lists] {
        std::fs::create_dir(folder).expect("made");
    }
    for name in names.into_iter().chain(["vm-state.map.json"]) {
        let from = fixtures_dir().join("demo").join(name);
        std::fs::copy(&from, dir.path().join(name)).expect("copied");
        if name.starts_with("vm-state") && !name.ends_with("json") {
            std::fs::copy(&from, overlays.join(name)).expect("copied");
        }
        if name.ends_with(".meta") {
            std::fs::copy(&from, lists.join(name)).expect("copied");
        }
    }
    let hexz = Hexz::new(HEXZ, dir.path());
    (dir, hexz)
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
            ("map base.img --html map.html", 3),
            ("layout base.img", 3),
            ("layout base.img --json --partial-ok", 0),
            ("ls base.img", 2),
            ("cat base.img /etc", 2),
            ("extract base.img / --to taken", 2),
        ],
    );
    // A disk that was cut off.
    let cut = Case::new(HEXZ, "blocks-4k");
    let mut disk = cut.fixture.bytes("base.img");
    disk.truncate(disk.len() / 5 * 2);
    std::fs::write(cut.dir().join("cut.img"), disk).expect("written");
    check(
        &cut.hexz,
        &[
            ("ls -R base.img", 0),
            ("ls -R cut.img", 3),
            ("ls -R --json cut.img", 3),
            ("ls -R cut.img --partial-ok", 0),
            ("cat base.img /srv/data/blob", 0),
            ("cat cut.img /srv/data/blob", 3),
            ("cat cut.img /srv/data/blob --partial-ok", 0),
        ],
    );
    // One overlay of several.
    std::fs::create_dir(case.dir().join("overlays")).expect("made");
    for name in ["case.overlay", "case.meta"] {
        let to = case.dir().join("overlays").join(name);
        std::fs::copy(case.dir().join(name), to).expect("written");
    }
    let overlays = "diff --files --base base.img --overlays overlays";
    check(
        &case.hexz,
        &[
            (overlays, 3),
            (&format!("{overlays} --to reports"), 3),
            (&format!("{overlays} --partial-ok"), 0),
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
fn a_wrong_or_empty_base_is_not_unchanged() {
    let case = Case::new(HEXZ, "no-table");
    let whole = case.fixture.bytes("base.img");
    let noise: Vec<u8> = (0..whole.len()).map(|n| (n * 7 % 251) as u8).collect();
    std::fs::write(case.dir().join("noise.img"), noise).expect("written");
    std::fs::write(case.dir().join("zeros.img"), vec![0; whole.len()]).expect("written");
    for base in ["noise.img", "zeros.img"] {
        for form in FORMS {
            let line = format!("diff case.overlay --base {base} {form}");
            let line = line.replace("--all", "--files --all");
            check(
                &case.hexz,
                &[(&line, 3), (&format!("{line} --exit-code"), 3)],
            );
        }
        let line = format!("diff case.overlay --json --base {base}");
        let summary = case.hexz.report(&line).summary;
        assert!(!summary.complete, "{base}");
        assert!(summary.coverage.resolved < summary.coverage.bytes, "{base}");
    }
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
