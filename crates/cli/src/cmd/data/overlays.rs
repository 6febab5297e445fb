//! `hexz diff --overlays`: many overlays of one base, each a report of its own.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hexz_report::{Form, Selection};
use hexz_resolve::engine::Memo;
use hexz_resolve::report::Report;
use hexz_resolve::{
    Diagnostic, Diagnostics, Limits, Loaded, ReadAt, Registry, Silent, Threads, engine,
};
use hexz_source::meta::meta_path;
use hexz_source::{ChangesOptions, DefaultGate, HexzOverlay, Kind};

use crate::args::DiffArgs;
use crate::disks;
use crate::output;
use crate::sources;
use crate::status::Outcome;

/// Overlays that are looked at while the report of one before them is not written yet.
const AHEAD: usize = 32;

/// The base, opened once for all.
struct Base {
    path: PathBuf,
    name: String,
    /// None where nothing but write layers is to be compared.
    disk: Option<Arc<dyn ReadAt>>,
    diagnostics: Vec<Diagnostic>,
}

/// The command line.
pub(crate) fn command(registry: &Registry, args: &DiffArgs, folder: &Path) -> Result<ExitCode> {
    disks::one_only(&args.engine, "--overlays")?;
    let base = args.any_base().context("--overlays needs --base IMAGE")?;
    sources::exists(base)?;
    // Only an archive is mounted with a folder to write to.
    let mounted = !args.engine.raw && hexz_source::kind_of(base)? == Kind::Archive;
    let Listed {
        overlays,
        alone,
        others,
    } = named(folder, mounted)?;
    let found = Diagnostics::new();
    let base = Base {
        path: base.clone(),
        name: base.display().to_string(),
        disk: match overlays.iter().all(|overlay| overlay.is_dir()) {
            true => None,
            false => {
                let (limits, gate) = (Limits::default(), sources::gate(&args.engine));
                Some(sources::given(base, &args.engine).open_disk(&limits, &gate, &found)?)
            }
        },
        diagnostics: found.take(),
    };
    if let Some(to) = &args.to {
        fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    }
    let threads = Threads::new(args.engine.threads)?;
    let mut out = output::plain();
    let mut all = Outcome {
        changed: false,
        whole: true,
        ended: false,
    };
    let mut failed = false;
    let memo = Memo::default();
    let each = |overlay: &PathBuf| {
        let report = report((registry, &memo), args, &base, overlay);
        Done::new(args, overlay, report)
    };
    threads.in_turn(&overlays, AHEAD, each, |overlay, done: Result<Done>| {
        let Done { result, text } = done?;
        out.write_all(&text)?;
        match result {
            Ok(one) => {
                all.changed |= one.changed;
                all.whole &= one.whole;
                all.ended |= one.ended;
                if !one.whole {
                    let name = overlay.to_string_lossy();
                    let name = hexz_report::escaped(name.as_bytes());
                    eprintln!("hexz: not whole: {name}: see its report");
                }
            }
            Err(error) => {
                failed = true;
                lacking(args, overlay, &format!("{error:#}"), &mut out)?;
            }
        }
        anyhow::Ok(())
    })?;
    for index in alone {
        failed = true;
        lacking(args, &index, "there is no overlay of this index", &mut out)?;
    }
    out.flush()?;
    if others > 0 {
        let folders = match mounted {
            true => "",
            false => " and folders",
        };
        eprintln!("hexz: {others} other files{folders} have no .meta file and are left out");
    }
    if failed {
        return Ok(ExitCode::from(2));
    }
    Ok(all.code(args.exit_code, args.engine.partial_ok))
}

/// Writes the record of an overlay of which there is no report.
fn lacking(args: &DiffArgs, overlay: &Path, error: &str, out: &mut impl Write) -> Result<()> {
    let name = overlay.to_string_lossy();
    eprintln!(
        "hexz: error: {}: {}",
        hexz_report::escaped(name.as_bytes()),
        hexz_report::escaped(error.as_bytes())
    );
    let mut line = Vec::new();
    hexz_report::write_overlay_error(&mut line, &name, error)?;
    match &args.to {
        Some(to) => fs::write(report_path(to, overlay), line)?,
        None => out.write_all(&line)?,
    }
    Ok(())
}

/// What a folder holds.
struct Listed {
    /// The overlays, by name: the files that an index lies beside, or that are called so; write
    /// layers.
    overlays: Vec<PathBuf>,
    /// Indexes without an overlay.
    alone: Vec<PathBuf>,
    /// Other files.
    others: usize,
}

