//! The public interface of the crates that others build on, as a text: what changes it shows in
//! review. The compiler's `unreachable_pub` sees to it that what is written `pub` can be reached.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::tree::Tree;

const PAGE: &str = "docs/interface.txt";
/// The library, and the bounds that it keeps.
const PLACES: [&str; 2] = ["crates/files/src/", "crates/core/src/limits.rs"];

pub(super) fn check(tree: &Tree, wrong: &mut Vec<String>) {
    if tree.text(PAGE).unwrap_or_default() != page(tree) {
        wrong.push(format!(
            "{PAGE}: the public interface is another one; if that is right, run `cargo xtask docs` \
             and say so in CHANGELOG.md"
        ));
    }
}

/// Writes the page.
pub(crate) fn write(root: &Path) -> Result<()> {
    let page = page(&Tree::read(root)?);
    Ok(fs::write(root.join(PAGE), page)?)
}

fn page(tree: &Tree) -> String {
    let mut page = String::from(
        "The public items of the library, file by file. `cargo xtask docs` writes this text, \
         and `cargo xtask tidy` holds it.\n",
    );
    for place in PLACES {
        for (path, text) in tree.with_end(".rs").filter(|(p, _)| p.starts_with(place)) {
            let items = items(text);
            if !items.is_empty() {
                let _ = write!(page, "\n# {path}\n{items}");
            }
        }
    }
    page
}

/// The public items of a file, each on one line, without what is in their bodies; methods and fields
/// are below what they are of.
fn items(text: &str) -> String {
    let code = text
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let mut out = String::new();
    let mut within = "";
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let depth = line.len() - trimmed.len();
        if depth == 0 && (trimmed.starts_with("impl") || trimmed.starts_with("pub ")) {
            within = trimmed;
        }
        let of_trait = within.starts_with("pub trait") && depth == 4 && trimmed.starts_with("fn ");
        let variant = within.starts_with("pub enum")
            && depth == 4
            && trimmed.starts_with(|c: char| c.is_ascii_uppercase());
        let grows = trimmed == "#[non_exhaustive]";
        let shown = trimmed.starts_with("pub ") || of_trait || variant || grows;
        let method_of = depth == 4 && within.starts_with("impl") && trimmed.starts_with("pub ");
        if !shown {
            continue;
        }
        let mut item = trimmed.to_owned();
        while !grows && !variant && !item.contains(['{', ';']) && !item.ends_with(',') {
            let Some(more) = lines.next() else { break };
            item.push(' ');
            item.push_str(more.trim());
        }
        let end = match item.starts_with("pub use")
            || item.contains("const ") && !item.contains("fn ")
            || variant
        {
            true => item.len(),
            false => item.find(" {").unwrap_or(item.len()),
        };
        item.truncate(end);
        // A list of imports may go on.
        while item.starts_with("pub use") && !item.ends_with(';') {
            let Some(more) = lines.next() else { break };
            item.push(' ');
            item.push_str(more.trim());
        }
        let of = within.split(" {").next().unwrap_or_default();
        let _ = match method_of {
            true => writeln!(out, "    {of}: {item}"),
            false => writeln!(out, "{:depth$}{item}", ""),
        };
    }
    out
}
