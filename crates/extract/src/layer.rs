//! One layer in the sense of the OCI image specification, as a tar archive.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md>: files that were added or
//! changed are there whole, `.wh.NAME` marks what was deleted, and `.wh..wh..opq` in a directory
//! hides what the layers below have in it.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;

use hexz_resolve::report::Change;
use hexz_resolve::{Attributes, FileKey, FileKind, Progress, ReadAt, read_vec};

use crate::budget::Budget;
use crate::copy::pieces;
use crate::extractor::join;
use crate::lookup::Lookup;
use crate::name::Name;
use crate::pax::{Body, Writer};
use crate::plan::{Item, NO_FILE, Plan, by_name, plan};
use crate::problem::Problems;
use crate::restore;
use crate::tree::Tree;
use crate::upper;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Files of up to this many bytes are read before their entry begins; larger ones are read twice.
const SMALL: u64 = 8 << 20;

/// The two views of one volume, where it has a filesystem in them.
#[derive(Clone, Copy, Debug)]
pub struct Views<'d> {
    /// Before the change.
    pub before: Option<Tree<'d>>,
    /// After it.
    pub after: Option<Tree<'d>>,
}

/// How a layer is written.
pub struct LayerOptions<'a> {
    /// Whether files with large holes are written as sparse files.
    pub sparse: bool,
    /// What may be written.
    pub budget: &'a Budget,
    /// Where what is left out is noted.
    pub problems: &'a Problems,
    /// Told how far it is.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for LayerOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerOptions")
            .field("sparse", &self.sparse)
            .finish_non_exhaustive()
    }
}

/// Why a layer can't be written.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The image.
    #[error(transparent)]
    Image(#[from] hexz_resolve::Error),
    /// Where it is written to.
    #[error("the archive can't be written")]
    Write(#[from] io::Error),
}

/// Writes the layer that `changes` of one volume make; gives `out` and the number of entries.
///
/// # Errors
/// When it can't be written. A file that can't be read is left out, and is among the problems.
pub fn write_layer<'c, W: Write>(
    changes: impl Iterator<Item = &'c Change>,
    views: Views<'_>,
    options: &LayerOptions<'_>,
    out: W,
) -> Result<(W, u64), LayerError> {
    let mut before = views.before.map(Lookup::new);
    let mut after = views.after.map(Lookup::new);
    let plan = plan(changes, before.as_mut(), after.as_mut(), options.problems)?;
    let mut layer = Layer {
        tree: views.after,
        options,
        out: Writer::new(out, options.sparse),
        names: HashMap::new(),
        entries: 0,
    };
    layer.all(&plan)?;
    Ok((layer.out.finish()?, layer.entries))
}

struct Layer<'a, W> {
    tree: Option<Tree<'a>>,
    options: &'a LayerOptions<'a>,
    out: Writer<W>,
    /// The first path of each file with several names.
    names: HashMap<FileKey, Vec<u8>>,
    entries: u64,
}

