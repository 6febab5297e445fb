//! What `hexz diff` writes of the files that changed: folders, archives, patches.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use hexz_extract::{
    Budget, Extractor, Folder, LayerOptions, Name, Options, Packed, Packer, Packing, PatchOptions,
    Problems, Side, Tree, Views, write_layer, write_patch,
};
use hexz_report::Selection;
use hexz_resolve::engine::{self, OpenDisk};
use hexz_resolve::report::{Change, Report};
use hexz_resolve::{Loaded, View};

use super::extract::{budget, summary, tell};
use super::verify;
use crate::file_args::TakeArgs;
use crate::output;
use crate::status::Outcome;

/// Where the report of what was extracted goes.
const CHANGES: &str = "changes.jsonl";

/// Both views of the disk, and what is asked of them.
struct Take<'a> {
    args: &'a TakeArgs,
    report: &'a Report,
    selection: &'a Selection,
    before: &'a OpenDisk<'a>,
    after: &'a OpenDisk<'a>,
    options: &'a engine::Options<'a>,
    budget: Budget,
    problems: Problems,
}

/// What came of it.
pub(crate) struct Taken {
    /// Whether all of it is there.
    pub(crate) whole: bool,
    /// Whether other parsers say the same, where they were asked.
    pub(crate) agreed: bool,
}

/// Writes what was asked for.
pub(crate) fn take(
    args: &TakeArgs,
    loaded: &Loaded,
    report: &Report,
    selection: &Selection,
    options: &engine::Options<'_>,
) -> Result<Taken> {
    let (Some(base), Some(merged)) = (&loaded.base, &loaded.merged) else {
        anyhow::bail!("the disk before and after are needed");
    };
    // The report says which volumes are of interest; one may be in one view only.
    let whole = engine::Options {
        volume: None,
        ..options.clone()
    };
    let before = engine::open(base, View::Base, &whole)?;
    let after = engine::open(merged, View::Merged, &whole)?;
    let take = Take {
        args,
        report,
        selection,
        before: &before,
        after: &after,
        options,
        budget: budget(&args.write, base.len().max(merged.len())),
        problems: Problems::new(),
    };
    if let Some(folder) = &args.extract {
        take.extract(folder)?;
    }
    if let Some(file) = args.archive() {
        take.archive(file)?;
    }
    if args.patch {
        take.patch()?;
    }
    let views = [(&before, base), (&after, merged)];
    let agreed = !args.verify || verify::verify(report, views, &options.disks)?;
    // Opening the disks again met the findings that the report has.
    drop((before.take_findings(), after.take_findings()));
    let Outcome { whole, .. } = tell(Vec::new(), &take.problems);
    Ok(Taken { whole, agreed })
}

