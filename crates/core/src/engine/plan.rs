//! The join of the two views: which paths came, went, moved or stayed. What files hold is not looked
//! at yet.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::briefs::Brief;
use super::names::PathParts;
use super::run::Run;
use super::side::Side;
use super::spill::{Item, Spill};
use super::touched::Touched;
use crate::report::PathBytes;
use crate::{FileKey, Result};

/// What happened to a path. Paths are numbers: their places in the order of their view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is in both views.
    Both { base: u32, merged: u32 },
    /// Its file had another path in base that is gone, which is `base`.
    Moved {
        base: u32,
        merged: u32,
        /// Whether only a directory above moved.
        along: bool,
    },
    /// It is in merged only.
    Added { merged: u32 },
    /// It is in base only.
    Deleted { base: u32 },
}

/// A step, and whether a step before it is about the same files: their content is counted there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) step: Step,
    pub(super) counted: bool,
}

impl Item for Planned {
    const BYTES: usize = 10;

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        let (kind, base, merged) = match self.step {
            Step::Both { base, merged } => (0, base, merged),
            Step::Moved {
                base,
                merged,
                along,
            } => (1 + u8::from(along), base, merged),
            Step::Added { merged } => (3, 0, merged),
            Step::Deleted { base } => (4, base, 0),
        };
        out.extend_from_slice(&[kind, u8::from(self.counted)]);
        base.put(out)?;
        merged.put(out)
    }

    fn take(bytes: &[u8]) -> Self {
        let behind = |at: usize| bytes.get(at..).unwrap_or_default();
        let (base, merged) = (u32::take(behind(2)), u32::take(behind(6)));
        Self {
            step: match bytes.first() {
                Some(0) => Step::Both { base, merged },
                Some(kind @ (1 | 2)) => Step::Moved {
                    base,
                    merged,
                    along: *kind == 2,
                },
                Some(3) => Step::Added { merged },
                _ => Step::Deleted { base },
            },
            counted: bytes.get(1) == Some(&1),
        }
    }
}

/// A path of a view, with its file.
type Named<'t> = (FileKey, PathParts<'t>);

/// Compares touched files path by path.
struct Join<'t, 'a> {
    run: &'t Run<'a>,
    touched: &'t Touched<'a>,
    /// Renamed directories, by where they stood, and by where they stand.
    renames: HashMap<PathBytes, PathBytes>,
    renamed_to: HashMap<PathBytes, PathBytes>,
    /// Paths of base that a file left for another one.
    left: HashSet<u32>,
    /// Paths of base that are gone, of files that had several: the next one to look at is the last.
    gone: HashMap<FileKey, Vec<u32>>,
}

/// All changed paths, in their order. A file that has several paths in both views comes under the
/// first of them.
pub(super) fn plan(run: &Run<'_>, touched: &Touched<'_>) -> Result<Spill<Planned>> {
    let mut join = Join {
        run,
        touched,
        renames: HashMap::new(),
        renamed_to: HashMap::new(),
        left: HashSet::new(),
        gone: HashMap::new(),
    };
    let steps = join.side_by_side()?;
    let steps = steps.filter_map(run, |planned| {
        let step = match planned.step {
            Step::Added { merged } => join.moved(merged).unwrap_or(planned.step),
            step => step,
        };
        Some(Planned { step, ..planned })
    })?;
    let snapshots = join.snapshots(&steps);
    let (mut first, mut met) = (BTreeSet::new(), BTreeSet::new());
    steps.filter_map(run, |Planned { step, .. }| {
        let told = match step {
            Step::Deleted { base } if join.left.contains(&base) => false,
            Step::Both { .. } | Step::Moved { along: true, .. } => join.is_first(step, &mut first),
            _ => !join.is_in_snapshot(&step, &snapshots),
        };
        let counted = told
            && join
                .files(step)
                .is_some_and(|files| join.several(files) && !met.insert(files));
        told.then_some(Planned { step, counted })
    })
}

/// The subvolumes whose snapshots came (true) or went.
type Snapshots = BTreeSet<(bool, u64)>;

