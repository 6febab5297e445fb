//! The names that the parent of a differencing disk may have.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use hexz_ondisk::{read, wtf8_from_utf16le};
use hexz_resolve::{Error, ReadAt, Result};

use super::ondisk::{Header, Locator};
use crate::num::usize_of;

/// Longest name in a locator: the longest path of Windows, in UTF-16.
const MAX_NAME: u32 = 1 << 16;

/// Platforms, in the order their names are tried: a path from the child, an absolute one (both of
/// Windows, in UTF-16), a URL of a file (in UTF-8). Others are deprecated or not text.
const PLATFORMS: [[u8; 4]; 3] = [*b"W2ru", *b"W2ku", *b"MacX"];

/// The names of the parent, or why they can't be had.
pub(super) fn names(file: &dyn ReadAt, header: &Header) -> Vec<Result<PathBuf>> {
    let mut names = Vec::new();
    for platform in PLATFORMS {
        let all = header.parent_locators.iter();
        for locator in all.filter(|locator| locator.platform_code == platform) {
            names.push(located(file, locator));
        }
    }
    let pairs = header.parent_unicode_name.chunks_exact(2);
    let little_endian: Vec<u8> = pairs.flat_map(|pair| pair.iter().rev().copied()).collect();
    let name = windows_path(&little_endian);
    if !name.as_os_str().is_empty() {
        names.push(Ok(name));
    }
    names
}

fn located(file: &dyn ReadAt, locator: &Locator) -> Result<PathBuf> {
    let (at, length) = (locator.platform_data_offset, locator.platform_data_length);
    if length > MAX_NAME {
        let error = Error::corrupt("vhd parent locator").at(at);
        let expected = format!("at most {MAX_NAME} bytes");
        return Err(error.expected(expected).found(length));
    }
    let bytes = read(file, "vhd parent locator", at, usize_of(u64::from(length)))?;
    Ok(match &locator.platform_code {
        b"MacX" => url_path(&bytes),
        _ => windows_path(&bytes),
    })
}

/// The path in UTF-16, up to a zero, with slashes and without its drive: `C:\vm\a.vhd` is
/// `/vm/a.vhd`. The gate looks for its file name beside the image as well.
pub(crate) fn windows_path(utf16le: &[u8]) -> PathBuf {
    let mut bytes = wtf8_from_utf16le(utf16le);
    bytes.truncate(bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()));
    if let [drive, b':', ..] = bytes.as_slice()
        && drive.is_ascii_alphabetic()
    {
        bytes.drain(..2);
    }
    for byte in bytes.iter_mut().filter(|byte| **byte == b'\\') {
        *byte = b'/';
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// The path of a `file://` URL, with its host and escapes undone.
fn url_path(url: &[u8]) -> PathBuf {
    let url = url.split(|byte| *byte == 0).next().unwrap_or_default();
    let path = url.strip_prefix(b"file://").unwrap_or(url);
    let path = path.strip_prefix(b"localhost").unwrap_or(path);
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        let code = behind
            .get(..2)
            .and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) if *byte == b'%' => {
                out.push(code);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => out.push(*byte),
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn paths_of_other_systems() {
        for (named, path) in [
            (r".\base.vhd", "./base.vhd"),
            (r"..\vms\Grüße.vhd", "../vms/Grüße.vhd"),
            (r"C:\vms\base.vhd", "/vms/base.vhd"),
            ("base.vhd\0rest", "base.vhd"),
        ] {
            let utf16: Vec<u8> = named.encode_utf16().flat_map(u16::to_le_bytes).collect();
            assert_eq!(windows_path(&utf16), Path::new(path), "{named}");
        }
        for (named, path) in [
            ("file://./base%20one.vhd", "./base one.vhd"),
            ("file://localhost/vms/a.vhd\0", "/vms/a.vhd"),
            ("100%.vhd", "100%.vhd"),
        ] {
            assert_eq!(url_path(named.as_bytes()), Path::new(path), "{named}");
        }
    }
}
