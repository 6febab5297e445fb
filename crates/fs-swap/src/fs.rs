//! An open swap area.

use std::sync::Arc;

use hexz_resolve::{
    Attributes, Claim, Diagnostic, Error, FileKey, FileSet, Filesystem, FsInfo, FsState, Link,
    LinkCoverage, OpenContext, RangeSet, ReadAt, Replayed, Result, Scan, Sink, Window,
};

use crate::ondisk::{Header, Kind};
use crate::probe;

/// One view of a swap area.
pub(crate) struct Swap {
    pub(crate) info: FsInfo,
    pub(crate) header: Header,
    pub(crate) reader: Arc<dyn ReadAt>,
    /// Nothing: there is no journal.
    replayed: Replayed,
}

pub(crate) fn open(volume: Arc<dyn ReadAt>, cx: &OpenContext<'_>) -> Result<Swap> {
    let window = Window::read(&*volume);
    let header = probe::find(&window).unwrap_or_else(|| {
        Err(Error::corrupt("swap header")
            .at(0)
            .message("no signature ends its first page"))
    })?;
    if header.kind == Kind::Suspended {
        let text = "a system is suspended to this swap area";
        cx.diagnose(Diagnostic::info("swap-suspended", text).at(0));
    }
    let size = header.size.unwrap_or(volume.len());
    if size > volume.len() {
        let text = format!(
            "the swap area takes up {size} bytes, the volume has {}",
            volume.len()
        );
        cx.diagnose(Diagnostic::warning("volume-truncated", text).at(volume.len()));
    }
    let uuid = header.uuid;
    Ok(Swap {
        info: FsInfo {
            filesystem: "swap",
            label: header.label.clone(),
            uuid: uuid.map(|uuid| uuid.to_string()),
            identity: uuid.map_or(Vec::new(), |uuid| uuid.as_bytes().to_vec()),
            block_size: u32::try_from(header.page).unwrap_or(u32::MAX),
            size,
            state: FsState::Clean,
            transactions_replayed: 0,
            local_times: false,
        },
        header,
        reader: volume,
        replayed: Replayed::default(),
    })
}

impl Filesystem for Swap {
    fn info(&self) -> &FsInfo {
        &self.info
    }

    fn reader(&self) -> &Arc<dyn ReadAt> {
        &self.reader
    }

    fn replayed(&self) -> &Replayed {
        &self.replayed
    }

    /// There is none, and no file has this number.
    fn root(&self) -> FileKey {
        FileKey::new(0)
    }

    fn claims(&self, wanted: &RangeSet, cx: &Scan<'_>, out: &mut dyn Sink<Claim>) -> Result<()> {
        self.scan_claims(wanted, cx, out)
    }

    fn links(
        &self,
        _wanted: &FileSet,
        _cx: &Scan<'_>,
        _out: &mut dyn Sink<Link>,
    ) -> Result<LinkCoverage> {
        Ok(Self::no_links())
    }

    fn attributes(
        &self,
        _files: &FileSet,
        _cx: &Scan<'_>,
        _out: &mut dyn Sink<Attributes>,
    ) -> Result<()> {
        Self::no_attributes()
    }

    fn entries(
        &self,
        _directories: &FileSet,
        _cx: &Scan<'_>,
        _out: &mut dyn Sink<Link>,
    ) -> Result<()> {
        Ok(())
    }

    fn extents(&self, _files: &FileSet, _cx: &Scan<'_>, _out: &mut dyn Sink<Claim>) -> Result<()> {
        Ok(())
    }
}
