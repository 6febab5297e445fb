//! What people see: by volume, the biggest change first, and a line that sums to all bytes.

use std::collections::BTreeMap;
use std::io::{Result, Write};

use anstyle::{AnsiColor, Style};
use hexz_resolve::Class;
use hexz_resolve::report::{
    Change, ChangeKind, ClassBytes, LayoutReport, Report, VolumeRecord, VolumeStatus,
};

use crate::escape::escaped;
use crate::select::Selection;
use crate::text::{count, size};

/// So many alike in one directory become one line.
const GROUP: usize = 5;

/// Writes `report` with colours; whoever prints it strips them where they don't belong.
///
/// # Errors
/// Of `out`.
pub fn write_human(out: &mut dyn Write, report: &Report, selection: &Selection) -> Result<()> {
    let mut order: Vec<usize> = (0..report.volumes.len()).collect();
    order.sort_by_key(|v| std::cmp::Reverse(report.volumes.get(*v).map(|v| v.changed_blocks)));
    let mut hidden = 0;
    let mut between = report.summary.classes.clone();
    for index in order {
        let Some(volume) = report.volumes.get(index) else {
            continue;
        };
        let here: Vec<&Change> = report
            .changes
            .iter()
            .filter(|c| c.volume == index && selection.in_paths(c))
            .collect();
        for (class, sums) in &volume.classes {
            subtract(between.entry(*class).or_default(), sums);
        }
        if volume.changed_blocks == 0 && here.is_empty() {
            continue;
        }
        write_heading(out, report, volume)?;
        let shown: Vec<&Change> = here
            .iter()
            .copied()
            .filter(|c| selection.shows(c))
            .collect();
        hidden += here.len() - shown.len();
        let mut rows = rows(&shown, selection);
        rows.sort_by(|a, b| (b.bytes, a.order, &a.text).cmp(&(a.bytes, b.order, &b.text)));
        for row in rows {
            let style = style(row.kind);
            let bytes = row.bytes.map_or_else(|| "-".to_owned(), size);
            let letter = row.kind.letter();
            writeln!(out, "  {style}{letter}{style:#} {bytes:>9}  {}", row.text)?;
        }
        writeln!(out, "      {}", accounting(&volume.classes))?;
    }
    if between.values().any(|sums| sums.bytes > 0) {
        writeln!(out, "outside the volumes")?;
        writeln!(out, "      {}", accounting(&between))?;
    }
    if report.changes.is_empty() && report.summary.blocks == 0 {
        writeln!(out, "no changes")?;
    }
    if hidden > 0 {
        writeln!(
            out,
            "{} not shown: --all shows all",
            count(hidden as u64, "change")
        )?;
    }
    if !report.summary.complete {
        writeln!(out, "this report is not complete: see the warnings")?;
    }
    Ok(())
}

fn subtract(from: &mut ClassBytes, part: &ClassBytes) {
    from.bytes = from.bytes.saturating_sub(part.bytes);
    from.changed = from.changed.saturating_sub(part.changed);
    from.identical = from.identical.saturating_sub(part.identical);
}

fn write_heading(out: &mut dyn Write, report: &Report, volume: &VolumeRecord) -> Result<()> {
    let bold = Style::new().bold();
    let image = report
        .header
        .base
        .as_deref()
        .or(report.header.overlay.as_deref());
    let image = image.map_or("disk", |i| i.rsplit('/').next().unwrap_or(i));
    let left = format!("{}  {}", escaped(image.as_bytes()), title(volume));
    let bytes: u64 = volume.classes.values().map(|c| c.bytes).sum();
    let right = format!("{}, {}", count(volume.changed_blocks, "block"), size(bytes));
    writeln!(out, "{bold}{left:<66}{bold:#}  {right}")?;
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
    if volume.transactions_replayed > 0 {
        let replayed = count(volume.transactions_replayed, "transaction");
        text.push_str(&format!("  (journal: {replayed} replayed)"));
    } else if volume.state == Some(hexz_resolve::FsState::NeedsRecovery) {
        text.push_str("  (needs recovery)");
    }
    text
}

