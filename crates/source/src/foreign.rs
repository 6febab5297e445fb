//! Formats of other virtual machines, each behind a feature.

use std::path::Path;
use std::sync::Arc;

use hexz_resolve::{ReadAt, Result};

use crate::chain::Chain;
use crate::file::RawFile;
use crate::image::{Format, not_built};

/// Opens the image in `file`, which lies at `path`.
pub(crate) fn open(
    format: Format,
    file: RawFile,
    path: &Path,
    chain: &Chain<'_>,
) -> Result<Arc<dyn ReadAt>> {
    match format {
        #[cfg(feature = "vmdk")]
        Format::Vmdk => Ok(Arc::new(crate::vmdk::Vmdk::open(file, path, chain)?)),
        #[cfg(feature = "vhdx")]
        Format::Vhdx => Ok(Arc::new(crate::vhdx::Vhdx::open(file, path)?)),
        _ => {
            let _ = (file, chain);
            Err(not_built(format, path))
        }
    }
}
