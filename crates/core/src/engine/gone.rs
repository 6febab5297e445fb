//! A filesystem of base that is no more in merged: one record says so, for the whole volume.

use std::sync::Arc;

use super::pairing::Pair;
use super::run::{Bound, Run};
use crate::report::{Change, ChangeKind};
use crate::volume::MappedReader;
use crate::{
    Attributes, ByteRange, Diagnostic, FileKind, FileSet, Filesystem, ReadAt, Result, View,
};

/// Bytes that are read at a time.
const STEP: u64 = 1 << 20;

/// What became of a volume whose filesystem is in the base view only.
pub(super) struct Gone {
    /// What the place was and is: `ext4 before; zeros now`.
    pub(super) reason: Option<String>,
    /// That its root went. The files below it are not listed: that they are gone follows.
    pub(super) root: Option<Change>,
}

impl Gone {
    /// Looks at `pair`, whose filesystem was `then`, on the `disk` of the merged view. Where the
    /// place holds anything but zeros, that is not read, and the answer is partial.
    pub(super) fn find(
        run: &Run<'_>,
        pair: &Pair<'_>,
        then: &dyn Filesystem,
        disk: &Arc<dyn ReadAt>,
    ) -> Result<Self> {
        let name = then.info().filesystem;
        let mut reason = None;
        if let Some(now) = pair.merged {
            let device = MappedReader::new(Arc::clone(disk), now.map.clone());
            let text = if is_zeros(run, &device)? {
                format!("{name} before; zeros now")
            } else {
                let text = format!("{name} before; no known filesystem now, and not zeros");
                let finding = format!("{text}: what lies there is not read");
                let finding = Diagnostic::warning("filesystem-gone", finding).losing();
                run.report(Some(&now.name), finding);
                text
            };
            reason = Some(text);
        }
        let root: FileSet = [then.root()].into_iter().collect();
        let found = match pair.base {
            Some(volume) => {
                let bound = Bound {
                    what: "attributes",
                    limit: 1,
                    at_once: 1,
                };
                let place = (View::Base, volume);
                run.ask_into(
                    &run.diagnostics,
                    place,
                    &root,
                    bound,
                    |files, scan, found| then.attributes(files, scan, found),
                )?
            }
            None => Vec::new(),
        };
        Ok(Self {
            reason,
            root: found.into_iter().next().map(deleted_root),
        })
    }
}

fn deleted_root(root: Attributes) -> Change {
    Change {
        volume: 0,
        change: ChangeKind::Deleted,
        path: b"/".to_vec(),
        from: None,
        links: [b"/".to_vec()].into(),
        kind: FileKind::Directory,
        replaced: false,
        content_changed: true,
        attributes: Vec::new(),
        base: Some(root),
        merged: None,
        content_bytes: None,
        changed_bytes: 0,
        ranges: Vec::new(),
    }
}

/// Whether nothing but zeros is left. Where a filesystem was only made unknown, that ends at its
/// first bytes.
fn is_zeros(run: &Run<'_>, device: &dyn ReadAt) -> Result<bool> {
    let mut bytes = Vec::new();
    for data in &device.data_in(ByteRange::new(0, device.len())) {
        let mut at = data.start();
        while at < data.end() {
            run.check()?;
            let length = (data.end() - at).min(STEP);
            bytes.resize(usize::try_from(length).unwrap_or_default(), 0);
            if device.read_exact_at(at, &mut bytes).is_err() || bytes.iter().any(|b| *b != 0) {
                return Ok(false);
            }
            at += length;
        }
    }
    Ok(true)
}