struct Row {
    kind: ChangeKind,
    /// Behind what has a size: renamed, deleted, metadata.
    order: u8,
    bytes: Option<u64>,
    text: String,
}

fn rows(changes: &[&Change], selection: &Selection) -> Vec<Row> {
    let mut groups: BTreeMap<(ChangeKind, &[u8], String), Vec<&Change>> = BTreeMap::new();
    for change in changes {
        let alike = !selection.all
            && matches!(
                change.change,
                ChangeKind::Metadata | ChangeKind::Added | ChangeKind::Deleted
            );
        // What does not group stands alone under its whole path.
        let place = if alike {
            directory(&change.path)
        } else {
            &change.path
        };
        groups
            .entry((change.change, place, attributes(change)))
            .or_default()
            .push(change);
    }
    let mut rows = Vec::new();
    for ((kind, place, attributes), members) in groups {
        if members.len() < GROUP {
            rows.extend(members.into_iter().map(row));
            continue;
        }
        let files = count(members.len() as u64, "file");
        let what = if attributes.is_empty() {
            String::new()
        } else {
            format!(": {attributes}")
        };
        rows.push(Row {
            kind,
            order: order(kind),
            bytes: members.iter().map(|c| bytes(c)).sum(),
            text: format!("{}/  {files}{what}", escaped(place)),
        });
    }
    rows
}

fn row(change: &Change) -> Row {
    let mut text = match &change.from {
        Some(from) => format!("{} -> {}", escaped(from), escaped(&change.path)),
        None => escaped(&change.path),
    };
    let target = change.merged.as_ref().and_then(|a| a.target.as_ref());
    if let (Some(target), true) = (target, change.content_changed) {
        text.push_str(&format!(" ~> {}", escaped(target.as_bytes())));
    }
    let attributes = attributes(change);
    if change.change == ChangeKind::Metadata && !attributes.is_empty() {
        text.push_str(&format!("  {attributes}"));
    }
    Row {
        kind: change.change,
        order: order(change.change),
        bytes: bytes(change),
        text,
    }
}

/// The attributes a person wants to know of.
fn attributes(change: &Change) -> String {
    if change.change != ChangeKind::Metadata {
        return String::new();
    }
    let mut names: Vec<&str> = change.attributes.clone();
    if names.iter().any(|n| !matches!(*n, "atime" | "ctime")) {
        names.retain(|n| !matches!(*n, "atime" | "ctime"));
    }
    if change.replaced {
        names.insert(0, "replaced");
    }
    names.join(" ")
}

/// The size of what came; of what was modified the bytes in changed blocks.
fn bytes(change: &Change) -> Option<u64> {
    match change.change {
        ChangeKind::Added => change.merged.as_ref().map(|a| a.size),
        ChangeKind::Modified | ChangeKind::Type => {
            Some(change.ranges.iter().map(|r| r.length).sum()).filter(|sum| *sum > 0)
        }
        _ => None,
    }
}

fn order(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Modified | ChangeKind::Type | ChangeKind::Added => 0,
        ChangeKind::Renamed => 1,
        ChangeKind::Deleted => 2,
        ChangeKind::Metadata => 3,
    }
}

fn directory(path: &[u8]) -> &[u8] {
    path.iter()
        .rposition(|b| *b == b'/')
        .and_then(|at| path.get(..at))
        .unwrap_or_default()
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
    writeln!(
        out,
        "disk of {} ({} bytes)",
        size(report.header.disk_size),
        report.header.disk_size
    )?;
    let mut lines: Vec<(u64, String)> = report
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
            (v.start, row_of(v.start, v.length, &text))
        })
        .collect();
    lines.extend(report.regions.iter().map(|r| {
        let text = if r.detail.is_empty() {
            r.class.as_str()
        } else {
            r.detail
        };
        (r.start, row_of(r.start, r.length, text))
    }));
    lines.sort();
    lines
        .into_iter()
        .try_for_each(|(_, line)| writeln!(out, "{line}"))
}

fn row_of(start: u64, length: u64, text: &str) -> String {
    format!("{start:>16} {:>10}  {text}", size(length))
}
