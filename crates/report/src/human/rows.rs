//! Lines of changes, as text.

use std::io::{Result, Write};

use anstyle::{AnsiColor, Style};
use hexz_resolve::FileKind;
use hexz_resolve::report::ChangeKind;

use super::fold::{Group, Line};
use super::seen::Item;
use super::tally::Tally;
use crate::escape::escaped;
use crate::text::size;

/// Names that a line may show, however wide it is.
const NAMES: usize = 12;
/// Columns before the text of a line.
const GUTTER: usize = 15;

/// A line that is ready to be written.
pub(super) struct Row {
    kind: ChangeKind,
    bytes: Option<u64>,
    text: String,
    notable: Option<&'static str>,
    /// Changes that it speaks of and does not name.
    pub(super) unnamed: u64,
}

impl Row {
    pub(super) fn one(item: &Item<'_>) -> Self {
        Self {
            kind: item.look.change,
            bytes: item.bytes,
            text: line(item),
            notable: item.look.notable,
            unnamed: 0,
        }
    }

    pub(super) fn of(line: &Line<'_>, width: usize) -> Self {
        match line {
            Line::One(item) => Self::one(item),
            Line::Many(group) => Self::many(group, width),
        }
    }

    /// The same, notable for a reason.
    pub(super) fn because(self, reason: Option<&'static str>) -> Self {
        Self {
            notable: reason,
            ..self
        }
    }

    fn many(group: &Group<'_>, width: usize) -> Self {
        let tally: Tally = group.items.iter().collect();
        let mut text = escaped(group.directory);
        text.push('/');
        if let Some(from) = group.from {
            text = format!("{}/ -> {text}", escaped(from));
        }
        let more = if group.rest { "and " } else { "" };
        let other = if group.rest { " more" } else { "" };
        text.push_str(&format!("  {more}{}{other}", tally.kinds()));
        if !group.details.is_empty() {
            text.push_str(&format!(": {}", group.details));
        }
        let room = width.saturating_sub(GUTTER + text.chars().count());
        let (names, named) = names(group, room);
        text.push_str(&names);
        let kinds = group.items.iter().map(|i| i.look.change);
        Self {
            // Of what is left over, the letter of most of it.
            kind: most(kinds),
            bytes: tally.bytes,
            text,
            notable: None,
            unnamed: tally.entries() - named,
        }
    }

    /// Writes the line: a mark where it is notable, the letter, the size, and why it is notable.
    pub(super) fn write(&self, out: &mut dyn Write) -> Result<()> {
        let style = style(self.kind);
        let bytes = self.bytes.map_or_else(|| "-".to_owned(), size);
        let letter = self.kind.letter();
        let mark = if self.notable.is_some() { '!' } else { ' ' };
        write!(
            out,
            "{mark} {style}{letter}{style:#} {bytes:>9}  {}",
            self.text
        )?;
        if let Some(reason) = self.notable {
            let dim = Style::new().dimmed();
            write!(out, "  {dim}({reason}){dim:#}")?;
        }
        writeln!(out)
    }

    /// The largest first; what has no size by its letter.
    pub(super) fn sort(rows: &mut [Self]) {
        rows.sort_by(|a, b| {
            let key = |r: &Self| (std::cmp::Reverse(r.bytes), order(r.kind));
            key(a).cmp(&key(b)).then_with(|| a.text.cmp(&b.text))
        });
    }

    /// The same order, of changes that have a row each.
    pub(super) fn order(a: &Item<'_>, b: &Item<'_>) -> std::cmp::Ordering {
        let key = |i: &Item<'_>| (std::cmp::Reverse(i.bytes), order(i.look.change));
        let first = a.from.unwrap_or(a.path).cmp(b.from.unwrap_or(b.path));
        key(a)
            .cmp(&key(b))
            .then(first)
            .then_with(|| a.path.cmp(b.path))
    }
}

fn most(kinds: impl Iterator<Item = ChangeKind>) -> ChangeKind {
    let mut counts = std::collections::BTreeMap::<ChangeKind, usize>::new();
    kinds.for_each(|kind| *counts.entry(kind).or_default() += 1);
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map_or(ChangeKind::Modified, |(kind, _)| kind)
}

/// The names of the largest, as far as `room` columns go, and how many changes were named: what is
/// not named is never called named.
fn names(group: &Group<'_>, room: usize) -> (String, u64) {
    let own = group.directory.len();
    let below = group.items.iter().filter(|i| i.path.len() > own);
    let order = |a: &(u64, &[u8]), b: &(u64, &[u8])| (b.0, a.1).cmp(&(a.0, b.1));
    let (mut listed, mut all) = (Vec::new(), 0);
    for item in below {
        all += 1;
        let name = item.path.get(own + 1..).unwrap_or_default();
        listed.push((item.bytes.unwrap_or_default(), name));
        if listed.len() > NAMES * 8 {
            listed.select_nth_unstable_by(NAMES, order);
            listed.truncate(NAMES);
        }
    }
    listed.sort_unstable_by(order);
    listed.truncate(NAMES);
    let mut text = String::new();
    let mut columns = 2;
    let mut named = 0;
    for (_, name) in listed {
        let name = escaped(name);
        let more = if named + 1 < all { 3 } else { 0 };
        let wide = name.chars().count() + if named > 0 { 2 } else { 0 };
        if columns + wide + more > room {
            break;
        }
        columns += wide;
        text.push_str(if named > 0 { ", " } else { "  " });
        text.push_str(&name);
        named += 1;
    }
    if named > 0 && named < all {
        text.push_str(", …");
    }
    let count = if named == all {
        group.items.len()
    } else {
        named
    };
    (text, count as u64)
}

fn order(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Modified | ChangeKind::Type | ChangeKind::Added => 0,
        ChangeKind::Renamed => 1,
        ChangeKind::Deleted => 2,
        ChangeKind::Metadata => 3,
    }
}

fn style(kind: ChangeKind) -> Style {
    let colour = match kind {
        ChangeKind::Added => AnsiColor::Green,
        ChangeKind::Deleted => AnsiColor::Red,
        ChangeKind::Renamed => AnsiColor::Cyan,
        ChangeKind::Modified | ChangeKind::Type => AnsiColor::Yellow,
        ChangeKind::Metadata => AnsiColor::Blue,
    };
    colour.on_default()
}

/// `/etc/fstab -> /etc/fstab.bak  mode 0644 -> 0600`.
fn line(item: &Item<'_>) -> String {
    let mut text = match &item.from {
        Some(from) => format!("{} -> {}", escaped(from), escaped(item.path)),
        None => escaped(item.path),
    };
    if item.look.kind == FileKind::Directory && !text.ends_with('/') {
        text.push('/');
    }
    if let Some(target) = item.target {
        text.push_str(&format!(" ~> {}", escaped(target)));
    }
    if let Some(kind) = &item.look.special {
        text.push_str(&format!("  {kind}"));
    }
    if !item.look.details.is_empty() {
        text.push_str("  ");
        text.push_str(&item.look.details);
    }
    text
}
