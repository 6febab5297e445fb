//! What people see: by volume, what matters first, and lines that sum to all bytes.

mod describe;
mod fields;
mod fold;
mod rows;
mod seen;
mod stat;
mod suspects;
mod tally;

use std::collections::BTreeMap;
use std::io::{Result, Write};

use anstyle::Style;
use hexz_resolve::Class;
use hexz_resolve::report::{
    Change, ChangeKind, ClassBytes, DiskRecord, Header, LayoutReport, Region, Report, Summary,
    VolumeRecord, VolumeStatus,
};

use crate::escape::escaped;
use crate::measure::content_bytes;
use crate::notable;
use crate::places::Places;
use crate::select::Selection;
use crate::text::{count, number, size};
use fold::fold;
use rows::Row;
use seen::{Item, List, Seen};
use suspects::Suspects;
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

/// What people are told, put together from changes as they are found.
#[derive(Clone, Debug)]
pub struct Human {
    selection: Selection,
    view: View,
    header: Header,
    volumes: Vec<VolumeRecord>,
    /// Bytes of changes that are kept; past that, they are counted only.
    room: usize,
    heard: Heard,
}

/// What was heard of some changes.
#[derive(Clone, Debug)]
pub struct Heard {
    volumes: BTreeMap<usize, OfVolume>,
    suspects: Suspects,
    /// Changes that were asked for.
    asked: u64,
}

/// What was heard of one volume.
#[derive(Clone, Debug, Default)]
struct OfVolume {
    seen: Seen,
    totals: Totals,
    /// Those that a person does not see.
    hidden: u64,
    /// Those that were only counted.
    counted: u64,
}

type Totals = BTreeMap<ChangeKind, Tally>;

impl Human {
    /// Tells what `selection` leaves of a diff, and keeps about `room` bytes of the changes.
    #[must_use]
    pub fn new(selection: Selection, view: View, room: usize) -> Self {
        Self {
            selection,
            view,
            header: Header::default(),
            volumes: Vec::new(),
            room,
            heard: Heard {
                volumes: BTreeMap::new(),
                suspects: Suspects::new(),
                asked: 0,
            },
        }
    }

    /// What is left of the changes.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Takes what is known before the first change.
    pub fn begin(&mut self, header: &Header, volumes: &[VolumeRecord], places: Places) {
        self.header = header.clone();
        self.volumes = volumes.to_vec();
        self.selection.places = places;
    }

    /// Hears of some changes.
    #[must_use]
    pub fn hear(&self, changes: &[Change]) -> Heard {
        let mut heard = Heard {
            volumes: BTreeMap::new(),
            suspects: self.heard.suspects.anew(),
            asked: 0,
        };
        for change in changes {
            heard.suspects.add(change, &self.selection.places);
            if !self.selection.in_paths(change) {
                continue;
            }
            heard.asked += 1;
            let volume = heard.volumes.entry(change.volume).or_default();
            if !self.selection.shows(change) {
                volume.hidden += 1;
                continue;
            }
            let tally = Tally::one(change.kind, content_bytes(change));
            *volume.totals.entry(change.change).or_default() += tally;
            volume.seen.add(change, &self.selection.places);
        }
        heard
    }

    /// Keeps what was heard of the next changes.
    pub fn keep(&mut self, heard: &Heard) {
        self.heard.suspects.append(&heard.suspects);
        self.heard.asked += heard.asked;
        for (index, part) in &heard.volumes {
            let volume = self.heard.volumes.entry(*index).or_default();
            volume.hidden += part.hidden;
            for (kind, tally) in &part.totals {
                *volume.totals.entry(*kind).or_default() += *tally;
            }
            if volume.seen.bytes() < self.room {
                volume.counted += volume.seen.append(&part.seen);
            } else {
                volume.counted += part.seen.all().len() as u64;
            }
        }
    }

    /// Whether any change was asked for.
    #[must_use]
    pub fn found(&self) -> bool {
        self.heard.asked > 0
    }

