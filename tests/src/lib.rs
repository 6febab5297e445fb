//! End-to-end tests on the built binary: runs it, and reads what it wrote.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // It unpacks fixtures.

mod cases;
pub mod golden;
pub mod schema;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hexz_testkit::Fixture;
use schema::Report;
use tempfile::TempDir;

pub use cases::{Properties, cases, each, run};

/// A report as JSON without what it cost, which is another time each run, and follows the way in
/// which a change was given: two images are compared as a whole, and of a list only what is on it.
///
/// # Panics
/// When a summary does not say it.
#[must_use]
pub fn without_cost(report: &str) -> String {
    let line = |line: &str| {
        if !line.contains(r#""type":"summary""#) {
            return format!("{line}\n");
        }
        let (same, cost) = line.split_once(r#","bytes_read":"#).expect("what was read");
        assert!(
            cost.contains(r#","requests":"#) && cost.ends_with('}'),
            "{cost}"
        );
        format!("{same}}}\n")
    };
    report.lines().map(line).collect()
}

/// Runs a built binary.
#[derive(Clone, Debug)]
pub struct Hexz {
    program: PathBuf,
    folder: PathBuf,
}

impl Hexz {
    /// `program`, run in `folder`.
    #[must_use]
    pub fn new(program: &str, folder: &Path) -> Self {
        Self {
            program: program.into(),
            folder: folder.into(),
        }
    }

    /// Runs it with the words of `line`, away from what a user may have set.
    ///
    /// # Panics
    /// When it can't be run.
    #[must_use]
    pub fn run(&self, line: &str) -> Output {
        Command::new(&self.program)
            .current_dir(&self.folder)
            .args(line.split_whitespace())
            .env_remove("HEXZ_BASE")
            .env("NO_COLOR", "1")
            .output()
            .expect("the binary runs")
    }

    /// What it wrote to stdout; it must have an answer, be it whole (0) or not (3).
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn text(&self, line: &str) -> String {
        self.answer(line).0
    }

    fn answer(&self, line: &str) -> (String, bool) {
        let output = self.run(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        assert!(
            matches!(code, Some(0 | 3)),
            "hexz {line}: {}: {errors}",
            output.status
        );
        let text = String::from_utf8(output.stdout).expect("text");
        (text, code == Some(0))
    }

    /// The JSON Lines it wrote, each with the fields of the schema and no other. The exit status
    /// and the findings say the same as `complete`.
    ///
    /// # Panics
    /// When it fails, or writes anything else.
    #[must_use]
    pub fn report(&self, line: &str) -> Report {
        let (text, whole) = self.answer(line);
        let report = Report::parse(&text);
        assert_eq!(
            report.summary.complete, whole,
            "hexz {line}: its exit status"
        );
        let error = report.diagnostics.iter().find(|d| d.severity == "error");
        assert!(!whole || error.is_none(), "hexz {line}: {error:?}");
        report
    }
}

/// A fixture, unpacked as a user would have it.
#[derive(Debug)]
pub struct Case {
    /// Its files.
    pub fixture: Fixture,
    /// The binary, run where it is unpacked.
    pub hexz: Hexz,
    dir: TempDir,
}

impl Case {
    /// Unpacks fixture `name` for `program`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn new(program: &str, name: &str) -> Self {
        let fixture = Fixture::load(name);
        let dir = tempfile::tempdir().expect("a temporary folder");
        fixture.unpack(dir.path());
        Self {
            hexz: Hexz::new(program, dir.path()),
            fixture,
            dir,
        }
    }

    /// Where it is unpacked.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its report, in JSON, with the options in `more`.
    #[must_use]
    pub fn diff(&self, more: &str) -> Report {
        let line = format!("diff --files --json --base base.img {more} case.overlay");
        self.hexz.report(&line)
    }

    /// The disk after the change.
    ///
    /// # Panics
    /// When it can't be read.
    #[must_use]
    pub fn merged(&self) -> Vec<u8> {
        let disk = self.fixture.merged();
        let length = usize::try_from(disk.len()).expect("a small disk");
        let mut bytes = vec![0; length];
        disk.read_exact_at(0, &mut bytes).expect("a disk in memory");
        bytes
    }

    /// The records of `file`, which are JSON Lines.
    ///
    /// # Panics
    /// When it has other lines.
    #[must_use]
    pub fn records(&self, file: &str) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.fixture.bytes(file)).expect("text");
        let parse = |line| serde_json::from_str(line).expect("JSON");
        text.lines().map(parse).collect()
    }
}
