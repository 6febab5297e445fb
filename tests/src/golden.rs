//! Texts that a person reads, held as files: a change of them shows in review.

use std::path::Path;

/// Holds `text` against the file at `path`, which is written anew where `HEXZ_UPDATE` is set.
///
/// # Panics
/// When they differ.
pub fn check(path: &Path, text: &str) {
    if std::env::var_os("HEXZ_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
        return;
    }
    let known = std::fs::read_to_string(path).unwrap_or_default();
    let line = known
        .lines()
        .zip(text.lines())
        .position(|(a, b)| a != b)
        .unwrap_or_else(|| known.lines().count().min(text.lines().count()));
    assert!(
        known == text,
        "{} differs from line {} on; if that is right, run this test with HEXZ_UPDATE=1\n\n{text}",
        path.display(),
        line + 1
    );
}
