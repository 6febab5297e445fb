//! Many changes as few lines: what is large is opened, the rest is summed.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

use hexz_resolve::FileKind;
use hexz_resolve::report::ChangeKind;

use super::tally::Tally;
use super::{Item, describe};

/// So many alike in one directory become one line.
const ALIKE: usize = 5;
/// A directory with so few in it is opened in any case.
const FEW: usize = 3;
/// So many are always shown where there is room; more only where they take half of it.
const MANY: usize = 12;
/// Of a directory that has more, those are shown that are at least one part in so many of it.
const PART: u64 = 16;

/// One line: a change, or some that have a directory in common.
pub(super) enum Line<'i, 'a> {
    One(&'i Item<'a>),
    Many(Group<'i, 'a>),
}

/// Changes that share a line.
pub(super) struct Group<'i, 'a> {
    /// The directory that they have in common, without a slash at its end.
    pub(super) directory: &'i [u8],
    /// Of a move of alike names, the directory that they were in.
    pub(super) from: Option<&'i [u8]>,
    pub(super) items: Vec<&'i Item<'a>>,
    /// What they have in common, beside the letter.
    pub(super) details: String,
    /// Whether others of the directory have lines of their own.
    pub(super) rest: bool,
}

/// Folds `items`, all of which are of one part of the report, into about `budget` lines.
pub(super) fn fold<'i, 'a>(items: &'i [Item<'a>], budget: usize) -> Vec<Line<'i, 'a>> {
    let mut sorted: Vec<&Item<'a>> = items.iter().collect();
    sorted.sort_by(|a, b| by_component(&a.path, &b.path));
    let mut folder = Folder {
        sorted,
        heap: BinaryHeap::new(),
        lines: Vec::new(),
    };
    folder.push(0..items.len());
    folder.run(budget.max(FEW));
    folder.lines
}

/// Paths in the order of a walk: a directory, then all that is in it.
fn by_component(a: &[u8], b: &[u8]) -> Ordering {
    let key = |b: &u8| if *b == b'/' { 0 } else { *b };
    a.iter().map(key).cmp(b.iter().map(key))
}

/// A directory with its changes, which follow each other in the order of a walk.
struct Node {
    weight: (u64, u64),
    range: Range<usize>,
    /// Bytes of the path of the first that are the directory.
    prefix: usize,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Node {}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Node {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |n: &Self| (n.weight, std::cmp::Reverse(n.range.start));
        key(self).cmp(&key(other))
    }
}

struct Folder<'i, 'a> {
    sorted: Vec<&'i Item<'a>>,
    heap: BinaryHeap<Node>,
    lines: Vec<Line<'i, 'a>>,
}

impl<'i, 'a> Folder<'i, 'a> {
    fn item(&self, at: usize) -> Option<&'i Item<'a>> {
        self.sorted.get(at).copied()
    }

    fn items(&self, range: Range<usize>) -> Vec<&'i Item<'a>> {
        self.sorted.get(range).unwrap_or_default().to_vec()
    }

    fn push(&mut self, range: Range<usize>) {
        match range.len() {
            0 => {}
            1 => self.lines.extend(self.item(range.start).map(Line::One)),
            _ => {
                let items = self.sorted.get(range.clone()).unwrap_or_default();
                let (Some(first), Some(last)) = (items.first(), items.last()) else {
                    return;
                };
                let tally: Tally = items.iter().map(|i| i.change).collect();
                self.heap.push(Node {
                    weight: (tally.bytes.unwrap_or_default(), tally.entries()),
                    prefix: common_directory(&first.path, &last.path),
                    range,
                });
            }
        }
    }

    fn run(&mut self, budget: usize) {
        while let Some(node) = self.heap.pop() {
            if self.is_closed(&node) {
                self.close(node);
                continue;
            }
            let (children, groups) = self.children(&node);
            let used = self.lines.len() + self.heap.len();
            let room = budget.saturating_sub(used);
            let lines = children.len() + groups.len();
            if lines <= FEW.max(room.min(MANY)) || lines <= room / 2 {
                children.into_iter().for_each(|range| self.push(range));
                self.lines.extend(groups.into_iter().map(Line::Many));
            } else {
                self.open_largest(node, children, room.saturating_sub(1));
            }
        }
    }

    /// A directory that came or went as a whole is one line.
    fn is_closed(&self, node: &Node) -> bool {
        self.item(node.range.start).is_some_and(|own| {
            own.path.len() == node.prefix
                && own.change.kind == FileKind::Directory
                && matches!(own.change.change, ChangeKind::Added | ChangeKind::Deleted)
        })
    }

