//! Several disks of one machine, as `--disk` gives them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hexz_resolve::engine::{self, Options};
use hexz_resolve::{
    ByteRange, ChangeSet, ChangeSource, Diagnostics, Disk, Disks, Limits, Loaded, Precision,
    RangeSet, ReadAt, View,
};
use hexz_source::meta::meta_path;
use hexz_source::{ChangesOptions, Kind, TwoImages};

use crate::engine_args::EngineArgs;
use crate::sources;
use crate::values::Span;

/// A disk before, and what it is after where that is another one.
struct Named {
    base: PathBuf,
    after: Option<PathBuf>,
}

impl Named {
    /// `IMAGE`, or `BASE:AFTER`. A colon may also be a part of a name.
    fn parse(text: &str) -> Self {
        let alone = || Self {
            base: PathBuf::from(text),
            after: None,
        };
        if Path::new(text).exists() {
            return alone();
        }
        let colons = text.match_indices(':');
        let pairs = colons.map(|(at, _)| (&text[..at], &text[at + 1..]));
        let mut pairs = pairs.filter(|(base, after)| !base.is_empty() && !after.is_empty());
        let there = |pair: &(&str, &str)| Path::new(pair.0).exists() && Path::new(pair.1).exists();
        let first = pairs.clone().next();
        match pairs.find(there).or(first) {
            Some((base, after)) => Self {
                base: PathBuf::from(base),
                after: Some(PathBuf::from(after)),
            },
            None => alone(),
        }
    }
}

/// Opens `image` and the further disks for a command that looks at one view.
pub(crate) fn open(
    image: &Path,
    args: &EngineArgs,
    diagnostics: &Diagnostics,
) -> Result<(Arc<dyn ReadAt>, Disks)> {
    let first = sources::image(image, args, diagnostics)?;
    if args.disk.is_empty() {
        return Ok((first, Disks::default()));
    }
    let (mut readers, mut disks) = (vec![first], vec![known(Some(image), None)]);
    for text in &args.disk {
        let named = Named::parse(text);
        anyhow::ensure!(
            named.after.is_none(),
            "--disk {text}: one image is looked at here, and BASE:AFTER is for diff"
        );
        readers.push(sources::image(&named.base, args, diagnostics)?);
        disks.push(known(Some(&named.base), None));
    }
    for (disk, reader) in disks.iter_mut().zip(&readers) {
        disk.lengths = [reader.len(); 2];
    }
    let disks = Disks::new(disks)?;
    Ok((disks.join(&readers), disks))
}

fn known(base: Option<&Path>, overlay: Option<&Path>) -> Disk {
    let name = |path: &Path| path.to_string_lossy().into_owned();
    Disk {
        base: base.map(name),
        overlay: overlay.map(name),
        lengths: [0; 2],
    }
}

/// Adds the further disks to the first, which was loaded.
pub(crate) fn join(
    first: Loaded,
    args: &EngineArgs,
    options: &Options<'_>,
) -> Result<(Loaded, Disks)> {
    if args.disk.is_empty() {
        return Ok((first, Disks::default()));
    }
    let views = [first.base.is_some(), first.merged.is_some()];
    let mut all = vec![first];
    for text in &args.disk {
        let loaded = load(&Named::parse(text), args);
        all.push(loaded.with_context(|| format!("cannot load --disk {text}"))?);
    }
    // Where some lists are only of what may have changed, and others are not, the former are
    // compared first.
    let changed = |loaded: &&Loaded| !loaded.changes.ranges.is_empty();
    let listed = all.iter().filter(changed).any(|l| !l.changes.candidates);
    let candidates = all.iter().filter(changed).any(|l| l.changes.candidates);
    if listed && candidates {
        for loaded in all.iter_mut().filter(|l| l.changes.candidates) {
            loaded.changes = engine::compare(loaded, options)?;
        }
    }
    let disks = all.iter().map(|loaded| {
        let length = |view: &Option<Arc<dyn ReadAt>>| view.as_ref().map(ReadAt::len);
        let (base, merged) = (length(&loaded.base), length(&loaded.merged));
        let known = [base.or(merged), merged.or(base)];
        Disk {
            base: loaded.base_name.clone(),
            overlay: loaded.overlay_name.clone(),
            lengths: known.map(Option::unwrap_or_default),
        }
    });
    let disks = Disks::new(disks.collect())?;
    let view = |view: View| {
        let readers = all.iter().map(|loaded| match view {
            View::Base => loaded.base.clone(),
            View::Merged => loaded.merged.clone(),
        });
        let readers: Option<Vec<_>> = readers.collect();
        readers.map(|readers| disks.join(&readers))
    };
    let (base, merged) = (view(View::Base), view(View::Merged));
    let mut ranges = RangeSet::new();
    for (index, loaded) in all.iter().enumerate() {
        // What lies past the end of a disk must not reach into the next one.
        let length = loaded
            .merged
            .iter()
            .chain(&loaded.base)
            .map(ReadAt::len)
            .max();
        let own = ByteRange::new(0, length.unwrap_or_default());
        ranges = ranges.union(&disks.shifted(index, &loaded.changes.ranges.clipped(own)));
    }
    let changes = all.iter().map(|loaded| &loaded.changes);
    let changing = changes.clone().filter(|changes| !changes.ranges.is_empty());
    let mut findings = Vec::new();
    changes
        .clone()
        .for_each(|c| findings.extend(c.diagnostics.clone()));
    let joined = ChangeSet {
        ranges,
        block_size: changing.clone().map(|c| c.block_size).min().unwrap_or(4096),
        candidates: changing.clone().any(|c| c.candidates),
        precision: changes
            .map(|c| c.precision)
            .max()
            .unwrap_or(Precision::Exact),
        diagnostics: findings,
    };
    let first = all.swap_remove(0);
    let loaded = Loaded {
        changes: joined,
        base: base.filter(|_| views[0]),
        merged: merged.filter(|_| views[1]),
        ..first
    };
    Ok((loaded, disks))
}