impl<'a> Take<'a> {
    /// The changes that were asked for, in one volume.
    fn changes(&self, volume: usize) -> impl Iterator<Item = &'a Change> + Clone {
        let (all, selection) = (self.report.changes.iter(), self.selection);
        all.filter(move |change| change.volume == volume && selection.in_paths(change))
    }

    /// The two views of a volume of the report: of the upper folder, where there is one.
    fn views(&self, volume: usize) -> Views<'a> {
        let record = self.report.volumes.get(volume);
        let find = |disk: &'a OpenDisk<'a>| {
            let record = record?;
            let named = disk.volumes().find(|v| v.name() == record.volume);
            let tree = named.and_then(Tree::new)?;
            match &self.args.overlay_upper {
                None => Some(tree),
                Some(upper) => tree.upper(upper.as_bytes(), &self.problems).ok().flatten(),
            }
        };
        Views {
            before: find(self.before),
            after: find(self.after),
        }
    }

    fn name(&self, volume: usize) -> &'a str {
        let record = self.report.volumes.get(volume);
        record.map_or("", |record| record.volume.as_str())
    }

    /// The volumes with changes, as indexes into those of the report.
    fn changed(&self) -> Vec<usize> {
        let all = 0..self.report.volumes.len();
        all.filter(|volume| self.changes(*volume).next().is_some())
            .collect()
    }

    fn extract(&self, path: &Path) -> Result<()> {
        let place = || format!("cannot write to {}", path.display());
        let write = &self.args.write;
        let folder = Folder::create(path).with_context(place)?;
        anyhow::ensure!(
            write.force || folder.is_empty().with_context(place)?,
            "{} is not empty: give another folder, or --force to replace files in it",
            path.display()
        );
        let mut report = Vec::new();
        hexz_report::write_changes(
            &mut report,
            self.report,
            hexz_report::Form::Json,
            self.selection,
        )?;
        let name = Name::new(CHANGES.as_bytes()).map_err(anyhow::Error::msg)?;
        folder
            .write(&name, &report, write.force)
            .with_context(|| format!("cannot write {}", path.join(CHANGES).display()))?;
        let options = Options {
            preserve: write.preserve,
            force: write.force,
        };
        let progress = self.options.progress;
        let extractor = Extractor::new(folder, options, &self.budget, &self.problems, progress)
            .with_context(place)?;
        progress.stage("extracting", None);
        let sides: &[(Side, &str)] = match (self.args.both, self.args.before) {
            (true, _) => &[(Side::Before, "before"), (Side::After, "after")],
            (_, true) => &[(Side::Before, "")],
            _ => &[(Side::After, "")],
        };
        for volume in self.changed() {
            let views = self.views(volume);
            for (side, above) in sides {
                let below = format!("{above}/{}", self.name(volume));
                extractor.changes(self.changes(volume), views, *side, below.as_bytes());
            }
        }
        summary(&extractor.finish());
        Ok(())
    }

    fn archive(&self, path: &Path) -> Result<()> {
        let changed = self.changed();
        let names: Vec<&str> = changed.iter().map(|v| self.name(*v)).collect();
        anyhow::ensure!(
            changed.len() < 2,
            "an archive holds one volume, and several changed: say --volume {}",
            names.join(" or --volume ")
        );
        let volume = changed.first().copied();
        let volume = volume.or((self.report.volumes.len() == 1).then_some(0));
        let views = volume.map_or(
            Views {
                before: None,
                after: None,
            },
            |volume| self.views(volume),
        );
        let changes = volume.into_iter().flat_map(|v| self.changes(v));
        let options = LayerOptions {
            sparse: self.args.tar.is_some(),
            budget: &self.budget,
            problems: &self.problems,
            progress: self.options.progress,
        };
        self.options.progress.stage("writing the archive", None);
        let packing = Packing::of_name(path.as_os_str().as_encoded_bytes());
        let write = |out: &mut dyn Write| -> Result<(Packed, u64)> {
            let packer = Packer::new(out, packing)?;
            let (packer, entries) = write_layer(changes, views, &options, packer)?;
            Ok((packer.finish()?, entries))
        };
        let (packed, entries) = if path.as_os_str() == "-" {
            write(&mut output::plain())?
        } else {
            into_file(path, self.args.write.force, write)?
        };
        eprintln!("hexz: wrote {entries} entries, {} bytes", packed.size);
        eprintln!("hexz: digest {}", packed.digest);
        if packing != Packing::None {
            eprintln!("hexz: diff ID {}", packed.diff_id);
        }
        Ok(())
    }

    fn patch(&self) -> Result<()> {
        let mut out = output::plain();
        let several = self.report.volumes.len() > 1;
        for volume in self.changed() {
            let prefix = match several {
                true => format!("{}/", self.name(volume)),
                false => String::new(),
            };
            let options = PatchOptions {
                context: self.args.unified,
                limit: self.args.patch_limit,
                prefix: &prefix,
            };
            let (changes, views) = (self.changes(volume), self.views(volume));
            write_patch(changes, views, &options, &self.problems, &mut out)?;
        }
        out.flush()?;
        Ok(())
    }
}

/// Writes a file beside `path`, and gives it its name once it is whole.
fn into_file<T>(
    path: &Path,
    force: bool,
    write: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    let place = || format!("cannot write {}", path.display());
    anyhow::ensure!(
        force || fs::symlink_metadata(path).is_err(),
        "{} is there already: give another name, or --force to replace it",
        path.display()
    );
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = File::create(&part).with_context(place)?;
    let done = || -> Result<T> {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let value = write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?;
        fs::rename(&part, path)?;
        Ok(value)
    };
    done().with_context(place).inspect_err(|_| {
        // What failed is told; that its part stays as well would say nothing new.
        let _ = fs::remove_file(&part);
    })
}
