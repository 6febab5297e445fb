//! Rules that the compiler does not check.

mod circles;
mod code;
mod codes;
mod dependencies;
mod docs;
mod fixtures;
pub(crate) mod interface;
mod licences;
mod tree;

use std::path::Path;

use anyhow::{Result, bail};

use tree::Tree;

/// Runs `cargo xtask tidy`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    if !args.is_empty() {
        bail!("`tidy` takes no arguments");
    }
    let tree = Tree::read(root)?;
    let mut wrong = Vec::new();
    dependencies::check(root, &mut wrong)?;
    code::check(&tree, &mut wrong);
    circles::check(&tree, &mut wrong);
    codes::check(&tree, &mut wrong);
    interface::check(&tree, &mut wrong);
    licences::check(root, &tree, &mut wrong)?;
    docs::check(&tree, &mut wrong);
    fixtures::check(&tree, &mut wrong);
    for line in &wrong {
        println!("{line}");
    }
    match wrong.len() {
        0 => Ok(()),
        count => bail!("{count} things are not tidy"),
    }
}
