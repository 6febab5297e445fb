//! `hexz diff --verify`: each reported range of a file, read again through other parsers.

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hexz_extract::Moved;
use hexz_report::escaped;
use hexz_resolve::engine::OpenDisk;
use hexz_resolve::report::{ChangeKind, Report};
use hexz_resolve::{Disks, FileKind, FsState, ReadAt, View};
use hexz_verify::{Asked, Outcome, Parser, Range};

use crate::file_args::VERIFY_CHILD;

/// So many differences are named.
const NAMED: usize = 20;

/// Verifies the ranges of both views. Gives whether no difference was found.
pub(crate) fn verify(
    report: &Report,
    views: [(&OpenDisk<'_>, &Arc<dyn ReadAt>); 2],
    disks: &Disks,
) -> Result<bool> {
    let mut agreed = true;
    for (index, record) in report.volumes.iter().enumerate() {
        let mut all = Outcome::default();
        for (disk, bytes) in views {
            let view = disk.view();
            let ranges = ranges(report, index, view, disks, &mut all);
            let Some(volume) = disk.volumes().find(|v| v.name() == record.volume) else {
                all.skip("the volume is not there", count(&ranges));
                continue;
            };
            let Some(fs) = volume.filesystem().filter(|_| !ranges.is_empty()) else {
                all.skip("no filesystem", count(&ranges));
                continue;
            };
            let info = fs.info();
            let Some(parser) = Parser::of(info.filesystem) else {
                let reason = format!("no other parser for {}", info.filesystem);
                all.skip(reason, count(&ranges));
                continue;
            };
            let mut child = Command::new(std::env::current_exe().context("this program")?);
            child.arg(VERIFY_CHILD);
            let device = volume.device();
            let asked = Asked {
                child,
                parser,
                volume: &*device,
                disk: &**bytes,
            };
            let mut found = hexz_verify::verify(asked, &ranges)
                .context("cannot start the process that verifies")?;
            let journal = !fs.replayed().ranges.is_empty() || info.state != FsState::Clean;
            if journal {
                // It may read what the journal is still to change.
                all.skip("the journal is to be replayed", count(&found.differ));
                found.differ.clear();
            }
            all.verified += found.verified;
            all.differ.extend(found.differ);
            for (reason, ranges) in found.unverified {
                all.skip(reason, ranges);
            }
        }
        agreed &= all.differ.is_empty();
        say(&record.volume, &all, disks);
    }
    Ok(agreed)
}

fn count(ranges: &[Range]) -> u64 {
    ranges.len() as u64
}

/// The ranges of one view of one volume; those that can't be compared are noted.
fn ranges(
    report: &Report,
    volume: usize,
    view: View,
    disks: &Disks,
    all: &mut Outcome,
) -> Vec<Range> {
    let mut out = Vec::new();
    let changes = || report.changes.iter().filter(|c| c.volume == volume);
    let moved = Moved::of(changes());
    for change in changes() {
        let attributes = match view {
            View::Base => &change.base,
            View::Merged => &change.merged,
        };
        let path = match (view, &change.from) {
            (View::Base, Some(from)) => from.clone(),
            (View::Base, None) if change.change != ChangeKind::Deleted => {
                moved.origin(&change.path)
            }
            _ => change.path.clone(),
        };
        for range in change.ranges.iter().filter(|r| r.view == view) {
            let Some(file_offset) = range.file_offset else {
                all.skip("compressed or encrypted", 1);
                continue;
            };
            let Some(file) = attributes.as_ref().filter(|a| a.kind == FileKind::File) else {
                all.skip("the file was not examined in this view", 1);
                continue;
            };
            // Where there are several disks, it counts on one of them.
            let in_space = range.disk.map_or(Some(range.disk_offset), |disk| {
                disks.offset(disk, range.disk_offset)
            });
            let Some(disk_offset) = in_space else {
                all.skip("it lies on no disk", 1);
                continue;
            };
            out.push(Range {
                path: path.clone(),
                number: file.key.number,
                stream: range
                    .stream
                    .as_ref()
                    .map_or_else(Vec::new, |s| s.as_bytes().to_vec()),
                file_offset,
                length: range.length,
                disk_offset,
            });
        }
    }
    out
}

fn say(volume: &str, outcome: &Outcome, disks: &Disks) {
    let Outcome {
        verified,
        differ,
        unverified,
    } = outcome;
    if *verified == 0 && differ.is_empty() && unverified.is_empty() {
        return;
    }
    let volume = escaped(volume.as_bytes());
    let skipped: u64 = unverified.values().sum();
    eprintln!(
        "hexz: verified {volume}: {verified} ranges are equal, {} differ, {skipped} were not compared",
        differ.len()
    );
    for (reason, ranges) in unverified {
        eprintln!(
            "hexz:   {ranges} not compared: {}",
            escaped(reason.as_bytes())
        );
    }
    for range in differ.iter().take(NAMED) {
        let (disk, at) = disks.place(range.disk_offset);
        let disk = disk.map_or_else(|| "the disk".to_owned(), |number| format!("disk {number}"));
        eprintln!(
            "hexz: error: {volume}:{} at {}: {} bytes at byte {at} of {disk} are not those of the file",
            escaped(&range.path),
            range.file_offset,
            range.length,
        );
    }
}
