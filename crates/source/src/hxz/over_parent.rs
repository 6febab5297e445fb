//! The change source of an archive by itself: what it holds that its parent does not.

use std::path::{Path, PathBuf};

use hexz_resolve::{ChangeSource, Error, Limits, Loaded, OpenGate, Result};

use super::read_header;
use crate::file::RawFile;
use crate::open::Given;
use crate::two_images::TwoImages;

/// An archive over the parent that it names.
#[derive(Clone, Debug)]
pub(crate) struct OverParent {
    /// The archive after.
    pub(crate) path: PathBuf,
    /// The archive before, where it names none.
    pub(crate) or_base: Option<Given>,
}

impl ChangeSource for OverParent {
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        let before = self.before(gate)?;
        TwoImages::new(before, &self.path).load(limits, gate)
    }
}

impl OverParent {
    fn before(&self, gate: &dyn OpenGate) -> Result<Given> {
        let name = self.path.display();
        let refused = |text: String| Err(Error::unsupported("change set", text));
        let header = read_header(&RawFile::open(&self.path)?, &self.path)?;
        match (header.parents.as_slice(), &self.or_base) {
            ([parent], _) => Ok(Given::from(gate.allow(Path::new(parent), &self.path)?)),
            ([], Some(base)) => Ok(base.clone()),
            ([], None) => refused(format!(
                "{name} is an archive that stands on no other, so it says of no change: give the \
                 one before it too, `hexz diff --files BEFORE {name}`"
            )),
            (several, _) => refused(format!(
                "{name} is an archive that stands on {} others: say which one is the disk before, \
                 `hexz diff --files BEFORE {name}`",
                several.len()
            )),
        }
    }
}
