//! The parent locator of a differencing disk: names of its parent, and what it is known by.

use std::path::PathBuf;

use hexz_ondisk::{Fields, Guid, read, wtf8_from_utf16le};
use hexz_resolve::{ByteRange, Error, ReadAt, Result};

use crate::layer::ImageId;
use crate::num::usize_of;
use crate::vhd::windows_path;

/// `{b04aefb7-d19e-4a81-b789-25b8e9445913}`: the one type of locator there is.
const VHDX_LOCATOR: u128 = 0xB04A_EFB7_D19E_4A81_B789_25B8_E944_5913;
/// Longest locator: five pairs, whose values are paths of Windows.
const MAX_BYTES: u64 = 1 << 20;
/// Keys of paths, in the order in which Windows tries them.
const PATHS: [&str; 3] = ["relative_path", "volume_path", "absolute_win32_path"];
const LINKAGES: [&str; 2] = ["parent_linkage", "parent_linkage2"];

/// The names of the parent in the locator at `place`, and the ids by which it is known.
pub(super) fn read_locator(
    file: &dyn ReadAt,
    place: ByteRange,
) -> Result<(Vec<PathBuf>, Vec<ImageId>)> {
    if place.len() > MAX_BYTES {
        let text = format!("{} bytes; at most {MAX_BYTES} are read", place.len());
        return Err(Error::limit("vhdx parent locator", text).at(place.start()));
    }
    let bytes = read(
        file,
        "vhdx parent locator",
        place.start(),
        usize_of(place.len()),
    )?;
    let f = Fields::new("vhdx parent locator", place.start(), &bytes);
    let kind = Guid::from_mixed(f.array(0)?);
    if kind != Guid::from_bytes(VHDX_LOCATOR.to_be_bytes()) {
        let text = format!("a locator of type {kind}");
        return Err(Error::unsupported("vhdx parent locator", text).at(place.start()));
    }
    let mut pairs = Vec::new();
    for number in 0..usize::from(f.le16(18)?) {
        let entry = f.sub(
            "vhdx parent locator",
            number.saturating_mul(12).saturating_add(20),
            12,
        )?;
        let part = |at, length| f.bytes(usize_of(u64::from(at)), usize::from(length));
        let key = part(entry.le32(0)?, entry.le16(8)?)?;
        let value = part(entry.le32(4)?, entry.le16(10)?)?;
        pairs.push((wtf8_from_utf16le(key), value));
    }
    let names = values(&pairs, &PATHS).map(windows_path);
    let names = names.filter(|name| !name.as_os_str().is_empty()).collect();
    let ids = values(&pairs, &LINKAGES).map(|value| {
        let text = String::from_utf8_lossy(&wtf8_from_utf16le(value)).to_ascii_lowercase();
        ImageId(text.trim_matches(['{', '}', '\0']).to_owned())
    });
    Ok((names, ids.collect()))
}

/// The values of the keys `wanted`, in the order of these.
fn values<'a>(
    pairs: &'a [(Vec<u8>, &'a [u8])],
    wanted: &'a [&str],
) -> impl Iterator<Item = &'a [u8]> {
    wanted.iter().flat_map(move |wanted| {
        let these = pairs
            .iter()
            .filter(move |(key, _)| key == wanted.as_bytes());
        these.map(|(_, value)| *value)
    })
}
