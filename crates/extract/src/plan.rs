//! What a layer holds: from the changes of a volume to the paths that are written, and those that
//! are marked as gone.

use std::collections::{BTreeMap, BTreeSet};

use hexz_resolve::report::{Change, ChangeKind};
use hexz_resolve::{Attributes, Result};

use crate::extractor::join;
use crate::lookup::Lookup;
use crate::name::Name;
use crate::problem::Problems;
use crate::upper::is_whiteout;

/// What a layer has at one path.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// The file that stands there after the change.
    File(Attributes),
    /// A directory with everything below it. `opaque` when a directory stood there before whose
    /// entries must not show through.
    Whole { directory: Attributes, opaque: bool },
    /// Nothing stands there any more.
    Gone,
}

/// Why an entry that leads to no file is left out.
pub(crate) const NO_FILE: &str = "its entry names no file that is in use";

/// The items of a layer by path. A path is there once.
pub(crate) type Plan = BTreeMap<Vec<u8>, Item>;

/// Makes the plan for the changes of one volume. `before` and `after` are its two views, where
/// it has a filesystem in them.
pub(crate) fn plan<'c>(
    changes: impl Iterator<Item = &'c Change>,
    mut before: Option<&mut Lookup<'_>>,
    mut after: Option<&mut Lookup<'_>>,
    problems: &Problems,
) -> Result<Plan> {
    let upper = after.as_ref().is_some_and(|after| after.tree().is_upper());
    let mut plan = Plan::new();
    let mut gone: BTreeSet<Vec<u8>> = BTreeSet::new();
    let stands = |lookup: &mut Option<&mut Lookup<'_>>, path: &[u8]| match lookup {
        Some(lookup) => at(lookup, path, problems),
        None => Ok(None),
    };
    for change in changes.filter(|change| shows_in_layer(change)) {
        if change.change == ChangeKind::Deleted {
            gone.insert(change.path.clone());
            continue;
        }
        gone.extend(change.from.clone());
        let known = match &change.merged {
            // What overlayfs says of a file is not in the report.
            Some(attributes) if !upper => Some(attributes.clone()),
            _ => stands(&mut after, &change.path)?,
        };
        let Some(attributes) = known else {
            continue;
        };
        if !attributes.kind.has_entries() {
            for path in change.links.iter().chain([&change.path]) {
                plan.insert(path.clone(), Item::File(attributes.clone()));
            }
            continue;
        }
        // A directory that is another one than before, or that came from elsewhere.
        let moved = matches!(
            change.change,
            ChangeKind::Added | ChangeKind::Renamed | ChangeKind::Type
        );
        if (moved || change.replaced) && change.path == b"/" && !upper {
            let (before, after) = (before.as_deref(), after.as_deref());
            plan.extend(root_anew(before, after, attributes, problems));
        } else if moved || change.replaced {
            let stood = stands(&mut before, &change.path)?;
            let opaque = stood.is_some_and(|a| a.kind.has_entries());
            let directory = attributes;
            plan.insert(change.path.clone(), Item::Whole { directory, opaque });
        } else {
            plan.insert(change.path.clone(), Item::File(attributes));
        }
    }
    for path in gone {
        // Where the directory went away as well, or is another one, nothing is left to hide.
        let above = parent(&path);
        let hidden = ancestors(&path).any(|above| match plan.get(above) {
            Some(Item::Whole { opaque, .. }) => {
                *opaque || stood_nothing(&mut before, above, problems)
            }
            _ => false,
        });
        let there = stands(&mut after, above)?.is_some_and(|a| a.kind.has_entries());
        // What is below an upper folder is not in it.
        let was = upper || stands(&mut before, above)?.is_some_and(|a| a.kind.has_entries());
        let stays = stands(&mut after, &path)?.is_some_and(|a| !(upper && is_whiteout(&a)));
        if !hidden && there && was && !stays {
            plan.insert(path, Item::Gone);
        }
    }
    // What a layer does not hold of the directories above, those who unpack it make up.
    let paths: Vec<Vec<u8>> = plan.keys().cloned().collect();
    for path in paths {
        for above in ancestors(&path) {
            if !plan.contains_key(above)
                && let Some(attributes) = stands(&mut after, above)?
            {
                plan.insert(above.to_vec(), Item::File(attributes));
            }
        }
    }
    Ok(plan)
}

