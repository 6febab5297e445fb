//! `hexz ls`: files of the filesystems on an image.

use std::collections::HashSet;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hexz_extract::{Finder, Found, Problems, Tree};
use hexz_report::{ListedFile, Listing};
use hexz_resolve::{Diagnostics, FileKey, Registry, View, engine};

use super::extract::tell;
use crate::disks;
use crate::file_args::LsArgs;
use crate::output;
use crate::progress::Bar;
use crate::sources;

pub(crate) fn command(registry: &Registry, args: &LsArgs) -> Result<ExitCode> {
    let diagnostics = Diagnostics::new();
    let (image, disks) = disks::open(&args.image, &args.engine, &diagnostics)?;
    let progress = Bar::new();
    let mut options = sources::options(registry, &args.engine, &progress);
    options.disks = disks;
    let disk = engine::open(&image, View::Merged, &options)?;
    let problems = Problems::new();
    let mut finder = Finder::new(&disk);
    let mut found = Vec::new();
    for path in &args.paths {
        found.push(finder.find(path.as_bytes(), false, &problems)?);
    }
    if args.paths.is_empty() {
        for tree in disk.volumes().filter_map(Tree::new) {
            let root = tree.resolve(b"/", false, &problems)?;
            found.extend(root.map(|file| Found {
                tree,
                file,
                stream: None,
            }));
        }
        if found.is_empty() {
            // Says why there is nothing to list.
            found.push(finder.find(b"/", false, &problems)?);
        }
    }
    progress.finish();
    let mut lister = Lister {
        out: Box::new(output::plain()),
        args,
        problems: &problems,
        listing: match args {
            LsArgs { json: true, .. } => Listing::Json,
            LsArgs { nul: true, .. } => Listing::Nul,
            LsArgs { long: true, .. } => Listing::Long,
            _ => Listing::Names,
        },
        heads: found.len() > 1,
        first: true,
    };
    for found in &found {
        lister.one(found)?;
    }
    lister.out.flush()?;
    drop(lister);
    let mut findings = diagnostics.take();
    findings.extend(disk.take_findings());
    Ok(tell(findings, &problems).code(false, args.engine.partial_ok))
}

struct Lister<'a> {
    out: Box<dyn Write>,
    args: &'a LsArgs,
    problems: &'a Problems,
    listing: Listing,
    /// Whether directories are listed under their names.
    heads: bool,
    first: bool,
}

impl Lister<'_> {
    fn one(&mut self, found: &Found<'_>) -> Result<()> {
        let volume = found.tree.volume().name();
        let file = &found.file;
        if self.args.directory || !file.attributes.kind.has_entries() {
            let mut shown = file.path.clone();
            let mut attributes = file.attributes.clone();
            if let Some(stream) = &found.stream {
                shown.push(b':');
                shown.extend_from_slice(stream.as_bytes());
                let content = found.tree.content(attributes.key, Some(stream));
                attributes.size = content.context("cannot read the stream")?.len();
            }
            let row = ListedFile {
                volume: volume.to_owned(),
                local_times: local_times(&found.tree),
                path: shown.clone(),
                shown,
                attributes: Some(attributes),
            };
            self.first = false;
            return Ok(self.listing.write(&mut *self.out, &[row])?);
        }
        let mut seen: HashSet<FileKey> = HashSet::from([file.attributes.key]);
        let mut todo = vec![(file.attributes.key, file.path.clone())];
        while let Some((directory, path)) = todo.pop() {
            let mut inner = self.directory(&found.tree, directory, &path)?;
            if self.args.recursive {
                inner.retain(|(key, _)| seen.insert(*key));
                todo.extend(inner.into_iter().rev());
            }
        }
        Ok(())
    }

    /// Lists one directory; gives those in it.
    fn directory(
        &mut self,
        tree: &Tree<'_>,
        directory: FileKey,
        path: &[u8],
    ) -> Result<Vec<(FileKey, Vec<u8>)>> {
        let volume = tree.volume().name();
        let people = matches!(self.listing, Listing::Names | Listing::Long);
        let recursive = self.args.recursive;
        let mut files = Vec::new();
        let mut inner = Vec::new();
        for entry in tree
            .children(&[directory], self.problems)
            .into_iter()
            .flatten()
        {
            let mut full = path.to_vec();
            if full.last() != Some(&b'/') {
                full.push(b'/');
            }
            full.extend_from_slice(entry.name.as_bytes());
            if let Some(a) = entry.attributes.as_ref().filter(|a| a.kind.has_entries()) {
                inner.push((a.key, full.clone()));
            }
            files.push(ListedFile {
                volume: volume.to_owned(),
                local_times: local_times(tree),
                shown: match recursive && self.listing == Listing::Nul {
                    // For --files-from of `extract`.
                    true => [volume.as_bytes(), b":", &full].concat(),
                    false => entry.name.as_bytes().to_vec(),
                },
                path: full,
                attributes: entry.attributes,
            });
        }
        if people && (self.heads || recursive) {
            if !std::mem::take(&mut self.first) {
                writeln!(self.out)?;
            }
            writeln!(self.out, "{volume}:{}:", hexz_report::escaped(path))?;
        }
        self.listing.write(&mut *self.out, &files)?;
        Ok(inner)
    }
}

fn local_times(tree: &Tree<'_>) -> bool {
    let fs = tree.volume().filesystem();
    fs.is_some_and(|fs| fs.info().local_times)
}
