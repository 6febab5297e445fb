//! `hexz diff`: what an overlay changed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use hexz_report::{Form as Written, Original, Selection};
use hexz_resolve::engine::Options;
use hexz_resolve::report::Report;
use hexz_resolve::{Limits, Loaded, Precision, Registry, engine};
use hexz_source::meta::{Index, meta_path, read_index};

use super::{owner, page, take};
use crate::args::{Cli, Command, DiffArgs};
use crate::disks;
use crate::guest;
use crate::output;
use crate::progress::Bar;
use crate::snapshots::{self, OnDisk};
use crate::sources::{self, Form};
use crate::status::{self, Outcome};
use crate::stream;

/// Executes the diff command to analyze overlay modifications: without a base image, so what
/// changed is told in blocks.
///
/// Reads the index beside the overlay (`.meta`), an append-only log of 64-bit block numbers.
///
/// # Arguments
///
/// * `overlay` - Path to the overlay file (e.g., `vm-state.overlay`)
/// * `blocks` - If true, display block-level statistics with human-readable sizes
/// * `files` - If true, display the modified block indices
///
/// # Errors
///
/// Returns an error if the overlay file does not exist, or if the index cannot be opened or read.
/// A missing index is no error: it means no modifications, and a message says so.
///
/// # Examples
///
/// ```
/// use std::path::PathBuf;
/// use hexz_cli::cmd::data::diff;
///
/// # fn main() -> anyhow::Result<()> {
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/demo"))?;
/// // Show summary of overlay changes
/// diff::run(PathBuf::from("vm-state.overlay"), false, false)?;
/// # Ok(())
/// # }
/// ```
///
/// ```
/// # use std::path::PathBuf;
/// # use hexz_cli::cmd::data::diff;
/// # fn main() -> anyhow::Result<()> {
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/demo"))?;
/// // Display detailed statistics
/// diff::run(PathBuf::from("vm-state.overlay"), true, false)?;
/// # Ok(())
/// # }
/// ```
///
/// ```
/// # use std::path::PathBuf;
/// # use hexz_cli::cmd::data::diff;
/// # fn main() -> anyhow::Result<()> {
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/demo"))?;
/// // List all modified block indices
/// diff::run(PathBuf::from("vm-state.overlay"), false, true)?;
/// # Ok(())
/// # }
/// ```
pub fn run(overlay: PathBuf, blocks: bool, files: bool) -> Result<()> {
    original(&overlay, blocks, files).map(|_| ())
}

/// Executes the diff command on two archives: says which files differ. They may be of disks, or
/// both of directories; blocks that have the same hash in both are not read.
///
/// # Arguments
///
/// * `a` - Path to the archive before
/// * `b` - Path to the archive after
///
/// # Errors
///
/// Returns an error if one of them can't be opened, if a parent of one is not there or lies where
/// it may not be opened, or if one is of a disk and the other of a directory.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use hexz_cli::cmd::data::diff;
///
/// # fn main() -> anyhow::Result<()> {
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/demo"))?;
/// diff::archives(Path::new("base.hxz"), Path::new("base.hxz"))?;
/// # Ok(())
/// # }
/// ```
pub fn archives(a: &Path, b: &Path) -> Result<()> {
    let cli = Cli::try_parse_from(["hexz", "diff", "--files", "before", "after"])?;
    let Command::Diff(mut args) = cli.command else {
        anyhow::bail!("no arguments of diff");
    };
    args.overlay = Some(a.to_owned());
    args.other = Some(b.to_owned());
    command(&crate::registry(), &args).map(|_| ())
}

/// The original modes. Gives the index, where there is one.
fn original(overlay: &Path, blocks: bool, files: bool) -> Result<Option<Index>> {
    sources::exists(overlay)?;
    let mut out = output::plain();
    let meta = meta_path(overlay);
    let index = read_index(&meta, None)?;
    if !index.found {
        writeln!(out, "{}", no_index(overlay))?;
        out.flush()?;
        return Ok(None);
    }
    output::tell(&index.diagnostics);
    if index.precision == Precision::MayMiss {
        status::say_damaged_list();
    }
    let name = overlay.to_string_lossy();
    let original = Original {
        overlay: &name,
        blocks: index.count(),
    };
    if blocks {
        hexz_report::write_blocks(&mut out, &original)?;
    }
    if files {
        hexz_report::write_files(&mut out, index.blocks())?;
    }
    if !blocks && !files {
        hexz_report::write_summary(&mut out, &original)?;
    }
    out.flush()?;
    Ok(Some(index))
}