/// What `folder` holds; a folder in it is a write layer where the base can be `mounted`.
fn named(folder: &Path, mounted: bool) -> Result<Listed> {
    let reading = || format!("cannot read {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        names.push(entry.with_context(reading)?.path());
    }
    names.sort();
    let (mut overlays, mut indexes, mut others) = (Vec::new(), Vec::new(), 0);
    for path in names {
        let meta = meta_path(&path);
        let named = || meta.is_file() || path.extension() == Some("overlay".as_ref());
        let (folder, file) = (mounted && path.is_dir(), path.is_file());
        if path == meta {
            indexes.push(path);
        } else if folder || file && named() {
            overlays.push(path);
        } else {
            others += 1;
        }
    }
    let known: HashSet<PathBuf> = overlays.iter().map(|overlay| meta_path(overlay)).collect();
    indexes.retain(|index| !known.contains(index));
    let layers = match mounted {
        true => ", and no write layer",
        false => "",
    };
    anyhow::ensure!(
        !(overlays.is_empty() && indexes.is_empty()),
        "{} holds no overlay with its .meta file beside it{layers}",
        folder.display()
    );
    Ok(Listed {
        overlays,
        alone: indexes,
        others,
    })
}

/// What came of one overlay.
struct Done {
    result: Result<Outcome>,
    /// What of it goes to standard output.
    text: Vec<u8>,
}

impl Done {
    /// Writes `report` to its place, if it has one of its own.
    fn new(args: &DiffArgs, overlay: &Path, report: Result<Report>) -> Result<Self> {
        let mut text = Vec::new();
        let result = match report {
            Err(error) => Err(error),
            Ok(report) => {
                write(args, overlay, &report, &mut text)?;
                let one = Outcome {
                    changed: !report.changes.is_empty(),
                    whole: report.summary.complete,
                    ended: false,
                };
                Ok(one.with(&report.diagnostics))
            }
        };
        Ok(Self { result, text })
    }
}

/// Compares one overlay with the base, on the calling thread: others are looked at beside it.
fn report(
    (registry, memo): (&Registry, &Memo),
    args: &DiffArgs,
    base: &Base,
    overlay: &Path,
) -> Result<Report> {
    let loaded = match overlay.is_dir() {
        true => write_layer(args, base, overlay)?,
        false => over(base, overlay)?,
    };
    let options = engine::Options {
        threads: 1,
        memo: Some(memo),
        ..sources::options(registry, &args.engine, &Silent)
    };
    Ok(engine::diff(&loaded, &options)?)
}

fn over(base: &Base, overlay: &Path) -> Result<Loaded> {
    let source = HexzOverlay {
        overlay: overlay.to_owned(),
        base: None,
    };
    let found = Diagnostics::new();
    base.diagnostics
        .iter()
        .cloned()
        .for_each(|finding| found.push(finding));
    let loaded = source.load_over(
        base.disk.clone(),
        &Limits::default(),
        &DefaultGate::new(),
        &found,
    )?;
    Ok(Loaded {
        base_name: Some(base.name.clone()),
        ..loaded
    })
}

fn write_layer(args: &DiffArgs, base: &Base, folder: &Path) -> Result<Loaded> {
    let options = ChangesOptions {
        base: Some(sources::given(&base.path, &args.engine)),
        ..ChangesOptions::default()
    };
    let source = hexz_source::open_changes(folder, options)?;
    Ok(source.load(&Limits::default(), &sources::gate(&args.engine))?)
}

/// Where the report of `overlay` is written below `to`.
fn report_path(to: &Path, overlay: &Path) -> PathBuf {
    let mut name = overlay.file_name().unwrap_or_default().to_owned();
    name.push(".jsonl");
    to.join(name)
}

fn write(args: &DiffArgs, overlay: &Path, report: &Report, out: &mut impl Write) -> Result<()> {
    #[cfg(feature = "parquet")]
    if let Some(dir) = &args.parquet {
        crate::tables::diff(dir, report)?;
    }
    let selection = Selection::default();
    if let Some(to) = &args.to {
        let path = report_path(to, overlay);
        let file = File::create(&path).and_then(|file| {
            let mut file = BufWriter::new(file);
            hexz_report::write_changes(&mut file, report, Form::Json, &selection)?;
            file.flush()
        });
        return file.with_context(|| format!("cannot write {}", path.display()));
    }
    let name = overlay.to_string_lossy();
    let mut records = Named {
        prefix: hexz_report::overlay_prefix(&name)?,
        line: Vec::new(),
        out,
    };
    hexz_report::write_changes(&mut records, report, Form::Json, &selection)?;
    Ok(())
}

/// Puts the name of the overlay first in each record, where it is not in it anyway.
struct Named<'a, W: Write> {
    prefix: Vec<u8>,
    /// The line that is being written.
    line: Vec<u8>,
    out: &'a mut W,
}

impl<W: Write> Write for Named<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let header = self.line.starts_with(br#"{"type":"header""#);
                match self.line.strip_prefix(b"{").filter(|_| !header) {
                    Some(rest) => {
                        self.out.write_all(&self.prefix)?;
                        self.out.write_all(rest)?;
                    }
                    None => self.out.write_all(&self.line)?,
                }
                self.line.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
