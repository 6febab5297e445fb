//! Which package may depend on which: `core ◀ ondisk ◀ {source, volume, fs-*}` and
//! `core ◀ {report, extract} ◀ cli`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::run::{cargo, output};

/// Our packages that each of our packages may use; `fs-*` stands for every filesystem.
const ALLOWED: &[(&str, &[&str])] = &[
    ("hexz-resolve", &[]),
    ("hexz-ondisk", &["hexz-resolve"]),
    ("hexz-source", &["hexz-resolve", "hexz-ondisk"]),
    ("hexz-volume", &["hexz-resolve", "hexz-ondisk"]),
    ("hexz-known", &["hexz-resolve", "hexz-ondisk"]),
    ("hexz-clusters", &["hexz-resolve", "hexz-ondisk"]),
    (
        "hexz-fs-*",
        &["hexz-resolve", "hexz-ondisk", "hexz-clusters"],
    ),
    (
        "hexz-files",
        &[
            "hexz-resolve",
            "hexz-source",
            "hexz-volume",
            "hexz-known",
            "hexz-fs-*",
            "hexz-report",
        ],
    ),
    ("hexz-report", &["hexz-resolve"]),
    ("hexz-tables", &["hexz-resolve"]),
    ("hexz-fleet", &["hexz-resolve"]),
    ("hexz-extract", &["hexz-resolve"]),
    ("hexz-verify", &["hexz-resolve"]),
    (
        "hexz-cli",
        &[
            "hexz-resolve",
            "hexz-files",
            "hexz-source",
            "hexz-report",
            "hexz-tables",
            "hexz-fleet",
            "hexz-verify",
            "hexz-extract",
        ],
    ),
    ("hexz-testkit", &["hexz-resolve"]),
    ("hexz-toyfs", &["hexz-resolve", "hexz-ondisk", "hexz-cli"]),
];

/// Packages that may use serde.
const SERDE: &[&str] = &["hexz-report", "hexz-acceptance", "xtask"];

/// Packages of others that the command may be built from when no feature is asked for. What is
/// added must be worth a larger number here.
const MOST_OF_OTHERS: usize = 115;
/// Packages that features bring, and the default build never has.
const OPTIONAL: &[&str] = &["parquet", "hexz-tables"];

/// Looks at what the command is built from when no feature is asked for.
fn check_default_build(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let tree = ["tree", "--package", "hexz-cli", "--edges", "normal"];
    let text = output(
        cargo(root)
            .args(tree)
            .args(["--prefix", "none", "--format", "{p}"]),
    )?;
    let names = text.lines().filter_map(|line| line.split(' ').next());
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    for name in OPTIONAL.iter().filter(|name| names.contains(*name)) {
        wrong.push(format!("the default build must not have {name}"));
    }
    let others = names.iter().filter(|name| !name.starts_with("hexz-"));
    let others = others.count();
    if others > MOST_OF_OTHERS {
        wrong.push(format!(
            "the default build has {others} packages of others, and had {MOST_OF_OTHERS}: do \
             without the new one, make it a feature, or say in xtask/src/tidy/dependencies.rs that \
             it is worth it"
        ));
    }
    Ok(())
}

pub(super) fn check(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    check_default_build(root, wrong)?;
    let metadata = output(cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    for package in metadata["packages"].as_array().context("packages")? {
        let name = package["name"].as_str().context("a name")?;
        let all = package["dependencies"].as_array().context("dependencies")?;
        let normal = all.iter().filter(|d| d["kind"].is_null());
        let names: Vec<&str> = normal.filter_map(|d| d["name"].as_str()).collect();
        let rule = ALLOWED.iter().find(|(rule, _)| general(name) == *rule);
        for used in &names {
            let ours = used.starts_with("hexz-");
            if let (true, Some((_, allowed))) = (ours, rule)
                && !allowed.contains(&general(used))
            {
                wrong.push(format!("{name} must not depend on {used}"));
            }
            if used.starts_with("serde") && !SERDE.contains(&name) {
                wrong.push(format!(
                    "{name} must not use {used}: the report alone has serde"
                ));
            }
        }
        let known = rule.is_some() || name == "hexz-acceptance" || name == "xtask";
        if !known {
            wrong.push(format!(
                "{name}: say in xtask/src/tidy what it may depend on"
            ));
        }
    }
    Ok(())
}

/// `hexz-fs-*` for a filesystem crate; else the name.
fn general(name: &str) -> &str {
    if name.starts_with("hexz-fs-") {
        "hexz-fs-*"
    } else {
        name
    }
}
