//! Many changes as few lines: what is large is opened, the rest is summed.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

use hexz_resolve::FileKind;
use hexz_resolve::report::ChangeKind;

use super::seen::{Item, List};
use super::tally::Tally;

/// So many alike in one directory become one line.
const ALIKE: usize = 5;
/// A directory with so few in it is opened in any case.
const FEW: usize = 3;
/// So many are always shown where there is room; more only where they take half of it.
const MANY: usize = 12;
/// Of a directory that has more, those are shown that are at least one part in so many of it.
const PART: u64 = 16;

/// One line: a change, or some that have a directory in common.
pub(super) enum Line<'a> {
    One(Item<'a>),
    Many(Group<'a>),
}

/// Changes that share a line.
pub(super) struct Group<'a> {
    /// The directory that they have in common, without a slash at its end.
    pub(super) directory: &'a [u8],
    /// Of a move of alike names, the directory that they were in.
    pub(super) from: Option<&'a [u8]>,
    pub(super) items: List<'a>,
    /// What they have in common, beside the letter.
    pub(super) details: &'a str,
    /// Whether others of the directory have lines of their own.
    pub(super) rest: bool,
}

/// Folds `items`, all of which are of one part of the report, into about `budget` lines.
pub(super) fn fold(items: List<'_>, budget: usize) -> Vec<Line<'_>> {
    let mut sorted = items;
    sorted.sort(|a, b| by_component(a.path, b.path));
    let all = 0..sorted.len();
    let mut folder = Folder {
        sorted,
        heap: BinaryHeap::new(),
        lines: Vec::new(),
    };
    folder.push(all);
    folder.run(budget.max(FEW));
    folder.lines
}

/// Paths in the order of a walk: a directory, then all that is in it.
fn by_component(a: &[u8], b: &[u8]) -> Ordering {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let key = |b: &u8| if *b == b'/' { 0 } else { *b };
    a.get(same).map(key).cmp(&b.get(same).map(key))
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

struct Folder<'a> {
    sorted: List<'a>,
    heap: BinaryHeap<Node>,
    lines: Vec<Line<'a>>,
}

impl<'a> Folder<'a> {
    fn item(&self, at: usize) -> Option<Item<'a>> {
        self.sorted.get(at)
    }

    fn tally(&self, range: Range<usize>) -> Tally {
        range.filter_map(|at| self.item(at)).collect()
    }

    fn push(&mut self, range: Range<usize>) {
        match range.len() {
            0 => {}
            1 => self.lines.extend(self.item(range.start).map(Line::One)),
            _ => {
                let (Some(first), Some(last)) = (self.item(range.start), self.item(range.end - 1))
                else {
                    return;
                };
                let tally = self.tally(range.clone());
                self.heap.push(Node {
                    weight: (tally.bytes.unwrap_or_default(), tally.entries()),
                    prefix: common_directory(first.path, last.path),
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
                && own.look.kind == FileKind::Directory
                && matches!(own.look.change, ChangeKind::Added | ChangeKind::Deleted)
        })
    }

    /// What is directly in a directory: ranges of the order, and files that are alike.
    fn children(&self, node: &Node) -> (Vec<Range<usize>>, Vec<Group<'a>>) {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for at in node.range.clone() {
            let Some(item) = self.item(at) else { continue };
            let name = child(item.path, node.prefix);
            let same = ranges.last().and_then(|range| {
                let last = self.item(range.start)?;
                let follows = range.end == at && child(last.path, node.prefix) == name;
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
            let key = item.and_then(|item| Some((item, likeness(&item, node.prefix)?)));
            if let Some((item, key)) = key {
                let key = (item.look.change, item.look.kind, key);
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
            let mut items = List::none_of(&self.sorted);
            for range in members.iter().filter_map(|m| ranges.get(*m)) {
                items.extend(&self.sorted.part(range.clone()));
            }
            groups.push(Group {
                directory: self.directory(node),
                from,
                items,
                details,
                rest: false,
            });
        }
        let left = ranges.into_iter().zip(taken);
        (left.filter(|(_, t)| !t).map(|(r, _)| r).collect(), groups)
    }

    fn directory(&self, node: &Node) -> &'a [u8] {
        let first = self.item(node.range.start);
        first
            .and_then(|i| i.path.get(..node.prefix))
            .unwrap_or_default()
    }

    /// Opens those of `children` that are a large part of the directory, `room` at most; all else
    /// of it is one line.
    fn open_largest(&mut self, node: Node, children: Vec<Range<usize>>, room: usize) {
        let weight = |range: &Range<usize>| {
            let tally = self.tally(range.clone());
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
        let mut rest = List::none_of(&self.sorted);
        let mut at = node.range.start;
        for range in &opened {
            rest.extend(&self.sorted.part(at..range.start));
            at = range.end;
        }
        rest.extend(&self.sorted.part(at..node.range.end));
        if rest.len() > 0 {
            self.lines.push(Line::Many(Group {
                directory: self.directory(&node),
                from: None,
                items: rest,
                details: "",
                rest: true,
            }));
        }
        opened.into_iter().for_each(|range| self.push(range));
    }

    fn close(&mut self, node: Node) {
        let group = Group {
            directory: self.directory(&node),
            from: None,
            items: self.sorted.part(node.range.clone()),
            details: "",
            rest: false,
        };
        self.lines.push(Line::Many(group));
    }
}

/// What makes changes in one directory alike; `None` for those that have a line of their own.
fn likeness<'a>(item: &Item<'a>, prefix: usize) -> Option<(Option<&'a [u8]>, &'a str)> {
    let own_directory = item.path.len() <= prefix || child(item.path, prefix).is_none();
    if own_directory {
        return None;
    }
    let details = item.look.details.as_str();
    match item.look.change {
        ChangeKind::Added | ChangeKind::Deleted => Some((None, "")),
        ChangeKind::Metadata => Some((None, details)),
        ChangeKind::Renamed => {
            let from = item.from?;
            let cut = directory_length(from);
            let same = from.get(cut..) == item.path.get(directory_length(item.path)..);
            same.then(|| (from.get(..cut), details))
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