/// The command line.
pub(crate) fn command(registry: &Registry, args: &DiffArgs) -> Result<ExitCode> {
    if let Some(folder) = &args.overlays {
        return super::overlays::command(registry, args, folder);
    }
    let resolve = args.files || args.format.any() || args.view.any() || args.take.any();
    if let Some(found) = snapshots::named(registry, args)? {
        return resolved(registry, args, resolve, Some(found));
    }
    let self_contained = Form::of(args)? != Form::Overlay;
    if !self_contained {
        // Arguments in the wrong order are answered before anything is said of an index.
        sources::changes(args)?;
    }
    let with_base = args.any_base().is_some() || self_contained;
    match &args.overlay {
        Some(overlay) if !(self_contained || resolve && with_base) => {
            anyhow::ensure!(
                !args.format.any(),
                "--json, --name-status and --name-only need the disk before: give --base IMAGE"
            );
            anyhow::ensure!(
                !args.view.any(),
                "which files are shown, and how, needs the disk before: give --base IMAGE"
            );
            let outcome = match original(overlay, args.blocks, args.files)? {
                Some(index) => Outcome {
                    changed: index.count() > 0,
                    whole: index.precision != Precision::MayMiss,
                    ended: false,
                }
                .with(&index.diagnostics),
                None => without_index(overlay)?,
            };
            Ok(exit(args, outcome))
        }
        Some(overlay) if !self_contained && !has_index(args, overlay)? => {
            Ok(exit(args, without_index(overlay)?))
        }
        _ => resolved(registry, args, resolve, None),
    }
}

/// Says that there is no index, where a person reads it. Gives whether there is one.
fn has_index(args: &DiffArgs, overlay: &Path) -> Result<bool> {
    sources::exists(overlay)?;
    let found = meta_path(overlay).exists();
    if !found && !args.format.any() {
        let mut out = output::plain();
        writeln!(out, "{}", no_index(overlay))?;
        out.flush()?;
    }
    Ok(found || args.format.any())
}

/// What an overlay without an index says: that nothing was written, where its data file holds
/// nothing either.
fn without_index(overlay: &Path) -> Result<Outcome> {
    let whole = hexz_source::meta::holds_nothing(overlay)?;
    if !whole {
        let meta = meta_path(overlay);
        eprintln!(
            "hexz: not whole: {} holds data, and {} is not there to say which blocks changed",
            hexz_report::escaped(overlay.as_os_str().as_encoded_bytes()),
            hexz_report::escaped(meta.as_os_str().as_encoded_bytes())
        );
        eprintln!(
            "hexz: hint: two whole disks are compared by `hexz diff BEFORE AFTER`; a list of what \
             changed is given with --changes"
        );
    }
    Ok(Outcome {
        changed: false,
        whole,
        ended: false,
    })
}

fn no_index(overlay: &Path) -> String {
    format!(
        "No metadata file found for overlay: {:?}",
        overlay.as_os_str()
    )
}

fn resolved(
    registry: &Registry,
    args: &DiffArgs,
    resolve: bool,
    on_disk: Option<OnDisk>,
) -> Result<ExitCode> {
    let progress = Arc::new(Bar::new());
    one_disk_for(args)?;
    let mut options = sources::options(registry, &args.engine, &*progress);
    let mut loaded = match on_disk {
        Some(found) => {
            options.volume = Some(found.volume);
            found.loaded
        }
        None => {
            let source = sources::changes(args)?;
            let gate = sources::gate(&args.engine);
            let loaded = source.load(&Limits::default(), &gate);
            loaded.context("cannot load the changes")?
        }
    };
    let disks;
    (loaded, disks) = disks::join(loaded, &args.engine, &options)?;
    options.disks = disks;
    if !resolve || args.blocks && !args.format.any() {
        loaded.changes = engine::compare(&loaded, &options)?;
        progress.finish();
        let mut out = output::plain();
        let name = loaded.overlay_name.clone().unwrap_or_default();
        let original = Original {
            overlay: &name,
            blocks: loaded.changes.ranges.units(4096),
        };
        if args.blocks {
            hexz_report::write_blocks(&mut out, &original)?;
        } else {
            hexz_report::write_summary(&mut out, &original)?;
        }
        out.flush()?;
        if !resolve {
            output::tell(&loaded.changes.diagnostics);
            if loaded.changes.precision == Precision::MayMiss {
                status::say_damaged_list();
            }
            let outcome = Outcome {
                changed: !loaded.changes.ranges.is_empty(),
                whole: loaded.changes.precision != Precision::MayMiss,
                ended: false,
            };
            return Ok(exit(args, outcome.with(&loaded.changes.diagnostics)));
        }
    }
    if loaded.base.is_some() && loaded.merged.is_some() {
        if let Some(disk) = &loaded.merged {
            options = guest::narrowed(disk, options);
        }
        let mut written = None;
        if let Some(form) = streamed(args) {
            let found = stream::diff(&loaded, &options, args, form);
            progress.finish();
            let (end, changed) = found?;
            if form != Written::Json {
                output::tell(&end.diagnostics);
            }
            written = Some((end, changed));
        } else if is_told(args) {
            let (end, changed) = stream::people(&loaded, &options, args, || progress.finish())?;
            output::tell(&end.diagnostics);
            written = Some((end, changed));
        }
        if let Some((end, changed)) = written {
            status::say_coverage(&end.summary);
            let outcome = Outcome {
                changed,
                whole: end.summary.complete,
                ended: false,
            };
            return Ok(exit(args, outcome.with(&end.diagnostics)));
        }
        let report = engine::diff(&loaded, &options);
        progress.finish();
        let mut report = report?;
        if let Some(upper) = &args.take.overlay_upper {
            hexz_extract::as_seen(&mut report, upper.as_encoded_bytes());
        }
        let report = report;
        #[cfg(feature = "parquet")]
        if let Some(dir) = &args.parquet {
            crate::tables::diff(dir, &report)?;
        }
        let places = guest::places(&loaded, &report.volumes, &options, args.view.volume_paths);
        let selection = args.view.selection(&args.paths, places)?;
        if let Some(file) = &args.view.html {
            page::write(file, |out| {
                hexz_report::write_html(out, &report, &selection)
            })?;
        }
        let shown = args.files || args.format.any() || !args.take.writes();
        if shown && !args.take.takes_stdout() {
            write(&report, args, &selection)?;
        } else {
            output::tell(&report.diagnostics);
        }
        status::say_coverage(&report.summary);
        let mut whole = report.summary.complete;
        if args.take.any() {
            let taken = take::take(&args.take, &loaded, &report, &selection, &options);
            progress.finish();
            let taken = taken?;
            if !taken.agreed {
                return Ok(ExitCode::from(2));
            }
            whole &= taken.whole;
        }
        let outcome = Outcome {
            changed: selection.finds_changes(&report),
            whole,
            ended: false,
        };
        Ok(exit(args, outcome.with(&report.diagnostics)))
    } else {
        let listed = !loaded.changes.ranges.is_empty();
        let whole = single(args, &loaded, &options, &progress)?;
        Ok(exit(
            args,
            Outcome {
                changed: listed,
                whole,
                ended: false,
            },
        ))
    }
}

