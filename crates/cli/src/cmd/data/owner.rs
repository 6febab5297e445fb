//! `hexz owner` and `hexz map`: who owns which bytes of a disk.

use std::io::{self, BufRead as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use anyhow::{Context as _, Result};
use hexz_report::{HumanOwners, JsonOwners};
use hexz_resolve::engine::{Options, visit_owners};
use hexz_resolve::report::{Header, OwnerEnd, OwnerRecord, OwnerVisitor, VolumeRecord};
use hexz_resolve::{
    ByteRange, Diagnostic, Diagnostics, Error, Precision, RangeSet, ReadAt, Registry,
};

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
    let asked = Asked {
        base: Some(image.to_string_lossy().into_owned()),
        diagnostics: diagnostics.take(),
        ..Asked::default()
    };
    tell(&disk, &wanted(&*disk), &options, json, &progress, asked)?;
    Ok(ExitCode::SUCCESS)
}

/// What is known of the question before it is answered.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) overlay: Option<String>,
    pub(crate) base: Option<String>,
    pub(crate) precision: Option<Precision>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Writes the owners of `wanted` as they are found.
pub(crate) fn tell(
    disk: &Arc<dyn ReadAt>,
    wanted: &RangeSet,
    options: &Options<'_>,
    json: bool,
    progress: &Bar,
    asked: Asked,
) -> Result<()> {
    let threads = match options.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        given => given,
    };
    let form = &OnceLock::new();
    let (found, written) = thread::scope(|scope| {
        // Text is made while the next owners are looked up, by several threads in turn.
        let (feeds, texts): (Vec<_>, Vec<_>) = (0..threads)
            .map(|_| {
                let (feed, told) = mpsc::sync_channel(BATCHES_AHEAD);
                let (text, made) = mpsc::sync_channel(BATCHES_AHEAD);
                scope.spawn(move || {
                    for told in told {
                        // The writer has ended, which the next send tells.
                        if text
                            .send(form.get_or_init(Form::default).text(&told))
                            .is_err()
                        {
                            return;
                        }
                    }
                });
                (feed, made)
            })
            .unzip();
        let writer = scope.spawn(move || write(&texts, json));
        let mut visitor = Feeder {
            form,
            json,
            asked,
            feeds,
            turn: 0,
        };
        let found = visit_owners(disk, wanted, options, &mut visitor).and_then(|mut end| {
            let before = std::mem::take(&mut visitor.asked.diagnostics);
            end.diagnostics.splice(0..0, before);
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

/// Batches of records that may wait for each thread.
const BATCHES_AHEAD: usize = 4;

/// What is written, in its order.
enum Told {
    Begin(Header),
    Owners(Vec<OwnerRecord>),
    End(OwnerEnd),
}

/// How it is written.
enum Form {
    Json(JsonOwners),
    Human(HumanOwners),
}

impl Default for Form {
    fn default() -> Self {
        Self::Human(HumanOwners::default())
    }
}

impl Form {
    fn text(&self, told: &Told) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        match (self, told) {
            (Self::Json(form), Told::Begin(header)) => form.begin(&mut out, header)?,
            (Self::Json(form), Told::Owners(records)) => form.owners(&mut out, records)?,
            (Self::Json(form), Told::End(end)) => form.end(&mut out, end)?,
            (Self::Human(_), Told::Begin(_)) => {}
            (Self::Human(form), Told::Owners(records)) => form.owners(&mut out, records)?,
            (Self::Human(form), Told::End(end)) => form.end(&mut out, end)?,
        }
        Ok(out)
    }
}

/// Writes the texts, one of each thread in turn, until there are no more.
fn write(texts: &[mpsc::Receiver<io::Result<Vec<u8>>>], json: bool) -> io::Result<()> {
    let mut out: Box<dyn Write> = if json {
        Box::new(output::plain())
    } else {
        Box::new(output::coloured())
    };
    for text in texts.iter().cycle() {
        match text.recv() {
            Ok(text) => out.write_all(&text?)?,
            Err(_) => break,
        }
    }
    out.flush()
}

/// Hands what is found to the threads that make text of it, each in turn.
struct Feeder<'a> {
    form: &'a OnceLock<Form>,
    json: bool,
    asked: Asked,
    feeds: Vec<mpsc::SyncSender<Told>>,
    turn: usize,
}

impl Feeder<'_> {
    fn send(&mut self, told: Told) -> hexz_resolve::Result<()> {
        let feed = self.feeds.get(self.turn % self.feeds.len().max(1));
        self.turn = self.turn.wrapping_add(1);
        let sent = feed.and_then(|feed| feed.send(told).ok());
        sent.ok_or_else(|| Error::io("output", "it can't be written"))
    }
}

impl OwnerVisitor for Feeder<'_> {
    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> hexz_resolve::Result<()> {
        self.form.get_or_init(|| match self.json {
            true => Form::Json(JsonOwners::new(volumes)),
            false => Form::Human(HumanOwners::new(volumes)),
        });
        let mut header = header.clone();
        header.overlay = self.asked.overlay.take();
        header.base = self.asked.base.take();
        header.precision = self.asked.precision;
        self.send(Told::Begin(header))
    }

    fn owners(&mut self, records: Vec<OwnerRecord>) -> hexz_resolve::Result<()> {
        self.send(Told::Owners(records))
    }
}
