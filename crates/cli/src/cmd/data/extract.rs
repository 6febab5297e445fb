//! `hexz extract`: files out of an image, into a folder.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hexz_extract::{Budget, Extracted, Extractor, Finder, Folder, Found, Name, Options, Problems};
use hexz_report::escaped;
use hexz_resolve::{Diagnostic, Diagnostics, Progress as _, Registry, View, engine};

use crate::disks;
use crate::file_args::{ExtractArgs, WriteArgs};
use crate::output;
use crate::progress::Bar;
use crate::sources;
use crate::status::Outcome;

pub(crate) fn command(registry: &Registry, args: &ExtractArgs) -> Result<ExitCode> {
    let diagnostics = Diagnostics::new();
    let (image, disks) = disks::open(&args.image, &args.engine, &diagnostics)?;
    let progress = Bar::new();
    let mut options = sources::options(registry, &args.engine, &progress);
    options.disks = disks;
    let disk = engine::open(&image, View::Merged, &options)?;
    let problems = Problems::new();
    let mut finder = Finder::new(&disk);
    let mut wanted: Vec<Vec<u8>> = args.paths.iter().map(|p| p.as_bytes().to_vec()).collect();
    if let Some(list) = &args.files_from {
        wanted.extend(listed(list, args.nul)?);
    }
    let mut found = Vec::new();
    for path in &wanted {
        found.push(finder.find(path, false, &problems)?);
    }
    let volumes: BTreeSet<&str> = found.iter().map(|f| f.tree.volume().name()).collect();
    let several = volumes.len() > 1;

    let budget = budget(&args.write, image.len());
    let extractor = extractor(&args.to, &args.write, &budget, &problems, &progress)?;
    progress.stage("extracting", None);
    for found in &found {
        one(
            &extractor,
            found,
            several,
            args.files_from.is_some(),
            &problems,
        );
    }
    let extracted = extractor.finish();
    progress.finish();
    summary(&extracted);
    let mut findings = diagnostics.take();
    findings.extend(disk.take_findings());
    Ok(tell(findings, &problems).code(false, args.engine.partial_ok))
}

/// Writes one path: of a list, a directory stands for itself.
fn one(
    extractor: &Extractor<'_>,
    found: &Found<'_>,
    several: bool,
    listed: bool,
    problems: &Problems,
) {
    let (tree, file) = (&found.tree, &found.file);
    let volume = tree.volume().name();
    let mut source = file.path.clone();
    if let Some(stream) = &found.stream {
        source.push(b':');
        source.extend_from_slice(stream.as_bytes());
    }
    let below = match several {
        true => [volume.as_bytes(), &source].concat(),
        false => source.clone(),
    };
    match (Name::path(&below), &found.stream) {
        (Err(reason), _) => problems.left_out(volume, &source, reason),
        (Ok(target), Some(stream)) => {
            extractor.stream(tree, &source, file.attributes.key, stream, &target);
        }
        (Ok(target), None) if listed => extractor.one(tree, &source, &file.attributes, &target),
        (Ok(target), None) => extractor.all(tree, &source, &file.attributes, &target),
    }
}

/// The paths in a list.
fn listed(list: &Path, nul: bool) -> Result<Vec<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = match list.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ()),
        false => std::fs::read(list).map(|all| bytes = all),
    };
    read.with_context(|| format!("cannot read {}", list.display()))?;
    let end = if nul { 0 } else { b'\n' };
    let paths = bytes.split(|b| *b == end);
    let paths = paths.map(|path| match nul {
        true => path,
        false => path.strip_suffix(b"\r").unwrap_or(path),
    });
    Ok(paths
        .filter(|path| !path.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

pub(crate) fn budget(args: &WriteArgs, disk: u64) -> Budget {
    Budget::new(args.max_size, args.max_files, disk)
}

/// Writes below `folder`.
pub(crate) fn extractor<'a>(
    folder: &Path,
    args: &WriteArgs,
    budget: &'a Budget,
    problems: &'a Problems,
    progress: &'a Bar,
) -> Result<Extractor<'a>> {
    let options = Options {
        preserve: args.preserve,
        force: args.force,
    };
    let place = || format!("cannot write to {}", folder.display());
    let open = Folder::create(folder).with_context(place)?;
    Extractor::new(open, options, budget, problems, progress).with_context(place)
}

/// Says what was written.
pub(crate) fn summary(extracted: &Extracted) {
    let Extracted {
        files,
        directories,
        special,
    } = extracted;
    eprintln!("hexz: wrote {files} files and {directories} directories");
    if *special > 0 {
        eprintln!("hexz: left out {special} devices, fifos and sockets: --preserve keeps them");
    }
}

/// Names what was left out; says whether the answer is whole.
pub(crate) fn tell(findings: Vec<Diagnostic>, problems: &Problems) -> Outcome {
    let mut findings = findings;
    findings.extend(problems.take_findings());
    output::tell(&findings);
    let (left_out, more) = problems.take_left_out();
    for problem in &left_out {
        let volume = escaped(problem.volume.as_bytes());
        let path = escaped(&problem.path);
        let reason = escaped(problem.reason.as_bytes());
        let what = if problem.kept {
            "is not whole"
        } else {
            "was left out"
        };
        eprintln!("hexz: error: {volume}:{path} {what}: {reason}");
    }
    if more > 0 {
        eprintln!("hexz: error: {more} more files were left out");
    }
    let outcome = Outcome {
        whole: problems.is_complete(),
        ..Outcome::WHOLE
    }
    .with(&findings);
    if !outcome.whole {
        eprintln!("hexz: not whole: something could not be read or written");
    }
    outcome
}
