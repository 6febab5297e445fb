//! A diff that is written, or put together for people, while it is found.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use anyhow::Result;
use hexz_report::{Changes, Form, Heard, Human, JsonForTerminal, Places};
use hexz_resolve::engine::{Options, diff_to};
use hexz_resolve::report::{Change, DiffEnd, DiffVisitor, FileNames, Header, VolumeRecord};
use hexz_resolve::{Error, Loaded};

use crate::args::DiffArgs;
use crate::behind::Behind;
use crate::guest::places;
use crate::output;

/// Writes the diff of `loaded`. Gives what is known at its end, and whether there is a change to
/// speak of.
pub(crate) fn diff(
    loaded: &Loaded,
    options: &Options<'_>,
    args: &DiffArgs,
    form: Form,
) -> Result<(DiffEnd, bool)> {
    // What is asked for is read before anything is looked for.
    let selection = args.view.selection(&args.paths, Places::default())?;
    let mut stream = Stream {
        changes: Changes::new(form, selection),
        places: &|volumes| places(loaded, volumes, options, args.view.volume_paths),
        out: Mutex::new(Behind::new(WAITING, move || output(form))),
        failed: Mutex::new(None),
        found: AtomicBool::new(false),
    };
    let end = diff_to(loaded, options, &mut stream);
    // A run ends early when nothing can be written any more; then that is the reason.
    if let Some(error) = stream
        .failed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
    {
        return Err(error.into());
    }
    let end = end?;
    let mut out = stream.out.lock().unwrap_or_else(PoisonError::into_inner);
    stream.changes.end(&mut *out, &end)?;
    out.end()?;
    let found = stream.found.load(Ordering::Relaxed);
    let found = stream.changes.selection().finds(&end.summary, found);
    Ok((end, found))
}

/// Standard output; JSON safe where a terminal shows it.
fn output(form: Form) -> Box<dyn Write + Send> {
    let out = BufWriter::with_capacity(1 << 16, io::stdout());
    match form {
        Form::Json if io::stdout().is_terminal() => Box::new(JsonForTerminal::new(out)),
        _ => Box::new(out),
    }
}

/// Bytes of one part of a text.
const PART: usize = 1 << 20;
/// Parts that may wait to be written.
const WAITING: usize = 32;

/// What is to be written, in parts: one change may be of a hundred megabytes, and as one piece of
/// memory it would take up to twice as many while it grows.
#[derive(Default)]
struct Text(Vec<Vec<u8>>);

impl Text {
    fn with_capacity(bytes: usize) -> Self {
        Self(vec![Vec::with_capacity(bytes.min(PART))])
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.last_mut() {
            Some(last) if last.len() + bytes.len() <= PART => last.extend_from_slice(bytes),
            _ => {
                let mut next = Vec::with_capacity(bytes.len().max(PART / 4));
                next.extend_from_slice(bytes);
                self.0.push(next);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Stream<'a> {
    changes: Changes,
    places: &'a (dyn Fn(&[VolumeRecord]) -> Places + Sync),
    out: Mutex<Behind>,
    failed: Mutex<Option<io::Error>>,
    /// Whether any change is at or below the paths that were asked for.
    found: AtomicBool,
}

impl Stream<'_> {
    fn write(&self, text: io::Result<Text>) -> hexz_resolve::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let write = |text: Text| text.0.into_iter().try_for_each(|part| out.hand(part));
        text.and_then(write).map_err(|error| {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            *failed = Some(error);
            Error::io("output", "it can't be written")
        })
    }
}

impl DiffVisitor for Stream<'_> {
    type Made = io::Result<Text>;

    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> hexz_resolve::Result<()> {
        self.changes.set_places((self.places)(volumes));
        let mut text = Text::default();
        let begun = self.changes.begin(&mut text, header, volumes);
        self.write(begun.map(|()| text))
    }

    fn names(&self, names: &FileNames) -> hexz_resolve::Result<()> {
        let mut text = Text::default();
        let written = self.changes.names(&mut text, names);
        self.write(written.map(|()| text))
    }

    fn make(&self, changes: Vec<Change>) -> Self::Made {
        if !self.found.load(Ordering::Relaxed)
            && changes
                .iter()
                .any(|change| self.changes.selection().in_paths(change))
        {
            self.found.store(true, Ordering::Relaxed);
        }
        let mut text = Text::with_capacity(changes.len() * 512);
        self.changes.changes(&mut text, &changes)?;
        Ok(text)
    }

    fn take(&self, text: Self::Made) -> hexz_resolve::Result<()> {
        self.write(text)
    }
}

/// Bytes of what a person is told that there is room for in any case.
const ROOM: usize = 1 << 20;

/// Tells the diff of `loaded` to a person. Gives what is known at its end, and whether there is a
/// change to speak of.
pub(crate) fn people(
    loaded: &Loaded,
    options: &Options<'_>,
    args: &DiffArgs,
    done: impl FnOnce(),
) -> Result<(DiffEnd, bool)> {
    let selection = args.view.selection(&args.paths, Places::default())?;
    let room = options.limits.memory.max(ROOM);
    let human = Human::new(selection, args.view.view(), room);
    let mut people = People {
        human: RwLock::new(human),
        places: &|volumes| places(loaded, volumes, options, args.view.volume_paths),
    };
    let end = diff_to(loaded, options, &mut people);
    done();
    let end = end?;
    let human = people.human.into_inner();
    let human = human.unwrap_or_else(PoisonError::into_inner);
    let mut out = output::coloured();
    human.end(&mut out, &end.regions, &end.summary)?;
    out.flush()?;
    let found = human.selection().finds(&end.summary, human.found());
    Ok((end, found))
}

struct People<'a> {
    human: RwLock<Human>,
    places: &'a (dyn Fn(&[VolumeRecord]) -> Places + Sync),
}

impl DiffVisitor for People<'_> {
    type Made = Heard;

    fn begin(&mut self, header: &Header, volumes: &[VolumeRecord]) -> hexz_resolve::Result<()> {
        let human = self.human.get_mut().unwrap_or_else(PoisonError::into_inner);
        human.begin(header, volumes, (self.places)(volumes));
        Ok(())
    }

    fn make(&self, changes: Vec<Change>) -> Self::Made {
        let human = self.human.read().unwrap_or_else(PoisonError::into_inner);
        human.hear(&changes)
    }

    fn take(&self, heard: Self::Made) -> hexz_resolve::Result<()> {
        let mut human = self.human.write().unwrap_or_else(PoisonError::into_inner);
        human.keep(&heard);
        Ok(())
    }
}
