//! Renamed directories: where a path below one was before.

use hexz_resolve::report::{Change, ChangeKind};

/// The directories that were renamed, of one volume.
#[derive(Clone, Debug, Default)]
pub struct Moved(Vec<(Vec<u8>, Vec<u8>)>);

impl Moved {
    /// Those among `changes`.
    pub fn of<'c>(changes: impl Iterator<Item = &'c Change>) -> Self {
        let directories =
            changes.filter(|c| c.change == ChangeKind::Renamed && c.kind.has_entries());
        Self(
            directories
                .filter_map(|c| Some((c.from.clone()?, c.path.clone())))
                .collect(),
        )
    }

    /// From and to.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .iter()
            .map(|(from, to)| (from.as_slice(), to.as_slice()))
    }

    /// Where what is at `path` after the change was before it.
    #[must_use]
    pub fn origin(&self, path: &[u8]) -> Vec<u8> {
        let below = |to: &[u8]| {
            path.strip_prefix(to)
                .filter(|rest| rest.first() == Some(&b'/'))
        };
        let inner = self
            .iter()
            .filter_map(|(from, to)| Some((to.len(), from, below(to)?)));
        match inner.max_by_key(|(length, _, _)| *length) {
            Some((_, from, rest)) => [from, rest].concat(),
            None => path.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_renamed_directory_counts() {
        let pair = |from: &str, to: &str| (from.as_bytes().to_vec(), to.as_bytes().to_vec());
        let moved = Moved(vec![pair("/a", "/b"), pair("/a/x", "/b/y")]);
        assert_eq!(moved.origin(b"/b/f"), b"/a/f");
        assert_eq!(moved.origin(b"/b/y/f"), b"/a/x/f");
        assert_eq!(moved.origin(b"/bb/f"), b"/bb/f");
    }
}
