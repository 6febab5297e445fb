//! One test for each fixture, with its own name, and what a fixture says of itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use hexz_testkit::fixtures_dir;
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;

/// What `case.toml` beside a recipe says of the case; a case without the file has none of it.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Properties {
    /// Whether an independent tool can read the case. Where not, `expected.jsonl` is empty, and a
    /// test of its own says what must come out.
    pub truth: bool,
    /// Changed files are in a journal: the bytes on the disk are not yet those of the files.
    pub replayed: bool,
    /// Some data is compressed, so that its bytes on the disk have no offset in the file.
    pub encoded: bool,
    /// Small files lie within inodes, records or leaves, where `extents.jsonl` has no extent.
    pub content_in_metadata: bool,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            truth: true,
            replayed: false,
            encoded: false,
            content_in_metadata: false,
        }
    }
}

impl Properties {
    /// Those of case `name`.
    ///
    /// # Panics
    /// When its `case.toml` has an unknown key or is no TOML.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let path = fixtures_dir().join(name).join("case.toml");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        toml::from_str(&text).unwrap_or_else(|error| panic!("{name}/case.toml: {error}"))
    }
}

/// Names of all fixtures that a recipe made.
///
/// # Panics
/// When the folder can't be read, or holds none.
#[must_use]
pub fn cases() -> Vec<String> {
    let entries = std::fs::read_dir(fixtures_dir()).expect("fixtures");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().join("recipe.sh").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!names.is_empty(), "no fixtures");
    names.sort();
    names
}

/// A test `test` for each of `names`, each with a name of its own.
#[must_use]
pub fn each(what: &str, names: impl IntoIterator<Item = String>, test: fn(&str)) -> Vec<Trial> {
    let trial = |name: String| {
        Trial::test(format!("{what}: {name}"), move || {
            let run = AssertUnwindSafe(|| test(&name));
            catch_unwind(run).map_err(|cause| Failed::from(said(cause.as_ref())))
        })
    };
    names.into_iter().map(trial).collect()
}

/// What a panic said.
fn said(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Runs the tests that the command line selects, as cargo's own harness does.
#[must_use]
pub fn run(tests: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}
