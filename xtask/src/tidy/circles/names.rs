//! Which file a path leads to.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Path, Scope, Source};

/// Imports that are followed for one path: a name that is handed on in a ring leads nowhere.
const STEPS: usize = 32;

/// The modules of a crate.
pub(super) struct Modules<'a> {
    /// File and scope by path, which begins with the name of the root's file.
    modules: BTreeMap<Path, (&'a str, &'a Scope)>,
}

/// Where a path led.
#[derive(Default)]
pub(super) struct Found<'a> {
    /// Files with the name of the item in each. A name may stand for several things.
    pub(super) items: BTreeSet<(&'a str, String)>,
    /// It led to a module, or out of the crate.
    pub(super) elsewhere: bool,
}

impl<'a> Modules<'a> {
    /// Takes the files of a crate, by their path below `src/`.
    pub(super) fn new(files: &'a BTreeMap<&'a str, Source>) -> Self {
        let mut modules = BTreeMap::new();
        let mut tests = Vec::new();
        for (file, source) in files {
            let base = module(file, files.contains_key("lib.rs"));
            let below = |path: &Path| [base.as_slice(), path].concat();
            tests.extend(source.tests.iter().map(below));
            for (path, scope) in &source.scopes {
                modules.insert(below(path), (*file, scope));
            }
        }
        modules.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
        Self { modules }
    }

    /// Each module with its file and scope.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Path, &'a str, &'a Scope)> {
        let all = self.modules.iter();
        all.map(|(path, (file, scope))| (path, *file, *scope))
    }

    /// Where `path` leads that is named in `module`.
    pub(super) fn find(&self, module: &Path, path: &[String]) -> Found<'a> {
        let mut found = Found::default();
        self.follow(module, path, STEPS, &mut found);
        found
    }

    fn follow(&self, module: &Path, path: &[String], steps: usize, found: &mut Found<'a>) {
        let Some(steps) = steps.checked_sub(1) else {
            return;
        };
        let mut module = module.clone();
        let mut rest = path;
        let mut anchored = false;
        while let [first, more @ ..] = rest {
            match first.as_str() {
                "crate" => module.truncate(1),
                "self" => {}
                "super" => {
                    module.pop();
                }
                _ => break,
            }
            anchored = true;
            rest = more;
        }
        while let [name, more @ ..] = rest {
            let mut child = module.clone();
            child.push(name.clone());
            let is_module = self.modules.contains_key(&child);
            if is_module && !more.is_empty() {
                module = child;
                rest = more;
                anchored = true;
                continue;
            }
            found.elsewhere |= is_module;
            let Some((file, scope)) = self.modules.get(&module) else {
                return;
            };
            let mut known = is_module;
            for (_, target) in scope.imports.iter().filter(|(import, _)| import == name) {
                known = true;
                if target.first() == Some(name) && !is_module {
                    // `use tar::tar`: the first is a crate.
                    found.elsewhere = true;
                } else {
                    self.follow(&module, &[target, more].concat(), steps, found);
                }
            }
            if scope.items.contains(name) {
                known = true;
                found.items.insert((file, name.clone()));
            }
            if !known {
                for target in scope.globs.iter().filter(|t| self.is_ours(&module, t)) {
                    self.follow(&module, &[target, rest].concat(), steps, found);
                }
                found.elsewhere |= !anchored;
            }
            return;
        }
        found.elsewhere = true;
    }

    /// Whether a path of `module` begins with something of this crate.
    fn is_ours(&self, module: &Path, path: &[String]) -> bool {
        let Some(first) = path.first() else {
            return false;
        };
        let child = [module.as_slice(), std::slice::from_ref(first)].concat();
        let scope = self.modules.get(module).map(|(_, scope)| *scope);
        ["crate", "self", "super"].contains(&first.as_str())
            || self.modules.contains_key(&child)
            || scope.is_some_and(|s| {
                s.items.contains(first) || s.imports.iter().any(|(name, _)| name == first)
            })
    }
}

/// The path of the module that a file is.
fn module(file: &str, library: bool) -> Path {
    let plain = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if file == "main.rs" || file == "lib.rs" {
        return vec![plain.to_owned()];
    }
    let root = if library { "lib" } else { "main" };
    [root]
        .into_iter()
        .chain(plain.split('/'))
        .map(str::to_owned)
        .collect()
}
