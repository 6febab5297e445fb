//! Files of a crate that need each other.
//!
//! A file needs another one when it names an item that is defined there, wherever it was handed on
//! in between. To declare a module, and to hand on its names, is no need; nor is a call of a method,
//! which names no file. Where files need each other in a circle, none can be read, moved or tested
//! without all of them.

mod names;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;
use names::Modules;
use source::Source;

pub(super) fn check(tree: &Tree, wrong: &mut Vec<String>) {
    for name in tree.folders("crates") {
        let place = format!("crates/{name}/src/");
        let all = tree.with_end(".rs");
        let files = all.filter_map(|(path, text)| Some((path.strip_prefix(&place)?, text)));
        look(&place, files, wrong);
    }
}

/// Looks at the files of a crate.
fn look<'a>(
    place: &str,
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
    wrong: &mut Vec<String>,
) {
    let mut read = BTreeMap::new();
    for (file, text) in files {
        match source::read(text) {
            Ok(source) => {
                read.insert(file, source);
            }
            Err(error) => wrong.push(format!("{place}{file}: can't be read: {error}")),
        }
    }
    let needs = needs(place, &read, wrong);
    for circle in circles(&needs) {
        let names: Vec<&str> = circle.iter().copied().collect();
        let mut text = format!("{place}: {} need each other:", names.join(", "));
        for (from, to, need) in edges(&needs, &circle) {
            let Need { item, line } = need;
            text += &format!("\n  {place}{from}:{line}: {item} of {to}");
        }
        wrong.push(text);
    }
}

/// Why one file needs another: the first item of each name that it names.
struct Need {
    item: String,
    line: usize,
}

/// What each file needs of which.
type Needs<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<Need>>>;

fn needs<'a>(
    place: &str,
    files: &'a BTreeMap<&'a str, Source>,
    wrong: &mut Vec<String>,
) -> Needs<'a> {
    let modules = Modules::new(files);
    let mut needs = Needs::new();
    for (module, file, scope) in modules.all() {
        for (path, line) in &scope.named {
            let found = modules.find(module, path);
            if found.items.is_empty() && !found.elsewhere {
                let path = path.join("::");
                wrong.push(format!("{place}{file}:{line}: leads nowhere: {path}"));
            }
            for (to, item) in found.items.into_iter().filter(|(to, _)| *to != file) {
                let of = needs.entry(file).or_default().entry(to).or_default();
                if of.iter().all(|need| need.item != item) {
                    of.push(Need { item, line: *line });
                }
            }
        }
    }
    needs
}

/// The largest sets of files of which each needs each, by way of others of the set.
fn circles<'a>(needs: &Needs<'a>) -> Vec<BTreeSet<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = needs
        .keys()
        .map(|file| (*file, reach(needs, file)))
        .collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for (file, to) in &reached {
        let back = |other: &&&str| reached.get(*other).is_some_and(|r| r.contains(file));
        let circle: BTreeSet<&str> = to.iter().filter(back).copied().collect();
        if !circle.is_empty() && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

/// All that `file` needs, and what that needs.
fn reach<'a>(needs: &Needs<'a>, file: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file];
    while let Some(file) = open.pop() {
        for to in needs.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(*to) {
                open.push(to);
            }
        }
    }
    reached
}

/// What the files of a circle need of each other.
fn edges<'n, 'a>(
    needs: &'n Needs<'a>,
    circle: &'n BTreeSet<&'a str>,
) -> impl Iterator<Item = (&'a str, &'a str, &'n Need)> {
    let inside = |(file, _): &(&&str, &_)| circle.contains(**file);
    needs.iter().filter(inside).flat_map(move |(from, of)| {
        let of = of.iter().filter(|(to, _)| circle.contains(**to));
        of.flat_map(move |(to, all)| all.iter().map(move |need| (*from, *to, need)))
    })
}

#[cfg(test)]
mod tests;
