//! Copying contents.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use hexz_resolve::{ByteRange, ReadAt};

/// Bytes that are read at a time.
const CHUNK: u64 = 1 << 20;

/// Reads `range` of `content` piece by piece.
pub(crate) fn pieces(
    content: &dyn ReadAt,
    range: ByteRange,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut buffer = Vec::new();
    let mut at = range.start();
    while at < range.end() {
        let end = at.saturating_add(CHUNK).min(range.end());
        let length = usize::try_from(end.abs_diff(at)).map_err(|e| e.to_string())?;
        buffer.resize(length, 0);
        content
            .read_exact_at(at, &mut buffer)
            .map_err(|error| format!("it can't be read at byte {at}: {}", chain(&error)))?;
        take(at, &buffer)?;
        at = end;
    }
    Ok(())
}

/// Writes all of `content`, holes as zeros.
///
/// # Errors
/// When it can't be read or written.
pub fn copy_to(content: &dyn ReadAt, out: &mut dyn Write) -> Result<(), CopyError> {
    let whole = ByteRange::new(0, content.len());
    let mut failed = None;
    let copied = pieces(content, whole, |_, bytes| {
        out.write_all(bytes).map_err(|error| {
            let text = error.to_string();
            failed = Some(error);
            text
        })
    });
    match (copied, failed) {
        (_, Some(error)) => Err(CopyError::Write(error)),
        (Err(reason), None) => Err(CopyError::Read(reason)),
        (Ok(()), None) => Ok(()),
    }
}

/// Why a copy ended.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The content.
    #[error("{0}")]
    Read(String),
    /// Where it is written to.
    #[error(transparent)]
    Write(std::io::Error),
}

/// Writes `content` to a new file, with its holes left out.
pub(crate) fn fill(content: &dyn ReadAt, file: &OwnedFd) -> Result<(), String> {
    let size = content.len();
    let mut end = 0;
    for range in &content.data_in(ByteRange::new(0, size)) {
        pieces(content, range, |at, bytes| write_at(file, at, bytes))?;
        end = range.end();
    }
    if end < size {
        rustix::fs::ftruncate(file, size)
            .map_err(|error| format!("{size} bytes can't be made: {error}"))?;
    }
    Ok(())
}

fn write_at(file: impl AsFd, at: u64, bytes: &[u8]) -> Result<(), String> {
    let mut at = at;
    let mut rest = bytes;
    while !rest.is_empty() {
        let wrote = match rustix::io::pwrite(&file, rest, at) {
            Ok(wrote) => wrote,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(format!("it can't be written: {error}")),
        };
        rest = rest.get(wrote..).unwrap_or_default();
        let wrote = u64::try_from(wrote).map_err(|e| e.to_string())?;
        at = at.checked_add(wrote).ok_or("it is too long")?;
    }
    Ok(())
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
