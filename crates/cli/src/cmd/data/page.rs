//! Pages for a browser.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hexz_report::{MapPage, Places};
use hexz_resolve::Registry;

use crate::args::MapArgs;
use crate::guest;
use crate::progress::Bar;
use crate::sources;
use crate::status;
use crate::whole::whole;

/// How a page begins.
const DOCTYPE: &[u8] = b"<!doctype html>";

/// Writes a page to `file`. A file that is there is written over only where it is a page, and not,
/// say, one of the images.
pub(crate) fn write(
    file: &Path,
    page: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    anyhow::ensure!(
        !other_file(file)?,
        "{} is there and is no page: name another file, or remove it first",
        hexz_report::escaped(file.as_os_str().as_encoded_bytes())
    );
    let written = File::create(file).and_then(|out| {
        let mut out = BufWriter::with_capacity(1 << 16, out);
        page(&mut out)?;
        out.flush()
    });
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// Whether a file with something else in it is there.
fn other_file(file: &Path) -> Result<bool> {
    let regular = fs::metadata(file).is_ok_and(|known| known.is_file() && known.len() > 0);
    if !regular {
        return Ok(false);
    }
    let mut begin = Vec::new();
    let most = DOCTYPE.len() as u64;
    let read = File::open(file).and_then(|f| f.take(most).read_to_end(&mut begin));
    read.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(begin != DOCTYPE)
}

/// Writes the page of the map of an image.
pub(crate) fn map(registry: &Registry, args: &MapArgs, file: &Path) -> Result<ExitCode> {
    let mut found = MapPage::default();
    let (disk, end) = whole(registry, args, "--html", &mut found)?;
    let progress = Bar::new();
    let options = sources::options(registry, &args.engine, &progress);
    let mounts = match found.volumes() {
        [_, _, ..] => guest::mounts_of(&disk, &options),
        _ => Vec::new(),
    };
    progress.finish();
    let places = Places::new(found.volumes(), mounts, false);
    let name = args.image.to_string_lossy();
    write(file, |out| found.write(out, &name, &places, &end))?;
    Ok(status::of_map(&end, &args.engine))
}
