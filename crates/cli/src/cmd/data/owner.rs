//! `hexz owner` and `hexz map`: who owns which bytes of a disk.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use anyhow::{Context as _, Result};
use hexz_report::{HumanOwners, JsonOwners};
use hexz_resolve::engine::{Options, visit_owners};
use hexz_resolve::report::{FileNames, Header, OwnerEnd, OwnerRecord, OwnerVisitor, VolumeRecord};
use hexz_resolve::{Diagnostic, Diagnostics, Disks, Error, Precision, RangeSet, ReadAt, Registry};

use crate::args::{MapArgs, OwnerArgs};
use crate::disks;
use crate::engine_args::EngineArgs;
use crate::guest;
use crate::output;
use crate::progress::Bar;
use crate::sources;
use crate::status::{self, Outcome};
use crate::values::{Span, range_of};

pub(crate) fn owner(registry: &Registry, args: &OwnerArgs) -> Result<ExitCode> {
    if let Some(lists) = &args.lists {
        return super::lists::command(registry, args, lists);
    }
    let mut spans: Vec<Span> = [&args.block, &args.offset, &args.lba]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    for file in &args.from {
        spans.extend(listed(file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    // An empty list is an answer: a disk without bad blocks has none.
    anyhow::ensure!(
        !spans.is_empty() || !args.from.is_empty(),
        "nothing to look for: give --block, --offset, --lba, --from or --lists"
    );
    about(
        registry,
        &args.image,
        &args.engine,
        args.json,
        |_, disks| disks::ranges(&spans, disks),
    )
}

pub(crate) fn map(registry: &Registry, args: &MapArgs) -> Result<ExitCode> {
    #[cfg(feature = "parquet")]
    if let Some(dir) = &args.parquet {
        return crate::tables::map(registry, args, dir);
    }
    if let Some(file) = &args.html {
        return super::page::map(registry, args, file);
    }
    about(
        registry,
        &args.image,
        &args.engine,
        args.json,
        |disk, disks| Ok(disks.whole(disk.len())),
    )
}

/// The blocks in a file: one, or a range, a line; what follows a `#` is a comment.
fn listed(file: &Path) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    let mut input: Box<dyn BufRead> = if file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = std::fs::File::open(file)?;
        // About a line for each eight bytes.
        let lines = file.metadata().map_or(0, |m| m.len() / 8);
        spans.reserve(usize::try_from(lines).unwrap_or(0).min(1 << 20));
        Box::new(io::BufReader::with_capacity(1 << 16, file))
    };
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let span = line_span(line.trim_ascii());
        spans.extend(span.with_context(|| format!("line {number}"))?);
    }
    Ok(spans)
}

/// What a line of a list says; a list may have a million that are a number and nothing else.
fn line_span(line: &[u8]) -> Result<Option<Span>> {
    if let Some(block) = plain_number(line) {
        return Ok(Some(Span {
            disk: None,
            start: block * 4096,
            end: (block + 1) * 4096,
        }));
    }
    // A list may begin with a byte order mark.
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    let text = std::str::from_utf8(line)?;
    let text = text.split('#').next().unwrap_or_default().trim();
    let span = (!text.is_empty()).then(|| range_of::<4096>(text));
    span.transpose().map_err(anyhow::Error::msg)
}

/// A number of no more than fifteen digits.
fn plain_number(line: &[u8]) -> Option<u64> {
    let digits = line.iter().map(|byte| byte.wrapping_sub(b'0'));
    let few = (1..=15).contains(&line.len());
    (few && digits.clone().all(|d| d < 10))
        .then(|| digits.fold(0, |number, digit| number * 10 + u64::from(digit)))
}

fn about(
    registry: &Registry,
    image: &Path,
    engine: &EngineArgs,
    json: bool,
    wanted: impl FnOnce(&dyn ReadAt, &Disks) -> Result<RangeSet>,
) -> Result<ExitCode> {
    let diagnostics = Diagnostics::new();
    let (disk, disks) = disks::open(image, engine, &diagnostics)?;
    let wanted = wanted(&*disk, &disks)?;
    let progress = Bar::new();
    let mut options = sources::options(registry, engine, &progress);
    options.disks = disks;
    let options = guest::narrowed(&disk, options);
    let asked = Asked {
        base: Some(image.to_string_lossy().into_owned()),
        diagnostics: diagnostics.take(),
        ..Asked::default()
    };
    let whole = tell(&disk, &wanted, &options, json, &progress, asked)?;
    let outcome = Outcome {
        whole,
        ..Outcome::WHOLE
    };
    Ok(outcome.code(false, engine.partial_ok))
}

