//! What people see: by volume, what matters first, and lines that sum to all bytes.

mod describe;
mod fields;
mod fold;
mod rows;
mod stat;
mod suspects;
mod tally;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Result, Write};

use anstyle::Style;
use hexz_resolve::Class;
use hexz_resolve::report::{
    Change, ChangeKind, ClassBytes, DiskRecord, LayoutReport, Report, Summary, VolumeRecord,
    VolumeStatus,
};

use crate::escape::escaped;
use crate::notable;
use crate::select::Selection;
use crate::text::{count, number, size};
use fold::fold;
use rows::Row;
use tally::Tally;

pub(crate) use describe::details as describe_change;

/// Columns where the width of the terminal is not known.
const WIDTH: usize = 100;

/// Lines of each part of the report of a volume, as long as not everything is shown.
const CHANGED: usize = 36;
const GONE: usize = 12;
const NEW: usize = 24;
/// Lines for one reason to be notable.
const NOTABLE: usize = 6;

/// How a person wants to see a report.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Columns of the terminal, where there is one.
    pub width: Option<usize>,
    /// Bytes by directory, to so many levels, in place of the list of changes.
    pub stat: Option<usize>,
    /// So many of the largest changes, in place of the list.
    pub top: Option<usize>,
    /// The fields of on-disk records that differ, too.
    pub explain: bool,
}

/// A change as a person sees it.
struct Item<'a> {
    change: &'a Change,
    path: Cow<'a, [u8]>,
    from: Option<Cow<'a, [u8]>>,
    notable: Option<&'static str>,
}

/// Writes `report` with colours; whoever prints it strips them where they don't belong.
///
/// # Errors
/// Of `out`.
pub fn write_human(
    out: &mut dyn Write,
    report: &Report,
    selection: &Selection,
    view: &View,
) -> Result<()> {
    let mut order: Vec<usize> = (0..report.volumes.len()).collect();
    order.sort_by_key(|v| std::cmp::Reverse(report.volumes.get(*v).map(|v| v.changed_blocks)));
    let mut unnamed = 0;
    let mut between = report.summary.classes.clone();
    for index in order {
        let Some(volume) = report.volumes.get(index) else {
            continue;
        };
        for (class, sums) in &volume.classes {
            subtract(between.entry(*class).or_default(), sums);
        }
        let here: Vec<&Change> = report
            .changes
            .iter()
            .filter(|c| c.volume == index && selection.in_paths(c))
            .collect();
        if volume.changed_blocks == 0 && here.is_empty() {
            continue;
        }
        write_heading(out, report, index, selection, view)?;
        let part = Part {
            volume: index,
            selection,
            view,
        };
        unnamed += part.write(out, &here)?;
        writeln!(out, "      {}", accounting(&volume.classes))?;
        write_fields(out, report, view, Some(index))?;
    }
    if between.values().any(|sums| sums.bytes > 0) {
        writeln!(out, "outside the volumes")?;
        writeln!(out, "      {}", accounting(&between))?;
        write_fields(out, report, view, None)?;
    }
    write_end(out, report, selection, unnamed)
}

/// The fields that differ in the records of one volume, or outside of all.
fn write_fields(
    out: &mut dyn Write,
    report: &Report,
    view: &View,
    volume: Option<usize>,
) -> Result<()> {
    match view.explain {
        true => fields::explain(out, report.regions.iter().filter(|r| r.volume == volume)),
        false => Ok(()),
    }
}

/// What is said of the whole.
fn write_end(
    out: &mut dyn Write,
    report: &Report,
    selection: &Selection,
    unnamed: u64,
) -> Result<()> {
    for line in suspects::sentences(report, &selection.places) {
        writeln!(out, "{line}")?;
    }
    if report.changes.is_empty() && report.summary.blocks == 0 {
        writeln!(out, "no changes")?;
    } else if report.changes.is_empty() && report.summary.complete {
        writeln!(out, "{}", verdict(report))?;
    }
    if unnamed > 0 {
        let all = report.changes.iter().filter(|c| selection.in_paths(c));
        let all = count(all.count() as u64, "change");
        writeln!(
            out,
            "{} of {all} not named: --all names each, --stat sums by directory",
            number(unnamed)
        )?;
    }
    if selection.all {
        writeln!(out, "{}", cost(&report.summary))?;
    }
    if !report.summary.complete {
        writeln!(out, "this report is not complete: see the warnings")?;
    }
    Ok(())
}

