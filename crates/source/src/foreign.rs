//! Formats that other crates read for us, each behind a feature.

use std::path::Path;
use std::sync::Arc;

use hexz_resolve::{ReadAt, Result};

use crate::chain::Chain;
use crate::image::{Format, not_built};

/// Opens the image at `path`.
pub(crate) fn open(format: Format, path: &Path, chain: &Chain<'_>) -> Result<Arc<dyn ReadAt>> {
    let _ = chain;
    Err(not_built(format, path))
}