    /// Writes all of it with colours; whoever prints it strips them where they don't belong.
    ///
    /// # Errors
    /// Of `out`.
    pub fn end(&self, out: &mut dyn Write, regions: &[Region], summary: &Summary) -> Result<()> {
        let mut order: Vec<usize> = (0..self.volumes.len()).collect();
        order.sort_by_key(|v| std::cmp::Reverse(self.volumes.get(*v).map(|v| v.changed_blocks)));
        let mut unnamed = 0;
        let mut between = summary.classes.clone();
        let nothing = OfVolume::default();
        for index in order {
            let Some(volume) = self.volumes.get(index) else {
                continue;
            };
            for (class, sums) in &volume.classes {
                subtract(between.entry(*class).or_default(), sums);
            }
            let here = self.heard.volumes.get(&index);
            if volume.changed_blocks == 0 && here.is_none() {
                continue;
            }
            self.write_heading(out, index, volume)?;
            unnamed += self.write_changes(out, here.unwrap_or(&nothing))?;
            writeln!(out, "      {}", accounting(&volume.classes))?;
            self.write_fields(out, regions, Some(index))?;
        }
        if between.values().any(|sums| sums.bytes > 0) {
            writeln!(out, "outside the volumes")?;
            writeln!(out, "      {}", accounting(&between))?;
            self.write_fields(out, regions, None)?;
        }
        self.write_end(out, regions, summary, unnamed)
    }

    /// The fields that differ in the records of one volume, or outside of all.
    fn write_fields(
        &self,
        out: &mut dyn Write,
        regions: &[Region],
        volume: Option<usize>,
    ) -> Result<()> {
        match self.view.explain {
            true => fields::explain(out, regions.iter().filter(|r| r.volume == volume)),
            false => Ok(()),
        }
    }

    /// What is said of the whole.
    fn write_end(
        &self,
        out: &mut dyn Write,
        regions: &[Region],
        summary: &Summary,
        unnamed: u64,
    ) -> Result<()> {
        for line in self.heard.suspects.sentences(&self.header, summary) {
            writeln!(out, "{line}")?;
        }
        let none = summary.changes.values().all(|count| *count == 0);
        if none && summary.blocks == 0 {
            writeln!(out, "no changes")?;
        } else if none && summary.complete {
            writeln!(out, "{}", verdict(regions, summary))?;
        }
        if unnamed > 0 {
            let all = count(self.heard.asked, "change");
            writeln!(
                out,
                "{} of {all} not named: --all names each, --stat sums by directory",
                number(unnamed)
            )?;
        }
        if self.selection.all {
            writeln!(out, "{}", cost(summary))?;
        }
        if !summary.complete {
            writeln!(out, "this report is not complete: see the warnings")?;
        }
        Ok(())
    }

    /// Writes the changes of a volume. Gives how many of them have no name in the text.
    fn write_changes(&self, out: &mut dyn Write, here: &OfVolume) -> Result<u64> {
        let items = here.seen.all();
        let unnamed = match (self.view.stat, self.view.top) {
            (Some(depth), _) => {
                stat::write_tree(out, &items, depth, self.width())?;
                None
            }
            (None, Some(top)) => {
                stat::write_top(out, items, top)?;
                None
            }
            (None, None) => Some(self.write_list(out, items)?),
        };
        if here.counted > 0 {
            writeln!(
                out,
                "      {} more, which are in the next line only: --memory has room for more, \
                 --json for all",
                count(here.counted, "change")
            )?;
        }
        if !here.totals.is_empty() {
            writeln!(out, "      {}", totals(&here.totals))?;
        }
        Ok(unnamed.map_or(0, |unnamed| unnamed + here.hidden + here.counted))
    }

