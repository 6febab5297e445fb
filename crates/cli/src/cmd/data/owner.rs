//! `hexz owner` and `hexz map`: who owns which bytes of a disk.

use std::io::{self, BufRead as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

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
    let mut out: Box<dyn Write> = if json {
        Box::new(output::plain())
    } else {
        Box::new(output::coloured())
    };
    let mut teller = Teller {
        writer: if json {
            Writer::Json(JsonOwners::new(&mut *out))
        } else {
            Writer::Human(HumanOwners::new(&mut *out))
        },
        failed: None,
    };
    let result = visit_owners(disk, wanted, options, &mut teller);
    progress.finish();
    if let Some(failed) = teller.failed {
        return Err(failed.into());
    }
    let mut end = result?;
    end.diagnostics.splice(0..0, before.iter().cloned());
    teller.writer.end(&end)?;
    out.flush()?;
    drop(out);
    if !json {
        output::tell(&end.diagnostics);
    }
    Ok(())
}

enum Writer<'a> {
    Json(JsonOwners<'a>),
    Human(HumanOwners<'a>),
}

impl Writer<'_> {
    fn end(&mut self, end: &OwnerEnd) -> io::Result<()> {
        match self {
            Self::Json(writer) => writer.end(end),
            Self::Human(writer) => writer.end(end),
        }
    }
}

/// Hands records to a writer; keeps the error that the writer ended with.
struct Teller<'a> {
    writer: Writer<'a>,
    failed: Option<io::Error>,
}

impl Teller<'_> {
    fn settle(&mut self, written: io::Result<()>) -> hexz_resolve::Result<()> {
        written.map_err(|error| {
            self.failed = Some(error);
            Error::io("output", "it can't be written")
        })
    }
}

impl OwnerVisitor for Teller<'_> {
    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> hexz_resolve::Result<()> {
        let written = match &mut self.writer {
            Writer::Json(writer) => writer.begin(header, volumes),
            Writer::Human(writer) => writer.begin(header, volumes),
        };
        self.settle(written)
    }

    fn owner(&mut self, record: OwnerRecord) -> hexz_resolve::Result<()> {
        let written = match &mut self.writer {
            Writer::Json(writer) => writer.owner(&record),
            Writer::Human(writer) => writer.owner(&record),
        };
        self.settle(written)
    }
}
