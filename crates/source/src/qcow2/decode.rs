//! Compressed clusters.

use std::io::Read;

use hexz_ondisk::read;
use hexz_resolve::{Error, ReadAt, Result};
use miniz_oxide::inflate::{TINFLStatus, decompress_slice_iter_to_slice};
use ruzstd::decoding::StreamingDecoder;

use super::header::Compression;
use crate::num::{u64_of, usize_of};

/// Fills `out`, as long as a cluster, with the cluster that is compressed at `host`.
pub(super) fn cluster(
    file: &dyn ReadAt,
    compression: Compression,
    host: u64,
    length: u32,
    out: &mut [u8],
) -> Result<()> {
    // The length counts whole sectors; the last one need not be whole where the file ends.
    let length = u64::from(length).min(file.len().saturating_sub(host));
    let raw = read(file, "qcow2 compressed cluster", host, usize_of(length))?;
    let wrong = |what: String| {
        Error::corrupt("qcow2 compressed cluster")
            .at(host)
            .message(what)
    };
    let written = match compression {
        Compression::Deflate => inflate(&raw, out).map_err(wrong)?,
        Compression::Zstd => zstd(&raw, out).map_err(wrong)?,
    };
    if written != out.len() {
        return Err(wrong("it ends early".into())
            .expected(format_args!("{} bytes", out.len()))
            .found(written));
    }
    Ok(())
}

/// A raw deflate stream; what follows it belongs to others.
fn inflate(raw: &[u8], out: &mut [u8]) -> std::result::Result<usize, String> {
    let length = out.len();
    match decompress_slice_iter_to_slice(out, std::iter::once(raw), false, true) {
        Ok(written) => Ok(written),
        Err(TINFLStatus::HasMoreOutput) => Ok(length),
        Err(status) => Err(format!("deflate: {status:?}")),
    }
}

/// A zstd frame; what follows it belongs to others.
fn zstd(raw: &[u8], out: &mut [u8]) -> std::result::Result<usize, String> {
    // A frame of one cluster needs no longer window than that.
    let window = u64_of(out.len()).max(8 << 20);
    let mut decoder =
        StreamingDecoder::new_with_max_window_size(raw, window).map_err(|e| e.to_string())?;
    let whole = out.len();
    let mut rest = out;
    while !rest.is_empty() {
        match decoder.read(rest).map_err(|e| format!("zstd: {e}"))? {
            0 => break,
            got => rest = rest.get_mut(got..).unwrap_or_default(),
        }
    }
    Ok(whole.saturating_sub(rest.len()))
}
