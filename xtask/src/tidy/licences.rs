//! Licences and sources of all packages, against the list in `deny.toml`.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::tree::Tree;
use crate::run::{cargo, output};

pub(super) fn check(root: &Path, tree: &Tree, wrong: &mut Vec<String>) -> Result<()> {
    let deny = tree.text("deny.toml").context("deny.toml")?;
    let list = deny
        .split("allow = [")
        .nth(1)
        .and_then(|l| l.split(']').next());
    let allowed: Vec<&str> = list
        .context("allow")?
        .split('"')
        .skip(1)
        .step_by(2)
        .collect();
    let metadata = output(cargo(root).args([
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    for package in metadata["packages"].as_array().context("packages")? {
        let name = package["name"].as_str().context("a name")?;
        let licence = package["license"].as_str().unwrap_or_default();
        if !is_allowed(licence, &allowed) {
            wrong.push(format!(
                "{name}: its licence {licence:?} is not in deny.toml"
            ));
        }
        let source = package["source"].as_str().unwrap_or("registry+");
        if !source.starts_with("registry+") {
            wrong.push(format!("{name}: is not from a registry, but {source}"));
        }
    }
    Ok(())
}

/// Whether one of the choices of a licence expression is allowed in all its parts. `/` is how `OR`
/// was written once; parentheses only group choices.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let plain = expression.replace('/', " OR ").replace(['(', ')'], " ");
    let one = |licence: &str| allowed.contains(&licence.trim());
    match plain.split_once(" AND ") {
        // `(A OR B) AND C`: each side by itself.
        Some((left, right)) => is_allowed(left, allowed) && is_allowed(right, allowed),
        None => plain.split(" OR ").any(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"];
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "Apache-2.0/GPL-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR Apache-2.0) AND LGPL-2.1",
        ] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }
}
