//! `hexz layout`: partitions and filesystems.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hexz_resolve::{Diagnostic, Diagnostics, Registry, engine};

use crate::args::LayoutArgs;
use crate::disks;
use crate::guest;
use crate::output;
use crate::progress::Bar;
use crate::sources;
use crate::status::{self, Outcome};

pub(crate) fn command(registry: &Registry, args: &LayoutArgs) -> Result<ExitCode> {
    let diagnostics = Diagnostics::new();
    let (disk, disks) = disks::open(&args.image, &args.engine, &diagnostics)?;
    let progress = Bar::new();
    let mut options = sources::options(registry, &args.engine, &progress);
    options.detection.explain = args.explain;
    options.disks = disks;
    let options = guest::narrowed(&disk, options);
    let mut report = engine::layout(&disk, &options)?;
    progress.finish();
    report.header.base = Some(args.image.to_string_lossy().into_owned());
    let kept = match args.engine.raw {
        true => Vec::new(),
        false => hexz_source::kept_in(&args.image)?,
    };
    for kept in &kept {
        diagnostics.push(Diagnostic::info(
            "image-keeps",
            format!("the image keeps {kept}"),
        ));
    }
    report.diagnostics.splice(0..0, diagnostics.take());
    if args.json {
        let mut out = output::json();
        hexz_report::write_layout_json(&mut out, &report)?;
        out.flush()?;
    } else {
        let mut out = output::coloured();
        hexz_report::write_layout(&mut out, &report)?;
        for kept in &kept {
            writeln!(
                out,
                "The image keeps {}",
                hexz_report::escaped(kept.as_bytes())
            )?;
        }
        out.flush()?;
        drop(out);
        output::tell(&report.diagnostics);
    }
    let outcome = Outcome::WHOLE.with(&report.diagnostics);
    if !outcome.whole {
        status::say_findings();
    }
    Ok(outcome.code(false, args.engine.partial_ok))
}
