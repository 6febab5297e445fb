//! Fixtures: each has a recipe and a line that says what it is for, and none is stale.

use hexz_testkit::recipe_hash;

use super::tree::Tree;

/// Made by programs that are not run again: they say in their README where they are from.
const MADE_ONCE: &[&str] = &["demo", "archives"];

pub(super) fn check(tree: &Tree, wrong: &mut Vec<String>) {
    let index = tree.text("fixtures/README.md").unwrap_or_default();
    for case in tree.folders("fixtures") {
        if !index.contains(&format!("`{case}`")) {
            wrong.push(format!("fixtures/README.md: has no line about `{case}`"));
        }
        let dir = format!("fixtures/{case}");
        let recipe = tree.exists(&format!("{dir}/recipe.sh"));
        if !recipe
            && !MADE_ONCE.contains(&case.as_str())
            && !tree.exists(&format!("{dir}/README.md"))
        {
            wrong.push(format!("{dir}: neither a recipe.sh nor a README.md"));
        }
        if recipe {
            let recorded = tree.text(&format!("{dir}/recipe.hash")).unwrap_or_default();
            if recorded.trim() != recipe_hash(&tree.place(&dir)) {
                wrong.push(format!(
                    "{dir}: made by another recipe; run `cargo xtask fixtures {case}`"
                ));
            }
        }
    }
}
