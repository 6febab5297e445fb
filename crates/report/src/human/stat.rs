//! Bytes by directory as a tree with bars, and the largest changes.

use std::collections::BTreeMap;
use std::io::{Result, Write};

use super::rows::Row;
use super::seen::{Item, List};
use crate::escape::escaped;
use crate::text::{count, size};

/// Directories of one level that have a line of their own; the others share one.
const WIDE: usize = 12;
/// Columns of the longest bar.
const BAR: u64 = 20;

/// The sums of a directory and of all below it.
#[derive(Default)]
struct Directory<'p> {
    written: u64,
    content: u64,
    changes: u64,
    below: BTreeMap<&'p [u8], Directory<'p>>,
}

impl<'p> Directory<'p> {
    fn add(&mut self, item: Item<'p>, depth: usize) {
        let written = item.written;
        let content = item.bytes.unwrap_or_default();
        let mut here = self;
        here.count(written, content);
        let mut names = item.path.split(|b| *b == b'/').filter(|n| !n.is_empty());
        let mut name = names.next();
        for _ in 0..depth {
            // The last name is that of the changed file itself.
            let Some(next) = names.next() else { break };
            here = here.below.entry(name.unwrap_or_default()).or_default();
            here.count(written, content);
            name = Some(next);
        }
    }

    fn count(&mut self, written: u64, content: u64) {
        self.written = self.written.saturating_add(written);
        self.content = self.content.saturating_add(content);
        self.changes += 1;
    }

    fn weight(&self) -> (u64, u64) {
        (self.written.max(self.content), self.changes)
    }
}

/// Writes the sums by directory, the largest first, to `depth` levels.
pub(super) fn write_tree(
    out: &mut dyn Write,
    items: &List<'_>,
    depth: usize,
    width: usize,
) -> Result<()> {
    let mut root = Directory::default();
    for item in items.iter() {
        root.add(item, depth);
    }
    writeln!(out, "    written     content   changes")?;
    let most = root.weight().0;
    write_directory(out, &root, "/", 0, most, width)
}

fn write_directory(
    out: &mut dyn Write,
    directory: &Directory<'_>,
    name: &str,
    level: usize,
    most: u64,
    width: usize,
) -> Result<()> {
    line(out, directory, name, level, most, width)?;
    let mut below: Vec<_> = directory.below.iter().collect();
    below.sort_by(|(a, x), (b, y)| (y.weight(), a).cmp(&(x.weight(), b)));
    let mut rest = Directory::default();
    let mut others = 0;
    for (number, (name, child)) in below.into_iter().enumerate() {
        if number < WIDE {
            let name = format!("{}/", escaped(name));
            write_directory(out, child, &name, level + 1, most, width)?;
        } else {
            others += 1;
            rest.written = rest.written.saturating_add(child.written);
            rest.content = rest.content.saturating_add(child.content);
            rest.changes += child.changes;
        }
    }
    if others > 0 {
        let name = format!("{} more", count(others, "directory"));
        let name = name.replacen(" more", "", 1);
        line(
            out,
            &rest,
            &format!("({name} more)"),
            level + 1,
            most,
            width,
        )?;
    }
    Ok(())
}

fn line(
    out: &mut dyn Write,
    directory: &Directory<'_>,
    name: &str,
    level: usize,
    most: u64,
    width: usize,
) -> Result<()> {
    let (bytes, _) = directory.weight();
    let longest = if width < 72 { BAR / 2 } else { BAR };
    let share = bytes.saturating_mul(longest).checked_div(most);
    // What has bytes at all is seen.
    let length = share.unwrap_or(0).max(u64::from(bytes > 0));
    let length = usize::try_from(length).unwrap_or_default();
    let longest = usize::try_from(longest).unwrap_or_default();
    writeln!(
        out,
        "  {:>9}   {:>9}   {:>7}  {:<longest$}  {:indent$}{name}",
        size(directory.written),
        size(directory.content),
        directory.changes,
        "█".repeat(length),
        "",
        indent = level * 2,
    )
}

/// Writes the `top` changes with the most bytes.
pub(super) fn write_top(out: &mut dyn Write, items: List<'_>, top: usize) -> Result<()> {
    let bytes = |i: &Item<'_>| i.bytes.unwrap_or_default();
    let (mut sorted, _) = items.split(|item| bytes(item) > 0);
    sorted.sort(|a, b| (bytes(b), a.path).cmp(&(bytes(a), b.path)));
    let mut largest = sorted.iter().take(top);
    largest.try_for_each(|item| Row::one(&item).write(out))
}