/// What is known of the question before it is answered.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) overlay: Option<String>,
    pub(crate) base: Option<String>,
    pub(crate) precision: Option<Precision>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Writes the owners of `wanted` as they are found. Gives whether all of them were.
pub(crate) fn tell(
    disk: &Arc<dyn ReadAt>,
    wanted: &RangeSet,
    options: &Options<'_>,
    json: bool,
    progress: &Bar,
    asked: Asked,
) -> Result<bool> {
    let (feed, texts) = mpsc::sync_channel(TEXTS_AHEAD);
    let spare = &Spare::default();
    let (found, written) = thread::scope(|scope| {
        // Text is written while the next owners are looked up.
        let writer = scope.spawn(move || write(texts, spare, json));
        let mut visitor = Text {
            form: Form::Human(HumanOwners::default()),
            json,
            asked,
            feed,
            spare,
        };
        let found = visit_owners(disk, wanted, options, &mut visitor).and_then(|mut end| {
            let before = std::mem::take(&mut visitor.asked.diagnostics);
            end.diagnostics.splice(0..0, before);
            visitor.take(visitor.form.end(&end))?;
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
    status::say_coverage(&end.summary);
    let outcome = Outcome {
        whole: end.summary.complete,
        ..Outcome::WHOLE
    };
    Ok(outcome.with(&end.diagnostics).whole)
}

/// Texts that may wait to be written.
const TEXTS_AHEAD: usize = 16;

/// About the bytes of a line of JSON.
const LINE: usize = 256;
/// Lines that most texts have less than.
const LINES: usize = 1024;

/// Texts that were written: the memory of the next ones.
#[derive(Default)]
struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    /// Room for `lines`: memory that grows piece by piece is fresh at every size.
    fn take(&self, lines: usize) -> Vec<u8> {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = spare.pop().unwrap_or_default();
        let room = lines.max(LINES) * LINE;
        if text.capacity() < room {
            text = Vec::with_capacity(room);
        }
        text
    }

    fn put(&self, mut text: Vec<u8>) {
        text.clear();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(text);
    }
}

/// How it is written.
enum Form {
    Json(JsonOwners),
    Human(HumanOwners),
}

impl Form {
    fn begin(&self, header: &Header) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        if let Self::Json(form) = self {
            form.begin(&mut out, header)?;
        }
        Ok(out)
    }

    fn names(&self, names: &FileNames) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        if let Self::Json(form) = self {
            form.names(&mut out, names)?;
        }
        Ok(out)
    }

    fn owners(&self, records: &[OwnerRecord], mut out: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Json(form) => form.owners(&mut out, records)?,
            Self::Human(form) => form.owners(&mut out, records)?,
        }
        Ok(out)
    }

    fn end(&self, end: &OwnerEnd) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Json(form) => form.end(&mut out, end)?,
            Self::Human(form) => form.end(&mut out, end)?,
        }
        Ok(out)
    }
}

/// Writes the texts until there are no more.
fn write(texts: mpsc::Receiver<Vec<u8>>, spare: &Spare, json: bool) -> io::Result<()> {
    let mut out: Box<dyn Write> = if json {
        output::json()
    } else {
        Box::new(output::coloured())
    };
    for text in texts {
        out.write_all(&text)?;
        spare.put(text);
    }
    out.flush()
}

/// Makes text of what is found, and hands it to the writer.
struct Text<'a> {
    form: Form,
    json: bool,
    asked: Asked,
    feed: mpsc::SyncSender<Vec<u8>>,
    spare: &'a Spare,
}

impl OwnerVisitor for Text<'_> {
    type Made = io::Result<Vec<u8>>;

    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> hexz_resolve::Result<()> {
        self.form = match self.json {
            true => Form::Json(JsonOwners::new(volumes)),
            false => Form::Human(HumanOwners::new(volumes)),
        };
        let mut header = header.clone();
        header.overlay = self.asked.overlay.take();
        header.base = self.asked.base.take();
        header.precision = self.asked.precision;
        self.take(self.form.begin(&header))
    }

    fn names(&self, names: &FileNames) -> hexz_resolve::Result<()> {
        self.take(self.form.names(names))
    }

    fn make(&self, records: &[OwnerRecord]) -> Self::Made {
        let text = self.spare.take(records.len());
        self.form.owners(records, text)
    }

    fn take(&self, text: Self::Made) -> hexz_resolve::Result<()> {
        let text = text.map_err(|e| Error::io("output", e))?;
        // The writer has ended when it can't write; it says why.
        let sent = self.feed.send(text);
        sent.map_err(|_| Error::io("output", "it can't be written"))
    }
}
