//! `hexz owner --lists`: one map of a disk, many lists of changed blocks.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hexz_fleet::{Answer, DiskMap, Mapper, Summer};
use hexz_report::{ListPiece, SumLines, escaped};
use hexz_resolve::engine::visit_owners;
use hexz_resolve::{ByteRange, ChangeSource as _, Diagnostics, Limits, RangeSet, Registry};
use hexz_source::ExtentList;
use hexz_source::meta::read_index;
use rayon::prelude::*;

use crate::args::OwnerArgs;
use crate::behind::Behind;
use crate::disks;
use crate::output;
use crate::progress::Bar;
use crate::sources;
use crate::status::{self, Outcome};

/// Lists that a thread answers before the answers of all are written.
const TOGETHER: usize = 2;
/// Answers of a thread that may wait to be written: each may be of many megabytes.
const WAITING: usize = 2;

/// The command line.
pub(crate) fn command(registry: &Registry, args: &OwnerArgs, lists: &Path) -> Result<ExitCode> {
    let lists = named(lists)?;
    let (map, outcome) = map(registry, args)?;
    let maker = Maker::new(&map, args);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(args.engine.threads)
        .build()
        .context("cannot start threads")?;
    let mut workers: Vec<Worker<'_>> = (0..pool.current_num_threads())
        .map(|_| Worker::new(&map))
        .collect();
    let mut out = Behind::new(WAITING, || Box::new(io::stdout()));
    let mut failed = 0;
    for lists in lists.chunks(TOGETHER * workers.len()) {
        let shares = lists.chunks(TOGETHER).zip(&mut workers);
        let busy = shares.len();
        let mut shares: Vec<_> = shares.collect();
        pool.install(|| {
            let share =
                |(lists, worker): &mut (&[PathBuf], &mut Worker<'_>)| worker.answer(&maker, lists);
            shares.par_iter_mut().try_for_each(share)
        })?;
        for worker in workers.iter_mut().take(busy) {
            failed += worker.errors.len();
            for error in worker.errors.drain(..) {
                eprintln!("hexz: error: {error}");
            }
            // The next lists are mostly as long.
            let next = Vec::with_capacity(worker.text.len());
            out.hand(std::mem::replace(&mut worker.text, next))?;
        }
    }
    out.end()?;
    if failed > 0 {
        return Ok(ExitCode::from(2));
    }
    Ok(outcome.code(false, args.engine.partial_ok))
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
    Ok((mapper.finish(), Outcome::of_owners(&end)))
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

/// Answers lists, one after another; its memory is used again.
struct Worker<'a> {
    summer: Summer<'a>,
    text: Vec<u8>,
    errors: Vec<String>,
}

impl<'a> Worker<'a> {
    fn new(map: &'a DiskMap) -> Self {
        Self {
            summer: Summer::new(map),
            text: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Answers `lists`, in place of those that it answered before.
    fn answer(&mut self, maker: &Maker<'_>, lists: &[PathBuf]) -> io::Result<()> {
        self.text.clear();
        for list in lists {
            if let Err(error) = maker.answer(self, list)? {
                self.errors.push(escaped(error.as_bytes()));
            }
        }
        Ok(())
    }
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
            for answer in map.answers() {
                let volume = maker.volume(answer);
                maker
                    .lines
                    .add(volume, answer.class.as_str(), answer.path());
            }
        }
        maker
    }

    /// Adds what is to be said of a list, or gives why it can't be read.
    fn answer(&self, worker: &mut Worker<'_>, list: &Path) -> io::Result<Result<(), String>> {
        let (name, text) = (list.to_string_lossy(), &mut worker.text);
        match self.read(list) {
            Ok(ranges) if self.args.json => self.pieces(text, &name, &ranges)?,
            Ok(ranges) => {
                let name = escaped(name.as_bytes());
                for total in worker.summer.sum(&ranges) {
                    self.lines.write(text, &name, total.answer, total.bytes);
                }
            }
            Err(error) => {
                let error = format!("{name}: {error:#}");
                if self.args.json {
                    hexz_report::write_list_error(text, &name, &error)?;
                }
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// A line of JSON for each piece.
    fn pieces(&self, text: &mut Vec<u8>, list: &str, ranges: &RangeSet) -> io::Result<()> {
        let mut written = Ok(());
        self.map.pieces(ranges, |piece| {
            let Some(answer) = self.map.answers().get(piece.answer) else {
                return;
            };
            let firsts = answer.owners.iter().filter_map(|names| names.first());
            let piece = ListPiece {
                list,
                volume: self.volume(answer),
                start: piece.range.start(),
                length: piece.range.len(),
                class: answer.class.as_str(),
                paths: firsts.map(Vec::as_slice).collect(),
                file_offset: piece.file_offset,
            };
            if written.is_ok() {
                written = hexz_report::write_list_piece(text, &piece);
            }
        });
        written
    }

    fn volume(&self, answer: &Answer) -> Option<&'a str> {
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