/// Refuses several disks for what counts bytes of one.
fn one_disk_for(args: &DiffArgs) -> Result<()> {
    if args.view.html.is_some() {
        disks::one_only(&args.engine, "--html")?;
    }
    #[cfg(feature = "parquet")]
    if args.parquet.is_some() {
        disks::one_only(&args.engine, "--parquet")?;
    }
    Ok(())
}

/// With one disk only, who owns the ranges is all that can be said. Gives whether all was.
fn single(args: &DiffArgs, loaded: &Loaded, options: &Options<'_>, progress: &Bar) -> Result<bool> {
    let disk = loaded.merged.as_ref().or(loaded.base.as_ref());
    let disk = disk.context("no disk to look at: give --base IMAGE, or --merged IMAGE, or both")?;
    anyhow::ensure!(
        !args.format.name_status && !args.format.name_only,
        "with one disk only there are owners, and no changes: leave out --name-status and --name-only"
    );
    let ranges = &loaded.changes.ranges;
    let asked = owner::Asked {
        overlay: loaded.overlay_name.clone(),
        base: loaded.base_name.clone(),
        precision: Some(loaded.changes.precision),
        diagnostics: loaded.changes.diagnostics.clone(),
    };
    owner::tell(disk, ranges, options, args.format.json, progress, asked)
}

/// The form that is written while it is found.
fn streamed(args: &DiffArgs) -> Option<Written> {
    form(args).filter(|_| !is_kept(args))
}

/// Whether only a person is told of the changes.
fn is_told(args: &DiffArgs) -> bool {
    form(args).is_none() && !is_kept(args)
}

/// Whether all of the report is kept for what is done with it.
fn is_kept(args: &DiffArgs) -> bool {
    #[cfg(feature = "parquet")]
    if args.parquet.is_some() {
        return true;
    }
    args.take.any() || args.view.html.is_some()
}

/// The form for machines that was asked for.
fn form(args: &DiffArgs) -> Option<Written> {
    let nul = args.nul;
    let format = &args.format;
    match (format.json, format.name_status, format.name_only) {
        (true, ..) => Some(Written::Json),
        (_, true, _) => Some(Written::NameStatus { nul }),
        (.., true) => Some(Written::NameOnly { nul }),
        _ => None,
    }
}

fn write(report: &Report, args: &DiffArgs, selection: &Selection) -> Result<()> {
    if let Some(form) = form(args) {
        let mut out: Box<dyn Write> = match form {
            Written::Json => output::json(),
            _ => Box::new(output::plain()),
        };
        hexz_report::write_changes(&mut out, report, form, selection)?;
        out.flush()?;
    } else {
        let mut out = output::coloured();
        hexz_report::write_human(&mut out, report, selection, &args.view.view())?;
        out.flush()?;
    }
    if !args.format.json {
        output::tell(&report.diagnostics);
    }
    Ok(())
}

fn exit(args: &DiffArgs, outcome: Outcome) -> ExitCode {
    outcome.code(args.exit_code, args.engine.partial_ok)
}