impl<'t> Join<'t, '_> {
    fn base(&self, at: u32) -> Option<Named<'t>> {
        self.touched.base.path(self.run, at as usize)
    }

    fn merged(&self, at: u32) -> Option<Named<'t>> {
        self.touched.merged.path(self.run, at as usize)
    }

    /// The paths of both views, merged by their order, none of them moved yet.
    fn side_by_side(&self) -> Result<Spill<Planned>> {
        let counts = [&self.touched.base, &self.touched.merged].map(|side| side.len() as u32);
        let [base_count, merged_count] = counts;
        let mut steps = Spill::new(self.run);
        let (mut base, mut merged) = (0, 0);
        while base < base_count || merged < merged_count {
            if steps.len() % 4096 == 0 {
                self.run.check()?;
            }
            let order = match (self.base(base), self.merged(merged)) {
                (Some((_, x)), Some((_, y))) => x.order(&y),
                (Some(_), None) => Ordering::Less,
                _ => Ordering::Greater,
            };
            let step = match order {
                Ordering::Less => Step::Deleted { base },
                Ordering::Greater => Step::Added { merged },
                Ordering::Equal => Step::Both { base, merged },
            };
            let counted = false;
            steps.push(Planned { step, counted });
            base += u32::from(order.is_le());
            merged += u32::from(order.is_ge());
        }
        self.run.memory.check()?;
        Ok(steps)
    }

    /// Whether the file at a path of merged, which is not there in base, had another one that is
    /// gone.
    fn moved(&mut self, merged: u32) -> Option<Step> {
        let (key, to) = self.merged(merged)?;
        let now = self.touched.merged.files.get(key)?;
        let left = self.left(&now);
        let (then, base) = left.or_else(|| self.left_without_lineage(&to, &now))?;
        self.left.insert(base);
        let (_, from) = self.base(base)?;
        let along = from.name == to.name
            && self.directory_moved((from.parent, from.above), (to.parent, to.above));
        if then.kind.has_entries() {
            self.renames.insert(from.path(), to.path());
            self.renamed_to.insert(to.path(), from.path());
        }
        Some(Step::Moved {
            base,
            merged,
            along,
        })
    }

    /// The first path that the file `now` had in base and that is gone, with the file as it was
    /// there.
    fn left(&mut self, now: &Brief) -> Option<(Brief, u32)> {
        let touched = self.touched;
        for then in touched.base.files.of_lineage(&now.lineage) {
            if !touched.pair.same_file(&then, now) {
                continue;
            }
            if !self.gone.contains_key(&then.key) {
                let gone = self.gone(then.key);
                self.gone.insert(then.key, gone);
            }
            let gone = self.gone.get_mut(&then.key)?;
            while let Some(base) = gone.pop() {
                if !self.left.contains(&base) {
                    return Some((then, base));
                }
            }
        }
        None
    }

    /// The same for what has no lineage: it is known by its name in a directory, wherever that
    /// went.
    fn left_without_lineage(&self, to: &PathParts<'_>, now: &Brief) -> Option<(Brief, u32)> {
        let touched = self.touched;
        if !(now.lineage.is_none() || touched.base.files.some_without_lineage()) {
            return None;
        }
        let stood = self.before_renames(&to.path())?;
        let (above, name) = split(&stood);
        let parts = PathParts {
            above,
            name: Cow::Borrowed(name),
            parent: FileKey::default(),
        };
        let base = touched.base.find(self.run, &parts)?;
        let (before, from) = touched.base.path(self.run, base)?;
        // A directory that came to where another had been has none of the other's files.
        if !self.renamed_to.contains_key(to.above) && !self.is_one_directory(from.parent, to.parent)
        {
            return None;
        }
        let then = touched.base.files.get(before)?;
        let base = u32::try_from(base).ok()?;
        let gone = touched.merged.find(self.run, &parts).is_none() && !self.left.contains(&base);
        let same = touched.pair.same_at_path(&then, now) && !touched.pair.same_file(&then, now);
        (gone && same).then_some((then, base))
    }

    /// Where `path` of merged would be had no directory above it been renamed; `None` when none
    /// was.
    fn before_renames(&self, path: &[u8]) -> Option<PathBytes> {
        let mut directory = above(path);
        while !directory.is_empty() {
            if let Some(stood) = self.renamed_to.get(directory) {
                let below = path.get(directory.len()..).unwrap_or_default();
                return Some([stood, below].concat());
            }
            directory = above(directory);
        }
        None
    }

    /// The paths of a file of base that are not there in merged, the last one first.
    fn gone(&self, key: FileKey) -> Vec<u32> {
        let (base, merged) = (&self.touched.base, &self.touched.merged);
        let paths = base.names.paths_of(self.run, key).into_iter().rev();
        paths
            .filter(|path| merged.find(self.run, path).is_none())
            .filter_map(|path| u32::try_from(base.find(self.run, &path)?).ok())
            .collect()
    }

    /// Whether the directory that stood at `from` was renamed, or moved along, to `to`.
    fn directory_moved(
        &self,
        (mut before, mut from): (FileKey, &[u8]),
        (mut after, mut to): (FileKey, &[u8]),
    ) -> bool {
        let touched = self.touched;
        loop {
            if !self.is_one_directory(before, after) || from == to {
                return false;
            }
            if self.renames.get(from).is_some_and(|t| t == to) {
                return true;
            }
            // A touched directory that moved would be in the map by now: it sorts before what is
            // in it.
            let known = touched.base.files.get(before).is_some();
            let then = touched.base.names.first_link(before);
            let now = touched.merged.names.first_link(after);
            match (then, now) {
                (Some((above, name)), Some((above_now, name_now)))
                    if !known && name == name_now =>
                {
                    (before, after) = (above, above_now);
                }
                _ => return false,
            }
            (from, to) = (above(from), above(to));
        }
    }

    /// Whether directory `before` of base is directory `after` of merged. One that was not touched
    /// is found in both views in the same way.
    fn is_one_directory(&self, before: FileKey, after: FileKey) -> bool {
        let touched = self.touched;
        match (
            touched.base.files.get(before),
            touched.merged.files.get(after),
        ) {
            (Some(then), Some(now)) => touched.pair.same_file(&then, &now),
            (None, None) => before == after,
            _ => false,
        }
    }

    /// The file of a step that came (true) or went.
    fn lone(&self, step: &Step) -> Option<(bool, FileKey)> {
        match *step {
            Step::Added { merged } => Some((true, self.merged(merged)?.0)),
            Step::Deleted { base } => Some((false, self.base(base)?.0)),
            _ => None,
        }
    }

    fn is_snapshot(&self, (came, key): (bool, FileKey)) -> bool {
        let side = match came {
            true => &self.touched.merged,
            false => &self.touched.base,
        };
        side.files.get(key).is_some_and(|b| b.snapshot)
    }

    /// The snapshots that came or went.
    fn snapshots(&self, steps: &Spill<Planned>) -> Snapshots {
        let sides = [&self.touched.base, &self.touched.merged];
        if !sides.iter().any(|side| side.files.some_snapshot()) {
            return Snapshots::new();
        }
        let gone = |step: &Step| match step {
            Step::Deleted { base } => self.left.contains(base),
            _ => false,
        };
        let told = steps.iter().map(|planned| planned.step);
        let lone = told
            .filter(|step| !gone(step))
            .filter_map(|step| self.lone(&step));
        let roots = lone.filter(|file| self.is_snapshot(*file));
        roots.map(|(came, key)| (came, key.subvolume)).collect()
    }

    /// Whether a step came or went with a snapshot: the record of its root stands for all of it.
    fn is_in_snapshot(&self, step: &Step, snapshots: &Snapshots) -> bool {
        let lone = || self.lone(step);
        !snapshots.is_empty()
            && lone().is_some_and(|(came, key)| {
                snapshots.contains(&(came, key.subvolume)) && !self.is_snapshot((came, key))
            })
    }

    /// The files of a step.
    fn files(&self, step: Step) -> Option<Files> {
        let base = |at| Some(self.base(at)?.0);
        let merged = |at| Some(self.merged(at)?.0);
        Some(match step {
            Step::Both { base: x, merged: y }
            | Step::Moved {
                base: x, merged: y, ..
            } => (Some(base(x)?), Some(merged(y)?)),
            Step::Added { merged: y } => (None, Some(merged(y)?)),
            Step::Deleted { base: x } => (Some(base(x)?), None),
        })
    }

    /// Whether one of the files has several names.
    fn several(&self, (base, merged): Files) -> bool {
        let several =
            |side: &Side, key: Option<FileKey>| key.is_some_and(|key| side.names.count(key) > 1);
        several(&self.touched.base, base) || several(&self.touched.merged, merged)
    }

    /// Whether no path before had these two files: what differs between them is told once. Files
    /// of two kinds are told at each path.
    fn is_first(&self, step: Step, seen: &mut BTreeSet<Files>) -> bool {
        let Some(files) = self.files(step) else {
            return false;
        };
        let kind = |side: &Side, key: Option<FileKey>| Some(side.files.get(key?)?.kind);
        let kinds = (
            kind(&self.touched.base, files.0),
            kind(&self.touched.merged, files.1),
        );
        kinds.0 != kinds.1 || !self.several(files) || seen.insert(files)
    }
}

/// The files of base and of merged that a step is about.
type Files = (Option<FileKey>, Option<FileKey>);

/// The directory of a path, and the name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let above = above(path);
    let name = path.get(above.len() + 1..).unwrap_or_default();
    (above, name)
}

fn above(path: &[u8]) -> &[u8] {
    path.iter()
        .rposition(|b| *b == b'/')
        .and_then(|at| path.get(..at))
        .unwrap_or_default()
}
