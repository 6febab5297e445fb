//! `hexz owner --lists`: one map of a disk, many lists of changed blocks.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hexz_fleet::{Answer, DiskMap, Mapper, Total};
use hexz_report::{LineStarts, ListPiece, SumLines, escaped};
use hexz_resolve::engine::visit_owners;
use hexz_resolve::{
    ByteRange, ChangeSource as _, Diagnostics, Limits, RangeSet, Registry, Threads,
};
use hexz_source::ExtentList;
use hexz_source::meta::read_index;

use crate::args::OwnerArgs;
use crate::behind::Behind;
use crate::disks;
use crate::output;
use crate::progress::Bar;
use crate::sources;
use crate::status::{self, Outcome};

/// Lists that are looked up together have so many bytes at most, but for one that is longer,
const TOGETHER: u64 = 4 << 20;
/// and there are so many of them at most.
const MOST: usize = 32;
/// So many bytes have lists that a thread answers at a time where each piece is told: they gain
/// nothing by each other.
const APART: u64 = 256 << 10;
/// Answers that may wait to be written: each may be of many megabytes.
const WAITING: usize = 4;
/// Sums whose lines are written for all lists that are looked up together before the next ones are:
/// what is said of them stays in a near cache then.
const TILE: usize = 8192;

/// The command line.
pub(crate) fn command(registry: &Registry, args: &OwnerArgs, lists: &Path) -> Result<ExitCode> {
    let lists = named(lists)?;
    let (map, outcome) = map(registry, args)?;
    let maker = Maker::new(&map, args);
    let threads = Threads::new(args.engine.threads)?;
    let bytes = if args.json { APART } else { TOGETHER };
    let mut shares = Vec::new();
    let mut left = lists.as_slice();
    while !left.is_empty() {
        let share;
        (share, left) = left.split_at(together(left, bytes));
        shares.push(share);
    }
    let mut out = Behind::new(WAITING, || Box::new(io::stdout()));
    let mut failed = 0;
    threads.in_turn(
        &shares,
        2 * threads.count(),
        |share| maker.answers(share),
        |_, answers: Result<Answers>| {
            let Answers { texts, errors } = answers?;
            failed += errors.len();
            for error in errors {
                eprintln!("hexz: error: {error}");
            }
            anyhow::Ok(texts.into_iter().try_for_each(|text| out.hand(text))?)
        },
    )?;
    out.end()?;
    if failed > 0 {
        return Ok(ExitCode::from(2));
    }
    Ok(outcome.code(false, args.engine.partial_ok))
}

/// How many of the first of `lists` have `most` bytes together, and at least one.
fn together(lists: &[PathBuf], most: u64) -> usize {
    let mut bytes = 0u64;
    let more = |list: &&PathBuf| {
        let first = bytes == 0;
        // One that is not there says so when it is read.
        let length = fs::metadata(list).map_or(0, |list| list.len());
        bytes = bytes.saturating_add(length.max(1));
        first || bytes <= most
    };
    lists.iter().take(MOST).take_while(more).count()
}

/// The map of the whole disk, and whether all of it could be read.
fn map(registry: &Registry, args: &OwnerArgs) -> Result<(DiskMap, Outcome)> {
    let diagnostics = Diagnostics::new();
    disks::one_only(&args.engine, "--lists")?;
    let disk = sources::image(&args.image, &args.engine, &diagnostics)?;
    let progress = Bar::new();
    let options = sources::options(registry, &args.engine, &progress);
    let whole = ByteRange::new(0, disk.len()).into();
    let mut mapper = Mapper::new();
    let found = visit_owners(&disk, &whole, &options, &mut mapper);
    progress.finish();
    let mut end = found?;
    end.diagnostics.splice(0..0, diagnostics.take());
    output::tell(&end.diagnostics);
    status::say_coverage(&end.summary);
    Ok((mapper.finish()?, Outcome::of_owners(&end)))
}

/// The lists: the files of a folder by name, or those that the lines of a file name.
fn named(lists: &Path) -> Result<Vec<PathBuf>> {
    let reading = || format!("cannot read {}", lists.display());
    let mut found = Vec::new();
    if fs::metadata(lists).with_context(reading)?.is_dir() {
        for entry in fs::read_dir(lists).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            if entry.file_type().with_context(reading)?.is_file() {
                found.push(entry.path());
            }
        }
        found.sort();
    } else {
        let folder = lists.parent().unwrap_or(Path::new(""));
        for line in BufReader::new(fs::File::open(lists).with_context(reading)?).lines() {
            let line = line.with_context(reading)?;
            if !line.trim().is_empty() {
                found.push(folder.join(line.trim()));
            }
        }
    }
    anyhow::ensure!(!found.is_empty(), "{} names no list", lists.display());
    Ok(found)
}