/// That no file differs, and what does.
fn verdict(report: &Report) -> String {
    let classes = report.summary.classes.iter();
    let mut parts: Vec<(u64, &str)> = classes
        .map(|(class, sums)| (sums.changed, class.as_str()))
        .filter(|(bytes, _)| *bytes > 0)
        .collect();
    if parts.is_empty() {
        return "no file differs: the blocks hold what they held".to_owned();
    }
    parts.sort_by_key(|(bytes, name)| (std::cmp::Reverse(*bytes), *name));
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(bytes, name)| format!("{name} {}", size(bytes)))
        .collect();
    let parts = parts.join(", ");
    let fields = fields::names(report.regions.iter());
    let fields = fields.map_or(String::new(), |fields| format!(" ({fields})"));
    format!("no file differs in content, name or attributes; what differs: {parts}{fields}")
}

/// The part of the report that is about one volume.
struct Part<'p> {
    volume: usize,
    selection: &'p Selection,
    view: &'p View,
}

impl Part<'_> {
    /// Writes the changes of `here`. Gives how many of them have no name in the text.
    fn write(&self, out: &mut dyn Write, here: &[&Change]) -> Result<u64> {
        let places = &self.selection.places;
        let shown: Vec<&Change> = here
            .iter()
            .copied()
            .filter(|c| self.selection.shows(c))
            .collect();
        let hidden = (here.len() - shown.len()) as u64;
        let items: Vec<Item<'_>> = shown
            .iter()
            .map(|change| Item {
                notable: places.notable(change),
                path: places.shown(self.volume, &change.path),
                from: change
                    .from
                    .as_deref()
                    .map(|from| places.shown(self.volume, from)),
                change,
            })
            .collect();
        let unnamed = match (self.view.stat, self.view.top) {
            (Some(depth), _) => {
                stat::write_tree(out, &items, depth, self.width())?;
                None
            }
            (None, Some(top)) => {
                stat::write_top(out, &items, top)?;
                None
            }
            (None, None) => Some(self.write_list(out, items)?),
        };
        if !shown.is_empty() {
            writeln!(out, "      {}", totals(&shown))?;
        }
        Ok(unnamed.map_or(0, |unnamed| unnamed + hidden))
    }

    fn write_list(&self, out: &mut dyn Write, items: Vec<Item<'_>>) -> Result<u64> {
        let (first, rest): (Vec<_>, Vec<_>) = items.into_iter().partition(|i| i.notable.is_some());
        let mut unnamed = 0;
        let mut by_reason: BTreeMap<(usize, &str), Vec<Item<'_>>> = BTreeMap::new();
        for item in first {
            let reason = item.notable.unwrap_or_default();
            let key = (notable::rank(reason), reason);
            by_reason.entry(key).or_default().push(item);
        }
        for items in by_reason.into_values() {
            unnamed += self.write_rows(out, &items, NOTABLE)?;
        }
        let is = |kind: ChangeKind| move |i: &Item<'_>| i.change.change == kind;
        let (new, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(is(ChangeKind::Added));
        let (gone, changed): (Vec<_>, Vec<_>) = rest.into_iter().partition(is(ChangeKind::Deleted));
        for (items, budget) in [(changed, CHANGED), (gone, GONE), (new, NEW)] {
            unnamed += self.write_rows(out, &items, budget)?;
        }
        Ok(unnamed)
    }

    fn write_rows(&self, out: &mut dyn Write, items: &[Item<'_>], budget: usize) -> Result<u64> {
        let reason = items.first().and_then(|i| i.notable);
        let mut rows: Vec<Row> = match self.selection.all {
            true => items.iter().map(Row::one).collect(),
            false => fold(items, budget)
                .iter()
                .map(|line| Row::of(line, self.width()).because(reason))
                .collect(),
        };
        Row::sort(&mut rows);
        rows.iter().try_for_each(|row| row.write(out))?;
        Ok(rows.iter().map(|r| r.unnamed).sum())
    }

    fn width(&self) -> usize {
        self.view.width.unwrap_or(WIDTH)
    }
}

/// `A 3 files, 1 directory, 422 KiB · M 4 files, 43 KiB`.
fn totals(changes: &[&Change]) -> String {
    let mut by_kind: BTreeMap<u8, (ChangeKind, Tally)> = BTreeMap::new();
    for change in changes {
        let kind = change.change;
        let order = ChangeKind::ALL.iter().position(|k| *k == kind);
        let order = u8::try_from(order.unwrap_or_default()).unwrap_or_default();
        let (_, tally) = by_kind.entry(order).or_insert((kind, Tally::default()));
        *tally += Tally::of(change);
    }
    let words = by_kind
        .into_values()
        .map(|(kind, tally)| format!("{} {}", kind.letter(), tally.whole()));
    words.collect::<Vec<_>>().join(" · ")
}

fn subtract(from: &mut ClassBytes, part: &ClassBytes) {
    from.bytes = from.bytes.saturating_sub(part.bytes);
    from.changed = from.changed.saturating_sub(part.changed);
    from.identical = from.identical.saturating_sub(part.identical);
}

fn write_heading(
    out: &mut dyn Write,
    report: &Report,
    index: usize,
    selection: &Selection,
    view: &View,
) -> Result<()> {
    let Some(volume) = report.volumes.get(index) else {
        return Ok(());
    };
    let bold = Style::new().bold();
    let image = report
        .header
        .base
        .as_deref()
        .or(report.header.overlay.as_deref());
    let image = image.map_or("disk", |i| i.rsplit('/').next().unwrap_or(i));
    let mut left = format!("{}  {}", escaped(image.as_bytes()), title(volume));
    if let Some(mount) = selection.places.mount_of(index).filter(|m| *m != b"/") {
        left.push_str(&format!("  on {}", escaped(mount)));
    }
    let bytes: u64 = volume.classes.values().map(|c| c.bytes).sum();
    let right = format!("{}, {}", count(volume.changed_blocks, "block"), size(bytes));
    let wide = view.width.unwrap_or(WIDTH).min(WIDTH);
    let pad = wide.saturating_sub(right.chars().count() + 16).min(66);
    writeln!(out, "{bold}{left:<pad$}{bold:#}  {right}")?;
    if let Some(reason) = &volume.reason {
        writeln!(
            out,
            "      {}: {}",
            volume.status.as_str(),
            escaped(reason.as_bytes())
        )?;
    }
    Ok(())
}

/// `p2 ext4 "root"  (journal: 3 transactions replayed)`
fn title(volume: &VolumeRecord) -> String {
    let mut text = escaped(volume.volume.as_bytes());
    if let Some(filesystem) = volume.filesystem {
        text.push_str(&format!(" {filesystem}"));
    }
    if let Some(label) = volume
        .label
        .as_deref()
        .or(volume.name.as_deref().map(str::as_bytes))
    {
        text.push_str(&format!(" \"{}\"", escaped(label)));
    }
    if !volume.disks.is_empty() {
        let disks: Vec<String> = volume.disks.iter().map(u32::to_string).collect();
        text.push_str(&format!("  (on disks {})", disks.join(", ")));
    }
    if volume.transactions_replayed > 0 {
        let replayed = count(volume.transactions_replayed, "transaction");
        text.push_str(&format!("  (journal: {replayed} replayed)"));
    } else if volume.state == Some(hexz_resolve::FsState::NeedsRecovery) {
        text.push_str("  (needs recovery)");
    }
    text
}

/// What the answer cost: `read 10.3 MiB in 84 requests, 0.12 s`.
fn cost(summary: &Summary) -> String {
    let read = format!(
        "read {} in {}",
        size(summary.bytes_read),
        count(summary.requests, "request")
    );
    match summary.elapsed {
        Some(time) => format!("{read}, {:.2} s", time.as_secs_f64()),
        None => read,
    }
}

/// One line that sums to all bytes: identical blocks apart, unresolved always there.
pub(crate) fn accounting(classes: &BTreeMap<Class, ClassBytes>) -> String {
    let mut parts: Vec<(u64, &str)> = classes
        .iter()
        .filter(|(class, _)| **class != Class::Unresolved)
        .map(|(class, sums)| (sums.bytes - sums.identical, class.as_str()))
        .filter(|(bytes, _)| *bytes > 0)
        .collect();
    parts.sort_by_key(|(bytes, name)| (std::cmp::Reverse(*bytes), *name));
    let mut words: Vec<String> = parts
        .into_iter()
        .map(|(bytes, name)| format!("{name} {}", size(bytes)))
        .collect();
    let identical: u64 = classes.values().map(|c| c.identical).sum();
    if identical > 0 {
        words.push(format!("identical {}", size(identical)));
    }
    let unresolved = classes
        .get(&Class::Unresolved)
        .map_or(0, |c| c.bytes - c.identical);
    words.push(match unresolved {
        0 => "unresolved 0".to_owned(),
        bytes => format!("unresolved {}", size(bytes)),
    });
    words.join(" · ")
}

/// Partitions and filesystems, a line each.
///
/// # Errors
/// Of `out`.
pub fn write_layout(out: &mut dyn Write, report: &LayoutReport) -> Result<()> {
    let mut lines: Vec<(Option<u32>, u64, String)> = report
        .volumes
        .iter()
        .map(|v| {
            let mut text = title(v);
            if v.status != VolumeStatus::Resolved {
                let reason = v.reason.as_deref().unwrap_or_default();
                text.push_str(&format!(
                    "  {}: {}",
                    v.status.as_str(),
                    escaped(reason.as_bytes())
                ));
            }
            if let Some(kind) = &v.partition_type {
                text.push_str(&format!("  [{}]", escaped(kind.as_bytes())));
            }
            if let Some(uuid) = &v.uuid {
                text.push_str(&format!("  {}", escaped(uuid.as_bytes())));
            }
            (v.disk, v.start, row_of(v.start, v.length, &text))
        })
        .collect();
    lines.extend(report.regions.iter().map(|r| {
        let text = if r.detail.is_empty() {
            r.class.as_str()
        } else {
            r.detail
        };
        (r.disk, r.start, row_of(r.start, r.length, text))
    }));
    lines.sort();
    let first = DiskRecord {
        size: report.header.disk_size,
        ..DiskRecord::default()
    };
    let disks = match &report.header.disks[..] {
        [] => std::slice::from_ref(&first),
        disks => disks,
    };
    for disk in disks {
        let number = Some(disk.disk).filter(|number| *number > 0);
        let shown = number.map_or(String::new(), |number| format!(" {number}"));
        writeln!(
            out,
            "disk{shown} of {} ({} bytes)",
            size(disk.size),
            disk.size
        )?;
        for (_, _, line) in lines.iter().filter(|(on, ..)| *on == number) {
            writeln!(out, "{line}")?;
        }
    }
    for candidate in &report.candidates {
        let mark = if candidate.chosen { "*" } else { " " };
        let at = candidate
            .offset
            .map_or(String::new(), |at| match candidate.disk {
                Some(disk) => format!(" at {disk}:{at}"),
                None => format!(" at {at}"),
            });
        writeln!(
            out,
            "{mark} {}: {} ({}{at}): {}",
            escaped(candidate.volume.as_bytes()),
            candidate.name,
            candidate.confidence,
            escaped(candidate.reason.as_bytes())
        )?;
    }
    Ok(())
}

fn row_of(start: u64, length: u64, text: &str) -> String {
    format!("{start:>16} {:>10}  {text}", size(length))
}
