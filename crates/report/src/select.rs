//! Which changes are shown.

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};
use hexz_resolve::FileKind;
use hexz_resolve::report::{Change, ChangeKind, Report, Summary};

use crate::places::Places;

/// What a reader asked to see.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Show changes to directories.
    pub directories: bool,
    /// Show changes of only atime or ctime, and each in a line of its own.
    pub all: bool,
    /// Show only changes that are notable.
    pub notable: bool,
    /// Show only changes at or below one of these paths; everything when empty. A path is one of a
    /// volume, one as the guest sees it, or `p2:/path`.
    pub paths: Vec<Vec<u8>>,
    /// Show only changes with a path that one of these matches.
    pub only: Option<Globs>,
    /// Leave out changes with a path that one of these matches.
    pub exclude: Option<Globs>,
    /// Where the volumes are.
    pub places: Places,
}

/// Patterns of paths: `*.conf` of a name anywhere, `/etc/*` of a whole path, `**` of any folders.
/// What matches a folder matches what is below it.
#[derive(Clone, Debug)]
pub struct Globs(GlobSet);

impl Globs {
    /// Reads `patterns`.
    ///
    /// # Errors
    /// With the pattern that can't be read, and why.
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let trimmed = pattern.trim_end_matches('/');
            let anchored = match trimmed {
                _ if trimmed.starts_with('/') => trimmed.to_owned(),
                _ if trimmed.contains(":/") => trimmed.to_owned(),
                _ if trimmed.contains('/') => format!("/{trimmed}"),
                _ => format!("/**/{trimmed}"),
            };
            for pattern in [format!("{anchored}/**"), anchored] {
                let mut glob = GlobBuilder::new(&pattern);
                set.add(glob.literal_separator(true).build()?);
            }
        }
        set.build().map(Self)
    }

    fn matches(&self, path: &[u8]) -> bool {
        self.0.is_match_candidate(&Candidate::from_bytes(path))
    }
}

impl Selection {
    /// Whether `change` was asked for: by its paths, `notable`, `only`
    /// and `exclude`.
    #[must_use]
    pub fn in_paths(&self, change: &Change) -> bool {
        let places = &self.places;
        let below = |path: &[u8]| self.paths.iter().any(|top| is_below(path, top));
        if !self.paths.is_empty() && !places.any(change, &below) {
            return false;
        }
        let matched = |globs: &Globs| places.any(change, &|path| globs.matches(path));
        if self.notable && places.notable(change).is_none() {
            return false;
        }
        self.only.as_ref().is_none_or(matched) && !self.exclude.as_ref().is_some_and(matched)
    }

    /// Whether everything was asked for.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        !self.notable && self.paths.is_empty() && self.only.is_none() && self.exclude.is_none()
    }

    /// Whether there is a change to speak of among those that were asked for: a file whose
    /// content, name or attributes differ, or bytes that differ and may be any file's. Differing
    /// bytes that are known to be no file's are none.
    #[must_use]
    pub fn finds_changes(&self, report: &Report) -> bool {
        let found = report.changes.iter().any(|c| self.in_paths(c));
        self.finds(&report.summary, found)
    }

    /// The same, where it is known whether one of the changes was asked for.
    #[must_use]
    pub fn finds(&self, summary: &Summary, found: bool) -> bool {
        found || self.is_everything() && summary.coverage().unresolved_changed > 0
    }

    /// Whether a person sees `change`.
    #[must_use]
    pub fn shows(&self, change: &Change) -> bool {
        self.in_paths(change)
            && (self.all || !is_only_touched(change))
            && (self.all || self.directories || !is_directory_row(change))
    }
}

/// Directories that came, went or moved say something by themselves; one whose names differ only
/// repeats what its children say.
fn is_directory_row(change: &Change) -> bool {
    change.kind == FileKind::Directory && change.change == ChangeKind::Modified
}

fn is_only_touched(change: &Change) -> bool {
    change.change == ChangeKind::Metadata
        && !change.replaced
        && change
            .attributes
            .iter()
            .all(|name| matches!(*name, "atime" | "ctime"))
}

fn is_below(path: &[u8], top: &[u8]) -> bool {
    let mut top = top;
    while let [rest @ .., b'/'] = top {
        top = rest;
    }
    // Paths start with a slash; who leaves it out means the same.
    let path = if top.first() == Some(&b'/') {
        path
    } else {
        path.strip_prefix(b"/").unwrap_or(path)
    };
    match path.strip_prefix(top) {
        Some([]) => true,
        Some([first, ..]) => *first == b'/' || top.is_empty(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_is_by_whole_names() {
        assert!(is_below(b"/etc/hosts", b"/etc"));
        assert!(is_below(b"/etc/hosts", b"/etc/"));
        assert!(is_below(b"/etc/hosts", b"etc"));
        assert!(is_below(b"/etc", b"/etc"));
        assert!(is_below(b"/etc", b"/"));
        assert!(!is_below(b"/etcetera", b"/etc"));
    }
}