fn load(named: &Named, args: &EngineArgs) -> Result<Loaded> {
    let limits = Limits::default();
    let gate = sources::gate(args);
    sources::exists(&named.base)?;
    let Some(after) = &named.after else {
        let diagnostics = Diagnostics::new();
        let image = sources::image(&named.base, args, &diagnostics)?;
        return Ok(Loaded {
            changes: ChangeSet {
                ranges: RangeSet::new(),
                block_size: 4096,
                candidates: false,
                precision: Precision::Exact,
                diagnostics: diagnostics.take(),
            },
            base: Some(Arc::clone(&image)),
            merged: Some(image),
            overlay_name: None,
            base_name: Some(named.base.to_string_lossy().into_owned()),
        });
    };
    sources::exists(after)?;
    let base = sources::given(&named.base, args);
    let overlay =
        !args.raw && meta_path(after).exists() && hexz_source::kind_of(after)? == Kind::HexzOverlay;
    let source: Box<dyn ChangeSource> = match overlay {
        true => hexz_source::open_changes(
            after,
            ChangesOptions {
                base: Some(base),
                ..ChangesOptions::default()
            },
        )?,
        false => Box::new(TwoImages::new(base, sources::given(after, args))),
    };
    Ok(source.load(&limits, &gate)?)
}

/// The ranges that were asked for, each on its disk.
///
/// # Errors
/// When there is no such disk.
pub(crate) fn ranges(spans: &[Span], disks: &Disks) -> Result<RangeSet> {
    let mut ranges = Vec::new();
    for span in spans {
        let range = ByteRange::new(span.start, span.end);
        let Some(disk) = span.disk else {
            ranges.push(range);
            continue;
        };
        let count = disks.iter().len().max(1);
        let known = usize::try_from(disk).is_ok_and(|disk| (1..=count).contains(&disk));
        anyhow::ensure!(known, "there is no disk {disk}: there are {count}");
        if !disks.several() {
            ranges.push(range);
            continue;
        }
        // What lies past the end of a disk must not be taken for the next one.
        let length = disks
            .iter()
            .nth(disk as usize - 1)
            .map(|d| d.length(View::Merged));
        let length = length.unwrap_or_default();
        anyhow::ensure!(
            range.end() <= length,
            "byte {} lies past the end of disk {disk}, which has {length}",
            range.end() - 1
        );
        let start = disks.offset(disk, 0).context("past 64 bits")?;
        ranges.extend(range.moved_up(start));
    }
    Ok(ranges.into_iter().collect())
}

/// Refuses several disks for what counts bytes of one.
pub(crate) fn one_only(args: &EngineArgs, what: &str) -> Result<()> {
    anyhow::ensure!(
        args.disk.is_empty(),
        "{what} is about one disk, and can't be used with --disk"
    );
    Ok(())
}