impl<W: Write> Layer<'_, W> {
    fn all(&mut self, plan: &Plan) -> Result<(), LayerError> {
        let mut whole: Option<&[u8]> = None;
        let mut items: Vec<(&[u8], &Item)> = plan.iter().map(|(p, i)| (p.as_slice(), i)).collect();
        items.sort_by(|(a, _), (b, _)| by_name(a, b));
        for (path, item) in items {
            // A directory that is there whole has written what is below it.
            if whole.is_some_and(|top| is_below(path, top)) {
                continue;
            }
            match item {
                Item::File(attributes) => self.file(path, attributes)?,
                Item::Gone => self.gone(path)?,
                Item::Whole { directory, opaque } => {
                    self.whole(path, directory, *opaque)?;
                    whole = Some(path);
                }
            }
        }
        Ok(())
    }

    /// A directory and all below it, in the order of the names.
    fn whole(&mut self, path: &[u8], directory: &Attributes, opaque: bool) -> io::Result<()> {
        self.file(path, directory)?;
        // Of an upper folder the directory itself says whether it is.
        if opaque && !self.tree.is_some_and(|tree| tree.is_upper()) {
            self.mark(&join(path, OPAQUE))?;
        }
        let Some(tree) = self.tree else {
            return Ok(());
        };
        let mut seen: HashSet<FileKey> = HashSet::from([directory.key]);
        let mut todo = vec![(path.to_vec(), directory.key)];
        while let Some((path, key)) = todo.pop() {
            let mut inner = Vec::new();
            let entries = tree.children(&[key], self.options.problems);
            for entry in entries.into_iter().flatten() {
                let path = join(&path, entry.name.as_bytes());
                if let Err(reason) = Name::new(entry.name.as_bytes()) {
                    self.left_out(&path, reason);
                    continue;
                }
                let Some(attributes) = entry.attributes else {
                    self.left_out(&path, NO_FILE);
                    continue;
                };
                if tree.is_internal(attributes.key) {
                    continue;
                }
                self.file(&path, &attributes)?;
                if attributes.kind.has_entries() {
                    match seen.insert(attributes.key) {
                        true => inner.push((path, attributes.key)),
                        false => self.left_out(&path, "the directory has another path already"),
                    }
                }
            }
            todo.extend(inner.into_iter().rev());
        }
        Ok(())
    }

    fn gone(&mut self, path: &[u8]) -> io::Result<()> {
        let at = path.iter().rposition(|b| *b == b'/');
        let Some((above, [_, name @ ..])) = at.and_then(|at| path.split_at_checked(at)) else {
            return Ok(());
        };
        if name.starts_with(WHITEOUT) {
            // No layer could have brought it.
            return Ok(());
        }
        let name = [WHITEOUT, name].concat();
        self.mark(&join(above, &name))
    }

    fn mark(&mut self, path: &[u8]) -> io::Result<()> {
        let nothing = Attributes::new(FileKey::new(0), FileKind::File);
        self.entries = self.entries.saturating_add(1);
        self.out.add(inside(path), &nothing, Body::Mark)
    }

    fn left_out(&self, path: &[u8], reason: impl Into<String>) {
        let volume = self.tree.map_or("", |tree| tree.volume().name());
        self.options.problems.left_out(volume, path, reason);
    }

    /// One entry. What is wrong with the file itself is a problem, and not an error.
    fn file(&mut self, path: &[u8], attributes: &Attributes) -> io::Result<()> {
        if !self.tree.is_some_and(|tree| tree.is_upper()) {
            return self.plain(path, attributes);
        }
        if upper::is_whiteout(attributes) {
            return self.gone(path);
        }
        if let Some(reason) = upper::elsewhere(attributes) {
            self.left_out(path, reason);
            return Ok(());
        }
        let mut shown = attributes.clone();
        upper::strip(&mut shown);
        self.plain(path, &shown)?;
        match upper::is_opaque(attributes) {
            true => self.mark(&join(path, OPAQUE)),
            false => Ok(()),
        }
    }

    fn plain(&mut self, path: &[u8], attributes: &Attributes) -> io::Result<()> {
        if let Err(reason) = Name::path(path) {
            self.left_out(path, reason);
            return Ok(());
        }
        let last = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
        if last.starts_with(WHITEOUT) {
            self.left_out(
                path,
                "in a layer its name would mark another file as deleted",
            );
            return Ok(());
        }
        if attributes.kind == FileKind::Socket {
            // Whoever made it is not running; no archive holds one.
            return Ok(());
        }
        let many = !attributes.kind.has_entries() && attributes.nlink.is_some_and(|n| n > 1);
        let inside = inside(path);
        if many && let Some(first) = self.names.get(&attributes.key) {
            self.entries = self.entries.saturating_add(1);
            return self.out.add(inside, attributes, Body::NameOf(first));
        }
        let content = match self.readable(attributes) {
            Ok(content) => content,
            Err(reason) => {
                self.left_out(path, reason);
                return Ok(());
            }
        };
        let sparse = self.options.sparse;
        let bytes = content.as_ref().map_or(0, |content| match sparse {
            true => content
                .data_in(hexz_resolve::ByteRange::new(0, content.len()))
                .len(),
            false => content.len(),
        });
        if let Err(reason) = self
            .check(attributes)
            .and_then(|()| self.options.budget.file(bytes))
        {
            self.left_out(path, reason);
            return Ok(());
        }
        let content = match content.map(|content| whole(content, sparse)).transpose() {
            Ok(content) => content,
            Err(reason) => {
                self.left_out(path, reason);
                return Ok(());
            }
        };
        self.out
            .add(inside, attributes, Body::Itself(content.as_deref()))?;
        self.options.progress.advance(bytes);
        self.entries = self.entries.saturating_add(1);
        if many {
            self.names.insert(attributes.key, inside.to_vec());
        }
        Ok(())
    }

    /// What an entry can't hold, before anything of it is written.
    fn check(&self, attributes: &Attributes) -> Result<(), String> {
        let nothing: Vec<u8> = Vec::new();
        let nothing: &dyn ReadAt = &nothing;
        let content = (attributes.kind == FileKind::File).then_some(nothing);
        if attributes.kind == FileKind::Symlink && attributes.target.is_none() {
            return Err("where the link leads can't be read".to_owned());
        }
        Writer::new(io::sink(), false)
            .add(b"", attributes, Body::Itself(content))
            .map_err(|error| error.to_string())
    }

    fn readable(&self, attributes: &Attributes) -> Result<Option<Arc<dyn ReadAt>>, String> {
        match (self.tree, attributes.kind) {
            (Some(tree), FileKind::File) => {
                let content = tree.content(attributes.key, None);
                content.map(Some).map_err(|error| restore::reason(&error))
            }
            _ => Ok(None),
        }
    }
}

/// `content`, once all of it was read: an entry that has begun can't be taken back.
fn whole(content: Arc<dyn ReadAt>, sparse: bool) -> Result<Arc<dyn ReadAt>, String> {
    let all = hexz_resolve::ByteRange::new(0, content.len());
    let data = content.data_in(all);
    let holes = sparse && data.len() < content.len();
    if content.len() <= SMALL && !holes {
        let length = usize::try_from(content.len()).map_err(|e| e.to_string())?;
        let bytes = read_vec(&*content, 0, length);
        return match bytes {
            Ok(bytes) => Ok(Arc::new(bytes)),
            Err(error) => Err(format!("it can't be read: {}", crate::copy::chain(&error))),
        };
    }
    for range in &data {
        pieces(&*content, range, |_, _| Ok(()))?;
    }
    Ok(content)
}

/// The name of an entry: a path without the slash at its start.
fn inside(path: &[u8]) -> &[u8] {
    match path {
        b"/" => b".",
        [b'/', rest @ ..] => rest,
        path => path,
    }
}

fn is_below(path: &[u8], top: &[u8]) -> bool {
    top == b"/"
        || path
            .strip_prefix(top)
            .is_some_and(|rest| rest.first() == Some(&b'/'))
}
