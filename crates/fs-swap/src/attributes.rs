//! Attributes: a swap area has no files.

use hexz_resolve::Result;

use crate::fs::Swap;

impl Swap {
    pub(crate) const fn no_attributes() -> Result<()> {
        Ok(())
    }
}
