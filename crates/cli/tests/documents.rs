//! The pages that are made from the program: run with HEXZ_UPDATE=1 (`cargo xtask docs`) they are
//! written anew.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Tests make and read files.
// A feature adds options of its own, which are not in the page.
#![cfg(not(feature = "parquet"))]

use std::fmt::Write as _;
use std::path::Path;

fn hold(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    if std::env::var_os("HEXZ_UPDATE").is_some() {
        std::fs::write(&path, text).expect("written");
        return;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == text, "docs/{name} is old: run `cargo xtask docs`");
}

#[test]
fn the_command_line() {
    let mut page = String::from(
        "# The command line\n\nWhat `hexz --help` and the help of each command say. This page is \
         made by `cargo xtask docs`; a test holds it.\n",
    );
    let mut root = hexz_cli::command(&hexz_cli::registry()).term_width(100);
    root.build();
    section(&mut page, "hexz", &mut root);
    for command in root.get_subcommands_mut() {
        let name = format!("hexz {}", command.get_name());
        if command.get_name() != "help" {
            section(&mut page, &name, command);
        }
    }
    hold("cli.md", &page);
}

fn section(page: &mut String, name: &str, command: &mut clap::Command) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let help = lines.join("\n");
    write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.trim()).expect("memory");
}

#[test]
fn the_findings() {
    hold("diagnostics.md", &hexz_report::codes::page());
}

/// The rows of the table of what is read, and the names of lists, are those of the help.
#[test]
fn the_readme_names_what_is_read() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let mut root = hexz_cli::command(&hexz_cli::registry()).term_width(100);
    root.build();
    let diff = root.find_subcommand_mut("diff").expect("a command");
    let help = diff.render_long_help().to_string();
    let start = help.find("What is read:").expect("the table");
    let lines = help[start..].lines().skip(2).take_while(|l| !l.is_empty());
    let (mut what, mut rows) = (String::new(), 0);
    for line in lines {
        let part = |from: usize, to: usize| line.get(from..to.min(line.len())).unwrap_or_default();
        if !part(2, 29).trim().is_empty() {
            what = part(2, 29).trim().to_owned();
        }
        let written = match part(29, 64).trim() {
            "see --changes-format" => "see below",
            written => written,
        };
        let row = format!("| {what} | {written} | `{}` |", part(64, usize::MAX).trim());
        assert!(readme.contains(&row), "README.md lacks the row {row}");
        rows += 1;
    }
    assert!(rows > 14, "{rows}");
    let start = help.find("--changes-format <FORMAT>").expect("the option");
    let listed = help[start..].lines().skip(3).take_while(|l| !l.is_empty());
    let names = listed.filter_map(|line| line.trim().strip_prefix("- ")?.split(':').next());
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 11, "{names:?}");
    for name in names {
        assert!(
            readme.contains(&format!("| `{name}` |")),
            "README.md lacks the list {name}"
        );
    }
}

/// The table of exit statuses is one, wherever it stands.
#[test]
fn the_exit_statuses_are_the_same_everywhere() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let start = readme.find("## Exit status").expect("the table");
    let rows = readme[start..].lines().filter_map(|line| {
        let (status, text) = line.strip_prefix("| ")?.split_once(" | ")?;
        let text = text.strip_suffix(" |")?.replace('`', "");
        Some((status.parse().ok()?, text))
    });
    let rows: Vec<(u8, String)> = rows.take(4).collect();
    let mut root = hexz_cli::command(&hexz_cli::registry()).term_width(100);
    root.build();
    let mut seen = 0;
    let commands = root.get_subcommands_mut();
    let mut helps: Vec<_> = commands
        .filter(|command| !command.is_hide_set())
        .map(|command| (command.get_name().to_owned(), command.render_long_help()))
        .collect();
    helps.push(("hexz".to_owned(), root.render_long_help()));
    for (name, help) in helps {
        // These two say no more of an image than that they know nothing of it.
        if ["explain", "completions", "help"].contains(&&*name) {
            continue;
        }
        let help = help.to_string();
        let (_, table) = help.split_once("Exit status:\n").expect(&name);
        let mut told: Vec<(u8, String)> = Vec::new();
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let row = line.split_once("  ");
            let row = row.and_then(|(status, text)| Some((status.parse().ok()?, text)));
            match (row, told.last_mut()) {
                (Some((status, text)), _) => told.push((status, text.to_owned())),
                (None, Some((_, text))) => write!(text, " {line}").expect("memory"),
                (None, None) => panic!("{name}: {line}"),
            }
        }
        assert_eq!(told.len(), 4, "{name}: {told:?}");
        for (row, (status, text)) in rows.iter().zip(&told) {
            let same = row.0 == *status && row.1.starts_with(&**text);
            assert!(same, "{name}: {text:?}, and README: {row:?}");
        }
        seen += 1;
    }
    assert_eq!(seen, 8);
}
