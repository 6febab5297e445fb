//! Compressed extents.

use std::io::Read as _;

use hexz_resolve::{Error, Result};
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use ruzstd::decoding::StreamingDecoder;

use crate::lzo;

/// No extent decodes to more: the kernel's `BTRFS_MAX_UNCOMPRESSED` is 128 KiB.
pub(crate) const MOST: u64 = 1 << 20;

/// The `ram_bytes` bytes that `packed` decodes to; what it lacks of them are zeros.
pub(crate) fn decompress(
    compression: u8,
    packed: &[u8],
    ram_bytes: u64,
    sector: u32,
) -> Result<Vec<u8>> {
    let most = usize::try_from(ram_bytes)
        .ok()
        .filter(|_| ram_bytes <= MOST);
    let Some(most) = most else {
        let error = Error::corrupt("compressed extent").expected(format_args!("at most {MOST}"));
        return Err(error.found(format_args!("{ram_bytes} bytes")));
    };
    let decoded = match compression {
        1 => zlib(packed, most),
        2 => usize::try_from(sector)
            .ok()
            .and_then(|sector| lzo::unpack(packed, sector, most)),
        3 => zstd(packed, most),
        other => {
            let text = format!("compression of type {other}");
            return Err(Error::unsupported("compressed extent", text));
        }
    };
    let Some(mut decoded) = decoded else {
        let text = "its bytes can't be decoded";
        return Err(Error::corrupt("compressed extent").message(text));
    };
    decoded.resize(most, 0);
    Ok(decoded)
}

fn zlib(packed: &[u8], most: usize) -> Option<Vec<u8>> {
    decompress_to_vec_zlib_with_limit(packed, most).ok()
}

/// Only the first frame counts: zeros may follow it.
fn zstd(packed: &[u8], most: usize) -> Option<Vec<u8>> {
    let decoder = StreamingDecoder::new(packed).ok()?;
    let mut decoded = Vec::new();
    let limit = u64::try_from(most).ok()?;
    decoder.take(limit).read_to_end(&mut decoded).ok()?;
    Some(decoded)
}