/// What is said of some lists.
#[derive(Default)]
struct Answers {
    /// Of each list.
    texts: Vec<Vec<u8>>,
    errors: Vec<String>,
}

/// Makes the answers for lists.
struct Maker<'a> {
    map: &'a DiskMap,
    args: &'a OwnerArgs,
    lines: SumLines,
}

impl<'a> Maker<'a> {
    fn new(map: &'a DiskMap, args: &'a OwnerArgs) -> Self {
        let mut maker = Self {
            map,
            args,
            lines: SumLines::default(),
        };
        if !args.json {
            for answer in (0..).map_while(|number| map.answer(number)) {
                let volume = maker.volume(&answer);
                maker
                    .lines
                    .add(volume, answer.class.as_str(), answer.path());
            }
        }
        maker
    }

    /// Answers `lists`.
    fn answers(&self, lists: &[PathBuf]) -> Result<Answers> {
        let mut answers = Answers::default();
        let (mut names, mut ranges) = (Vec::new(), Vec::new());
        for list in lists {
            let name = list.to_string_lossy();
            let mut text = Vec::new();
            match self.read(list) {
                Ok(found) if self.args.json => self.pieces(&mut text, &name, &found)?,
                Ok(found) => {
                    names.push(self.lines.starting(&escaped(name.as_bytes())));
                    ranges.push(found);
                    continue;
                }
                Err(error) => {
                    let error = format!("{name}: {error:#}");
                    if self.args.json {
                        hexz_report::write_list_error(&mut text, &name, &error)?;
                    }
                    answers.errors.push(escaped(error.as_bytes()));
                }
            }
            answers.texts.push(text);
        }
        let sums = self.map.sums(&ranges);
        let sums = sums.iter().map(Vec::as_slice).collect();
        answers.texts.append(&mut self.lines_of(&names, sums));
        Ok(answers)
    }

    /// The lines of the sums of each list.
    fn lines_of(&self, lists: &[LineStarts], mut sums: Vec<&[Total]>) -> Vec<Vec<u8>> {
        let mut texts = vec![Vec::new(); lists.len()];
        let mut end = 0;
        while sums.iter().any(|sums| !sums.is_empty()) {
            end += TILE;
            for ((list, left), text) in lists.iter().zip(&mut sums).zip(&mut texts) {
                let here = left.iter().take_while(|total| total.answer < end).count();
                let (totals, behind) = left.split_at(here);
                let numbered = totals.iter().map(|total| (total.answer, total.bytes));
                self.lines.write(text, list, numbered);
                *left = behind;
            }
        }
        texts
    }

    /// A line of JSON for each piece.
    fn pieces(&self, text: &mut Vec<u8>, list: &str, ranges: &RangeSet) -> io::Result<()> {
        let mut written = Ok(());
        self.map.pieces(ranges, |piece| {
            let Some(answer) = self.map.answer(piece.answer) else {
                return;
            };
            let piece = ListPiece {
                list,
                volume: self.volume(&answer),
                start: piece.range.start(),
                length: piece.range.len(),
                class: answer.class.as_str(),
                paths: answer.paths().collect(),
                file_offset: piece.file_offset,
            };
            if written.is_ok() {
                written = hexz_report::write_list_piece(text, &piece);
            }
        });
        written
    }

    fn volume(&self, answer: &Answer<'_>) -> Option<&'a str> {
        let name = self.map.volumes().get(answer.volume?)?;
        Some(name)
    }

    /// The changed ranges that a list names.
    fn read(&self, list: &Path) -> Result<RangeSet> {
        if list.extension() == Some(OsStr::new("meta")) {
            let index = read_index(list, Some(self.map.size()))?;
            return Ok(index.ranges(self.map.size(), Limits::default().ranges));
        }
        let source = ExtentList {
            file: list.to_owned(),
            format: None,
            unit: self.args.unit,
            base: None,
            merged: None,
        };
        let gate = sources::gate(&self.args.engine);
        Ok(source.load(&Limits::default(), &gate)?.changes.ranges)
    }
}
