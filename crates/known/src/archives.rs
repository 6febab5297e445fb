//! Archives of hexz itself, written onto a device.

use hexz_resolve::{Sign, Window};

use crate::look::{fields, place};

pub(crate) fn hexz(window: &Window) -> Option<Sign> {
    let header = fields(window, "hexz header", 0, 16)?;
    let version = header.le32(4).ok()?;
    let is = header.bytes(0, 4).ok()? == b"HEXZ" && (1..16).contains(&version);
    let sign = Sign::new("hexz", 60, place(0, 16)?)
        .version(version)
        .written(0, 512);
    is.then_some(sign)
}