    /// What is directly in a directory: ranges of the order, and files that are alike.
    fn children(&self, node: &Node) -> (Vec<Range<usize>>, Vec<Group<'i, 'a>>) {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for at in node.range.clone() {
            let Some(item) = self.item(at) else { continue };
            let name = child(&item.path, node.prefix);
            let same = ranges.last().and_then(|range| {
                let last = self.item(range.start)?;
                let follows = range.end == at && child(&last.path, node.prefix) == name;
                (follows && name.is_some()).then_some(())
            });
            match (same, ranges.last_mut()) {
                (Some(()), Some(range)) => range.end = at + 1,
                _ => ranges.push(at..at + 1),
            }
        }
        let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, range) in ranges.iter().enumerate() {
            let item = self.item(range.start).filter(|_| range.len() == 1);
            let key = item.and_then(|item| Some((item, likeness(item, node.prefix)?)));
            if let Some((item, key)) = key {
                let key = (item.change.change, item.change.kind, key);
                alike.entry(key).or_default().push(index);
            }
        }
        alike.retain(|_, members| members.len() >= ALIKE);
        let mut taken = vec![false; ranges.len()];
        let mut groups = Vec::new();
        for ((_, _, (from, details)), members) in alike {
            for member in &members {
                taken
                    .iter_mut()
                    .skip(*member)
                    .take(1)
                    .for_each(|t| *t = true);
            }
            let starts = members.iter().filter_map(|m| ranges.get(*m));
            groups.push(Group {
                directory: self.directory(node),
                from,
                items: starts.filter_map(|r| self.item(r.start)).collect(),
                details,
                rest: false,
            });
        }
        let left = ranges.into_iter().zip(taken);
        (left.filter(|(_, t)| !t).map(|(r, _)| r).collect(), groups)
    }

    fn directory(&self, node: &Node) -> &'i [u8] {
        let first = self.item(node.range.start);
        first
            .and_then(|i| i.path.get(..node.prefix))
            .unwrap_or_default()
    }

    /// Opens those of `children` that are a large part of the directory, `room` at most; all else
    /// of it is one line.
    fn open_largest(&mut self, node: Node, children: Vec<Range<usize>>, room: usize) {
        let weight = |range: &Range<usize>| {
            let items = self.sorted.get(range.clone()).unwrap_or_default();
            let tally: Tally = items.iter().map(|i| i.change).collect();
            (tally.bytes.unwrap_or_default(), tally.entries())
        };
        let part = |(bytes, entries): (u64, u64)| match node.weight {
            (0, all) => entries.saturating_mul(PART) >= all,
            (all, _) => bytes.saturating_mul(PART) >= all,
        };
        let mut weighed: Vec<_> = children.into_iter().map(|r| (weight(&r), r)).collect();
        weighed.retain(|(weight, _)| part(*weight));
        weighed.sort_by(|(a, r), (b, s)| (b, r.start).cmp(&(a, s.start)));
        weighed.truncate(room);
        if weighed.is_empty() {
            return self.close(node);
        }
        let mut opened: Vec<Range<usize>> = weighed.into_iter().map(|(_, r)| r).collect();
        opened.sort_by_key(|r| r.start);
        let mut rest = Vec::new();
        let mut at = node.range.start;
        for range in &opened {
            rest.extend(self.items(at..range.start));
            at = range.end;
        }
        rest.extend(self.items(at..node.range.end));
        if !rest.is_empty() {
            self.lines.push(Line::Many(Group {
                directory: self.directory(&node),
                from: None,
                items: rest,
                details: String::new(),
                rest: true,
            }));
        }
        opened.into_iter().for_each(|range| self.push(range));
    }

    fn close(&mut self, node: Node) {
        let group = Group {
            directory: self.directory(&node),
            from: None,
            items: self.items(node.range.clone()),
            details: String::new(),
            rest: false,
        };
        self.lines.push(Line::Many(group));
    }
}

/// What makes changes in one directory alike; `None` for those that have a line of their own.
fn likeness<'i>(item: &'i Item<'_>, prefix: usize) -> Option<(Option<&'i [u8]>, String)> {
    let change = item.change;
    let own_directory = item.path.len() <= prefix || child(&item.path, prefix).is_none();
    if own_directory {
        return None;
    }
    match change.change {
        ChangeKind::Added | ChangeKind::Deleted => Some((None, String::new())),
        ChangeKind::Metadata => Some((None, describe::details(change))),
        ChangeKind::Renamed => {
            let from = item.from.as_deref()?;
            let cut = directory_length(from);
            let same = from.get(cut..) == item.path.get(directory_length(&item.path)..);
            same.then(|| (from.get(..cut), describe::details(change)))
        }
        _ => None,
    }
}

/// The name of what is directly in the directory of `prefix` bytes, on the way to `path`.
fn child(path: &[u8], prefix: usize) -> Option<&[u8]> {
    let rest = path.get(prefix..)?.strip_prefix(b"/")?;
    let name = rest.split(|b| *b == b'/').next()?;
    (!name.is_empty()).then_some(name)
}

/// Bytes of the directory of `path`, without its slash.
fn directory_length(path: &[u8]) -> usize {
    path.iter().rposition(|b| *b == b'/').unwrap_or_default()
}

/// Bytes of the longest directory that two paths lie in; it may be the first of them itself.
fn common_directory(first: &[u8], last: &[u8]) -> usize {
    let same = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    if same == first.len() && last.get(same) == Some(&b'/') && first != b"/" {
        return same;
    }
    first.get(..same).map_or(0, directory_length)
}
