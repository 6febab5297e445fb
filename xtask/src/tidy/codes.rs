//! Every code of a finding is in the table of codes, and every code of the table is used.

use super::tree::Tree;

const TABLE: &str = "crates/report/src/codes.txt";

pub(super) fn check(tree: &Tree, wrong: &mut Vec<String>) {
    let table = tree.text(TABLE).unwrap_or_default();
    let codes = table.lines().filter_map(|line| line.split('|').next());
    let known: Vec<&str> = codes.collect();
    if known.is_empty() {
        wrong.push(format!("{TABLE}: has no codes"));
    }
    let mut sources = String::new();
    for (path, text) in tree.with_end(".rs") {
        let source = path.starts_with("crates/") && path.contains("/src/");
        if !source || path.starts_with("crates/testkit/") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        sources.push_str(code);
        for constructor in ["info(", "warning(", "error("] {
            for rest in code.split(&format!("Diagnostic::{constructor}")).skip(1) {
                let Some(literal) = rest.trim_start().strip_prefix('"') else {
                    continue;
                };
                let found = literal.split('"').next().unwrap_or_default();
                if !known.contains(&found) {
                    wrong.push(format!(
                        "{path}: the finding {found} is not in {TABLE}: say there what it means and \
                         what to do, then run `cargo xtask docs`"
                    ));
                }
            }
        }
    }
    for code in known {
        if !sources.contains(&format!("\"{code}\"")) {
            wrong.push(format!("{TABLE}: no source has the finding {code}"));
        }
    }
}
