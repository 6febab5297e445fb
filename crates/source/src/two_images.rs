//! Two images of one disk: what both are known to share is left out.

use hexz_resolve::{
    ByteRange, ChangeSet, ChangeSource, Diagnostics, Error, Limits, Loaded, OpenGate, Precision,
    ReadAt as _, Result,
};

use crate::chain::Chain;
use crate::compare::candidates;
use crate::directory;
use crate::format::{Format, is_luks};
use crate::image::Image;
use crate::open::{Given, open};

/// Bytes of one block of the comparison.
pub(crate) const BLOCK: u64 = 4096;

/// Two images, before and after.
#[derive(Clone, Debug)]
pub struct TwoImages {
    /// The disk before.
    pub a: Given,
    /// The disk after.
    pub b: Given,
}

impl TwoImages {
    /// `a` and `b`, of any format each.
    #[must_use]
    pub fn new(a: impl Into<Given>, b: impl Into<Given>) -> Self {
        Self {
            a: a.into(),
            b: b.into(),
        }
    }
}

impl ChangeSource for TwoImages {
    /// The changed ranges are candidates, until both disks are compared there.
    fn load(&self, limits: &Limits, gate: &dyn OpenGate) -> Result<Loaded> {
        let found = Diagnostics::new();
        let a = open(&self.a, &mut Chain::new(limits, gate, &found))?;
        let b = open(&self.b, &mut Chain::new(limits, gate, &found))?;
        let encrypted = |image: &Image| image.format == Format::Raw && is_luks(image);
        let (before, after) = (encrypted(&a), encrypted(&b));
        if before != after {
            let given = if before { &self.a } else { &self.b };
            return Err(Error::unsupported(
                "image",
                format!(
                    "{} is encrypted with LUKS, and the other image is not: open it with \
                     `cryptsetup open --readonly` and give the device that this makes",
                    given.path.display()
                ),
            ));
        }
        let paths = [self.a.path.as_path(), self.b.path.as_path()];
        let (a, b, ranges) = match directory::pair(&a, &b, paths, limits)? {
            Some(files) => files,
            None => {
                let ranges = candidates(&a, &b, gate, &found)?;
                (a, b, ranges)
            }
        };
        let whole = ByteRange::new(0, a.len().max(b.len()));
        Ok(Loaded {
            changes: ChangeSet {
                ranges: ranges.aligned_out(BLOCK).clipped(whole),
                block_size: u32::try_from(BLOCK).unwrap_or(u32::MAX),
                candidates: true,
                precision: Precision::Exact,
                diagnostics: found.take(),
            },
            base: Some(a),
            merged: Some(b),
            overlay_name: Some(self.b.path.display().to_string()),
            base_name: Some(self.a.path.display().to_string()),
        })
    }
}
