//! `hexz owner --lists`: one map of a disk, many lists of changed blocks.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hexz_fleet::{Answer, DiskMap, Mapper, Summer};
use hexz_report::{ListPiece, ListSum};
use hexz_resolve::engine::visit_owners;
use hexz_resolve::{ByteRange, ChangeSource as _, Diagnostics, Limits, RangeSet, Registry};
use hexz_source::ExtentList;
use hexz_source::meta::read_index;
use rayon::prelude::*;

use crate::args::OwnerArgs;
use crate::disks;
use crate::output;
use crate::progress::Bar;
use crate::sources;
use crate::status::{self, Outcome};

/// Lists that are summed before any of them is written.
const TOGETHER: usize = 64;

/// The command line.
pub(crate) fn command(registry: &Registry, args: &OwnerArgs, lists: &Path) -> Result<ExitCode> {
    let lists = named(lists)?;
    let (map, outcome) = map(registry, args)?;
    let maker = Maker { map: &map, args };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(args.engine.threads)
        .build()
        .context("cannot start threads")?;
    let mut out = output::plain();
    let mut failed = 0;
    for lists in lists.chunks(TOGETHER) {
        let answers: Vec<Result<Answered>> = pool.install(|| {
            let summer = || Summer::new(&map);
            let answer = |summer: &mut Summer<'_>, list: &PathBuf| maker.answer(summer, list);
            lists.par_iter().map_init(summer, answer).collect()
        });
        for answered in answers {
            let answered = answered?;
            if let Some(error) = answered.error {
                failed += 1;
                eprintln!("hexz: error: {error}");
            }
            out.write_all(&answered.text)?;
        }
    }
    out.flush()?;
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

/// What came of one list.
struct Answered {
    text: Vec<u8>,
    error: Option<String>,
}

/// Makes the answers for lists.
struct Maker<'a> {
    map: &'a DiskMap,
    args: &'a OwnerArgs,
}

impl Maker<'_> {
    fn answer(&self, summer: &mut Summer<'_>, list: &Path) -> Result<Answered> {
        let mut text = Vec::new();
        let name = list.to_string_lossy();
        match self.read(list) {
            Ok(ranges) if self.args.json => self.pieces(&mut text, &name, &ranges)?,
            Ok(ranges) => {
                for total in summer.sum(&ranges) {
                    let sum = ListSum {
                        list: &name,
                        volume: self.volume(total.answer),
                        class: total.answer.class.as_str(),
                        bytes: total.bytes,
                        path: total.answer.path(),
                    };
                    hexz_report::write_list_sum(&mut text, &sum)?;
                }
            }
            Err(error) => {
                let error = format!("{name}: {error:#}");
                if self.args.json {
                    hexz_report::write_list_error(&mut text, &name, &error)?;
                }
                let error = Some(hexz_report::escaped(error.as_bytes()));
                return Ok(Answered { text, error });
            }
        }
        Ok(Answered { text, error: None })
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

    fn volume(&self, answer: &Answer) -> Option<&str> {
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
