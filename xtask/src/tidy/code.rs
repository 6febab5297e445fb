//! Sources: sizes, names, words that must not stay.

use super::tree::Tree;

/// Lines of code that a file may have.
const LINES: usize = 600;

/// The files that every filesystem crate has.
const FILESYSTEM: &[&str] = &["lib.rs", "ondisk.rs", "probe.rs", "claims.rs"];
/// Those that a crate has where its format has files.
const FILES: &[&str] = &["links.rs", "attributes.rs"];

/// What crates that read images must deny.
const PARSER_LINTS: &[&str] = &[
    "indexing_slicing",
    "arithmetic_side_effects",
    "unwrap_used",
    "expect_used",
    "panic",
    "as_conversions",
];

pub(super) fn check(tree: &Tree, wrong: &mut Vec<String>) {
    for (path, text) in tree.with_end(".rs") {
        size(path, text, wrong);
        words(path, text, wrong);
    }
    for end in [".md", ".toml", ".sh", ".py", ".ci/run"] {
        for (path, text) in tree.with_end(end) {
            words(path, text, wrong);
        }
    }
    for (path, text) in tree.with_end("Cargo.toml") {
        let package = text.contains("[package]") && !path.starts_with("fuzz");
        if package && !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{path}: does not take the workspace's lints"));
        }
    }
    for name in tree.folders("crates") {
        crate_rules(tree, &name, wrong);
    }
}

fn size(path: &str, text: &str, wrong: &mut Vec<String>) {
    let code = text.lines().map(str::trim);
    let lines = code
        .filter(|l| !l.is_empty() && !l.starts_with("//"))
        .count();
    if lines > LINES {
        wrong.push(format!(
            "{path}: {lines} lines of code; {LINES} are allowed"
        ));
    }
}

fn words(path: &str, text: &str, wrong: &mut Vec<String>) {
    // Written so that this file does not find itself.
    let machine = ["/wo_rk/", "/tm_p/", "/ro_ot/"].map(|p| p.replace('_', ""));
    let later = [
        "TO_DO",
        "FIX_ME",
        "XX_X",
        "to_do!(",
        "unimple_mented!(",
        "#[ig_nore",
    ];
    let later = later.map(|w| w.replacen('_', "", 1));
    for (number, line) in (1..).zip(text.lines()) {
        for place in machine.iter().filter(|p| line.contains(p.as_str())) {
            wrong.push(format!(
                "{path}:{number}: names a place of one machine: {place}"
            ));
        }
        for word in later.iter().filter(|w| line.contains(w.as_str())) {
            wrong.push(format!(
                "{path}:{number}: leaves something for later: {word}"
            ));
        }
    }
}

fn crate_rules(tree: &Tree, name: &str, wrong: &mut Vec<String>) {
    let source = format!("crates/{name}/src/");
    let filesystem = name.starts_with("fs-");
    let parser =
        filesystem || ["clusters", "extract", "ondisk", "source", "volume"].contains(&name);
    let root = tree.text(&format!("{source}lib.rs")).unwrap_or_default();
    if parser {
        let missing = PARSER_LINTS
            .iter()
            .filter(|lint| !root.contains(&format!("clippy::{lint}")));
        for lint in missing {
            wrong.push(format!("{source}lib.rs: does not deny clippy::{lint}"));
        }
    }
    if filesystem {
        let mut sources = tree.with_end(".rs").filter(|(p, _)| p.starts_with(&source));
        let has_files = sources.any(|(_, text)| text.contains("    fn links("));
        for file in FILESYSTEM
            .iter()
            .chain(FILES.iter().filter(|_| has_files))
            .filter(|f| !tree.exists(&format!("{source}{f}")))
        {
            wrong.push(format!("{source}{file}: every filesystem crate has it"));
        }
    }
    if !["source", "testkit", "cli"].contains(&name) {
        let opens = ["std::fs", "File::open", "std::env"];
        for (path, text) in tree.with_end(".rs").filter(|(p, _)| p.starts_with(&source)) {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for word in opens.iter().filter(|w| code.contains(**w)) {
                wrong.push(format!("{path}: uses {word}"));
            }
        }
    }
}