    fn write_list(&self, out: &mut dyn Write, items: List<'_>) -> Result<u64> {
        let (first, rest) = items.split(|i| i.look.notable.is_some());
        let mut unnamed = 0;
        let mut reasons: Vec<&str> = first.iter().filter_map(|i| i.look.notable).collect();
        reasons.sort_by_key(|reason| (notable::rank(reason), *reason));
        reasons.dedup();
        for reason in reasons {
            let (items, _) = first.clone().split(|i| i.look.notable == Some(reason));
            unnamed += self.write_rows(out, items, NOTABLE)?;
        }
        let is = |kind: ChangeKind| move |i: &Item<'_>| i.look.change == kind;
        let (new, rest) = rest.split(is(ChangeKind::Added));
        let (gone, changed) = rest.split(is(ChangeKind::Deleted));
        for (items, budget) in [(changed, CHANGED), (gone, GONE), (new, NEW)] {
            unnamed += self.write_rows(out, items, budget)?;
        }
        Ok(unnamed)
    }

    fn write_rows(&self, out: &mut dyn Write, items: List<'_>, budget: usize) -> Result<u64> {
        if self.selection.all {
            let mut items = items;
            items.sort(Row::order);
            items
                .iter()
                .try_for_each(|item| Row::one(&item).write(out))?;
            return Ok(0);
        }
        let reason = items.get(0).and_then(|i| i.look.notable);
        let lines = fold(items, budget);
        let row = |line| Row::of(line, self.width()).because(reason);
        let mut rows: Vec<Row> = lines.iter().map(row).collect();
        Row::sort(&mut rows);
        rows.iter().try_for_each(|row| row.write(out))?;
        Ok(rows.iter().map(|r| r.unnamed).sum())
    }

    fn width(&self) -> usize {
        self.view.width.unwrap_or(WIDTH)
    }

    fn write_heading(
        &self,
        out: &mut dyn Write,
        index: usize,
        volume: &VolumeRecord,
    ) -> Result<()> {
        let bold = Style::new().bold();
        let header = &self.header;
        let image = header.base.as_deref().or(header.overlay.as_deref());
        let image = image.map_or("disk", |i| i.rsplit('/').next().unwrap_or(i));
        let mut left = format!("{}  {}", escaped(image.as_bytes()), title(volume));
        let mount = self.selection.places.mount_of(index);
        if let Some(mount) = mount.filter(|m| *m != b"/") {
            left.push_str(&format!("  on {}", escaped(mount)));
        }
        let bytes: u64 = volume.classes.values().map(|c| c.bytes).sum();
        let right = format!("{}, {}", count(volume.changed_blocks, "block"), size(bytes));
        let wide = self.width().min(WIDTH);
        let pad = wide.saturating_sub(right.chars().count() + 16).min(66);
        writeln!(out, "{bold}{left:<pad$}{bold:#}  {right}")?;
        if let Some(reason) = &volume.reason {
            let (status, reason) = (volume.status.as_str(), escaped(reason.as_bytes()));
            writeln!(out, "      {status}: {reason}")?;
        }
        Ok(())
    }
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
    let mut human = Human::new(selection.clone(), view.clone(), usize::MAX);
    let places = selection.places.clone();
    human.begin(&report.header, &report.volumes, places);
    for changes in report.changes.chunks(256) {
        let heard = human.hear(changes);
        human.keep(&heard);
    }
    human.end(out, &report.regions, &report.summary)
}

/// That no file differs, and what does.
fn verdict(regions: &[Region], summary: &Summary) -> String {
    let classes = summary.classes.iter();
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
    let fields = fields::names(regions.iter());
    let fields = fields.map_or(String::new(), |fields| format!(" ({fields})"));
    format!("no file differs in content, name or attributes; what differs: {parts}{fields}")
}

/// `A 3 files, 1 directory, 422 KiB · M 4 files, 43 KiB`.
fn totals(totals: &Totals) -> String {
    let words = ChangeKind::ALL.iter().filter_map(|kind| {
        let tally = totals.get(kind)?;
        Some(format!("{} {}", kind.letter(), tally.whole()))
    });
    words.collect::<Vec<_>>().join(" · ")
}

fn subtract(from: &mut ClassBytes, part: &ClassBytes) {
    from.bytes = from.bytes.saturating_sub(part.bytes);
    from.changed = from.changed.saturating_sub(part.changed);
    from.identical = from.identical.saturating_sub(part.identical);
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
