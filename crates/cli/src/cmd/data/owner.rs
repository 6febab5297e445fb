//! `hexz owner` and `hexz map`: who owns which bytes of a disk.

use std::io::{self, BufRead as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::{Context as _, Result};
use hexz_report::{HumanOwners, JsonOwners};
use hexz_resolve::engine::{Options, visit_owners};
use hexz_resolve::report::{Header, OwnerEnd, OwnerRecord, OwnerVisitor, VolumeRecord};
use hexz_resolve::{ByteRange, Diagnostic, Diagnostics, Error, RangeSet, ReadAt, Registry};

use crate::args::{EngineArgs, MapArgs, OwnerArgs, Span, range_of};
use crate::output;
use crate::progress::Bar;
use crate::sources;

pub(crate) fn owner(registry: &Registry, args: &OwnerArgs) -> Result<ExitCode> {
    let mut spans: Vec<Span> = [&args.block, &args.offset, &args.lba]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    for file in &args.from {
        spans.extend(listed(file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    anyhow::ensure!(
        !spans.is_empty(),
        "nothing to look for: give --block, --offset, --lba or --from"
    );
    let wanted = spans
        .iter()
        .map(|Span(start, end)| ByteRange::new(*start, *end))
        .collect();
    about(registry, &args.image, &args.engine, args.json, |_| wanted)
}

pub(crate) fn map(registry: &Registry, args: &MapArgs) -> Result<ExitCode> {
    about(registry, &args.image, &args.engine, args.json, |disk| {
        ByteRange::new(0, disk.len()).into()
    })
}

/// The blocks in a file: one, or a range, a line; what follows a `#` is a comment.
fn listed(file: &Path) -> Result<Vec<Span>> {
    let input: Box<dyn io::BufRead> = if file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(io::BufReader::new(std::fs::File::open(file)?))
    };
    let mut spans = Vec::new();
    for (number, line) in input.lines().enumerate() {
        let line = line?;
        let text = line.split('#').next().unwrap_or_default().trim();
        if !text.is_empty() {
            let span = range_of::<4096>(text).map_err(anyhow::Error::msg);
            spans.push(span.with_context(|| format!("line {}", number + 1))?);
        }
    }
    Ok(spans)
}

fn about(
    registry: &Registry,
    image: &Path,
    engine: &EngineArgs,
    json: bool,
    wanted: impl FnOnce(&dyn ReadAt) -> RangeSet,
) -> Result<ExitCode> {
    let diagnostics = Diagnostics::new();
    let disk = sources::image(image, engine, &diagnostics)?;
    let progress = Bar::new();
    let options = sources::options(registry, engine, &progress);
    let before = diagnostics.take();
    tell(&disk, &wanted(&*disk), &options, json, &progress, &before)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the owners of `wanted` as they are found.
pub(crate) fn tell(
    disk: &Arc<dyn ReadAt>,
    wanted: &RangeSet,
    options: &Options<'_>,
    json: bool,
    progress: &Bar,
    before: &[Diagnostic],
) -> Result<()> {
    // Lines are written while the next owners are looked up.
    let (sender, told) = mpsc::sync_channel(BATCHES_AHEAD);
    let (found, written) = thread::scope(|scope| {
        let writer = scope.spawn(move || write(&told, json));
        let mut visitor = Sender(sender);
        let found = visit_owners(disk, wanted, options, &mut visitor).and_then(|mut end| {
            end.diagnostics.splice(0..0, before.iter().cloned());
            visitor.send(Told::End(end.clone()))?;
            Ok(end)
        });
        drop(visitor);
        (found, writer.join())
    });
    progress.finish();
    // A run ends early when nothing can be written any more; then that is the reason.
    written.map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    let end = found?;
    if !json {
        output::tell(&end.diagnostics);
    }
    Ok(())
}

/// Batches of records that may wait to be written.
const BATCHES_AHEAD: usize = 4;

/// What is written, in its order.
enum Told {
    Begin(Header, Vec<VolumeRecord>),
    Owners(Vec<OwnerRecord>),
    End(OwnerEnd),
}

fn write(told: &mpsc::Receiver<Told>, json: bool) -> io::Result<()> {
    if json {
        let mut out = output::plain();
        let mut writer = JsonOwners::new(&mut out);
        for told in told {
            match told {
                Told::Begin(header, volumes) => writer.begin(&header, &volumes)?,
                Told::Owners(records) => records.iter().try_for_each(|r| writer.owner(r))?,
                Told::End(end) => writer.end(&end)?,
            }
        }
        out.flush()
    } else {
        let mut out = output::coloured();
        let mut writer = HumanOwners::new(&mut out);
        for told in told {
            match told {
                Told::Begin(header, volumes) => writer.begin(&header, &volumes)?,
                Told::Owners(records) => records.iter().try_for_each(|r| writer.owner(r))?,
                Told::End(end) => writer.end(&end)?,
            }
        }
        out.flush()
    }
}

/// Hands what is found to the writer.
struct Sender(mpsc::SyncSender<Told>);

impl Sender {
    fn send(&self, told: Told) -> hexz_resolve::Result<()> {
        let sent = self.0.send(told);
        sent.map_err(|_| Error::io("output", "it can't be written"))
    }
}

impl OwnerVisitor for Sender {
    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> hexz_resolve::Result<()> {
        self.send(Told::Begin(header.clone(), volumes.to_vec()))
    }

    fn owners(&mut self, records: Vec<OwnerRecord>) -> hexz_resolve::Result<()> {
        self.send(Told::Owners(records))
    }
}