/// A root directory that is another one than before: each of its entries anew, since the root of an
/// overlayfs can't hide what is below it, so that a marker in it would mean nothing there.
fn root_anew(
    before: Option<&Lookup<'_>>,
    after: Option<&Lookup<'_>>,
    root: Attributes,
    problems: &Problems,
) -> Plan {
    let entries = |lookup: Option<&Lookup<'_>>, problems: &Problems| {
        let mut known = BTreeMap::new();
        let Some(tree) = lookup.map(Lookup::tree) else {
            return known;
        };
        for entry in tree
            .children(&[tree.root()], problems)
            .into_iter()
            .flatten()
        {
            let path = join(b"/", entry.name.as_bytes());
            let name = Name::new(entry.name.as_bytes());
            match (name, entry.attributes) {
                (Err(reason), _) => problems.left_out(tree.volume().name(), &path, reason),
                (Ok(_), None) => problems.left_out(tree.volume().name(), &path, NO_FILE),
                (Ok(_), Some(a)) if tree.is_internal(a.key) => {}
                (Ok(_), Some(a)) => {
                    known.insert(path, a);
                }
            }
        }
        known
    };
    // What can't be read of the side before is not in the layer anyway.
    let (before, after) = (
        entries(before, &Problems::default()),
        entries(after, problems),
    );
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    let mut plan: Plan = gone.map(|path| (path.clone(), Item::Gone)).collect();
    plan.insert(b"/".to_vec(), Item::File(root));
    for (path, attributes) in after {
        let opaque = before.get(&path).is_some_and(|a| a.kind.has_entries());
        let item = match attributes.kind.has_entries() {
            true => Item::Whole {
                directory: attributes,
                opaque,
            },
            false => Item::File(attributes),
        };
        plan.insert(path, item);
    }
    plan
}

/// Whether a layer can hold what a change is about: a file that was only read is not in it.
fn shows_in_layer(change: &Change) -> bool {
    let held = ["mode", "uid", "gid", "mtime", "rdev", "xattr"];
    change.change != ChangeKind::Metadata
        || change.replaced
        || change.attributes.iter().any(|name| held.contains(name))
}

/// The order of paths in which a directory comes right before all that is below it.
pub(crate) fn by_name(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a.split(|b| *b == b'/').cmp(b.split(|b| *b == b'/'))
}

/// Whether no directory stood at `path` before.
fn stood_nothing(before: &mut Option<&mut Lookup<'_>>, path: &[u8], problems: &Problems) -> bool {
    let stood = match before {
        Some(lookup) => at(lookup, path, problems).ok().flatten(),
        None => None,
    };
    !stood.is_some_and(|a| a.kind.has_entries())
}

/// What stands at exactly this path: no link on the way is followed.
fn at(lookup: &mut Lookup<'_>, path: &[u8], problems: &Problems) -> Result<Option<Attributes>> {
    let found = lookup.resolve(path, false, problems)?;
    Ok(found
        .filter(|found| found.path == path)
        .map(|found| found.attributes))
}

/// The directory of a path.
fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) if at > 0 => path.get(..at).unwrap_or(b"/"),
        _ => b"/",
    }
}

/// The directories above a path, the root last.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    fn above(path: &[u8]) -> Option<&[u8]> {
        (path != b"/").then(|| parent(path))
    }
    std::iter::successors(above(path), |path| above(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_end_at_the_root() {
        let all = |path: &'static [u8]| ancestors(path).collect::<Vec<_>>();
        assert_eq!(all(b"/a/b/c"), [&b"/a/b"[..], b"/a", b"/"]);
        assert_eq!(all(b"/a"), [b"/"]);
        assert!(all(b"/").is_empty());
    }
}
