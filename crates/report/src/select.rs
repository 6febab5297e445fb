//! Which changes are shown.

use hexz_resolve::FileKind;
use hexz_resolve::report::{Change, ChangeKind, Report};

/// What a reader asked to see. JSON always has everything but what `paths` leaves out.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Show changes to directories.
    pub directories: bool,
    /// Show changes of only atime or ctime, and do not group.
    pub all: bool,
    /// Show only changes at or below one of these paths; everything when empty.
    pub paths: Vec<Vec<u8>>,
}

impl Selection {
    /// Whether `change` lies at or below a path that was asked for.
    #[must_use]
    pub fn in_paths(&self, change: &Change) -> bool {
        let here = |path: &[u8]| self.paths.iter().any(|top| is_below(path, top));
        self.paths.is_empty()
            || here(&change.path)
            || change.from.as_deref().is_some_and(here)
            || change.links.iter().any(|link| here(link))
    }

    /// Whether there is a change to speak of: at or below the paths that were asked for, else any
    /// byte that differs, whoever owns it.
    #[must_use]
    pub fn finds_changes(&self, report: &Report) -> bool {
        let differs = self.paths.is_empty() && report.summary.changed > 0;
        differs || report.changes.iter().any(|c| self.in_paths(c))
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
