//! The files of the project.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Text of each file that is text, by its path from the root, with `/`.
pub(super) struct Tree {
    root: PathBuf,
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads all below `root` but what is built or hidden.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let entry = entry?;
                let path = entry.path();
                let name = entry.file_name().to_string_lossy().into_owned();
                let built = ["target", "corpus", "artifacts", "coverage"].contains(&name.as_str());
                if entry.file_type()?.is_dir() {
                    let shown =
                        !name.starts_with('.') || [".ci", ".cargo"].contains(&name.as_str());
                    if shown && !(built && path.parent() != Some(&root.join("xtask/src"))) {
                        folders.push(path);
                    }
                } else if let Ok(text) = fs::read_to_string(&path) {
                    let relative = path.strip_prefix(root)?;
                    files.insert(relative.to_string_lossy().replace('\\', "/"), text);
                }
            }
        }
        Ok(Self {
            root: root.to_owned(),
            files,
        })
    }

    /// The text of `path`.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Path and text of each file whose path has this end.
    pub(super) fn with_end(&self, end: &str) -> impl Iterator<Item = (&str, &str)> {
        let end = end.to_owned();
        let files = self.files.iter().map(|(p, t)| (p.as_str(), t.as_str()));
        files.filter(move |(path, _)| path.ends_with(&end))
    }

    /// Whether there is a file or folder at `path`.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// Names of the folders in `path`.
    pub(super) fn folders(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten();
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|e| e.path().is_dir())
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The place of `path`.
    pub(super) fn place(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}
