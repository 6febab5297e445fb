//! `hexz cat`: the bytes of files.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hexz_extract::{Finder, Problems, copy_to};
use hexz_resolve::{Diagnostics, FileKind, Registry, View, engine};

use super::extract::tell;
use crate::disks;
use crate::file_args::CatArgs;
use crate::output;
use crate::progress::Bar;
use crate::sources;

pub(crate) fn command(registry: &Registry, args: &CatArgs) -> Result<ExitCode> {
    let diagnostics = Diagnostics::new();
    let (image, disks) = disks::open(&args.image, &args.engine, &diagnostics)?;
    let progress = Bar::new();
    let mut options = sources::options(registry, &args.engine, &progress);
    options.disks = disks;
    let disk = engine::open(&image, View::Merged, &options)?;
    progress.finish();
    let problems = Problems::new();
    let mut finder = Finder::new(&disk);
    let mut out = output::plain();
    for path in &args.paths {
        let found = finder.find(path.as_bytes(), true, &problems)?;
        let kind = found.file.attributes.kind;
        let name = hexz_report::escaped(path.as_bytes());
        anyhow::ensure!(
            kind == FileKind::File || found.stream.is_some(),
            "{name} is a {}, and has no bytes to show",
            kind.as_str()
        );
        let (tree, key) = (found.tree, found.file.attributes.key);
        let content = tree.content(key, found.stream.as_ref());
        content
            .map_err(anyhow::Error::from)
            .and_then(|content| Ok(copy_to(&*content, &mut out)?))
            .with_context(|| format!("cannot read {name}"))?;
    }
    out.flush()?;
    drop(out);
    let mut findings = diagnostics.take();
    findings.extend(disk.take_findings());
    Ok(tell(findings, &problems).code(false, args.engine.partial_ok))
}
