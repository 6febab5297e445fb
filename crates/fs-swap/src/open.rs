//! Opening a swap area.

use std::sync::Arc;

use hexz_resolve::{
    Diagnostic, Error, FsInfo, FsState, OpenContext, ReadAt, Replayed, Result, Window,
};

use crate::fs::Swap;
use crate::ondisk::Kind;
use crate::probe;

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
