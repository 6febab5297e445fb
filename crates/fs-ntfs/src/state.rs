//! Whether a volume was left in order: the dirty flag, the log, hibernation.
//!
//! <https://flatcap.github.io/linux-ntfs/ntfs/files/logfile.html>

use hexz_resolve::{Diagnostic, OpenContext, ReadAt, Result};

use crate::file::{File, Tolerate};
use crate::mft::Mft;
use crate::ondisk::{apply_fixups, kind, le16, le32, le64, number, size};

/// `VOLUME_IS_DIRTY`.
const DIRTY: u16 = 1;
/// `RESTART_VOLUME_IS_CLEAN`.
const RESTART_CLEAN: u16 = 2;
/// `LOGFILE_NO_CLIENT`.
const NO_CLIENT: u16 = 0xFFFF;

/// What the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    Clean,
    /// Records wait to be replayed; with the major version of the log.
    Open(u16),
    /// No restart page can be read.
    Unknown,
}

/// Says what keeps the volume from being in order; whether anything does.
pub(crate) fn needs_recovery(
    mft: &Mft,
    reader: &dyn ReadAt,
    volume: Option<&File>,
    cx: &OpenContext<'_>,
    tolerate: Tolerate<'_>,
) -> Result<bool> {
    let mut found = false;
    let information = volume.and_then(|file| file.value(kind::VOLUME_INFORMATION));
    if information.and_then(|v| le16(v, 10)).unwrap_or(0) & DIRTY != 0 {
        found = true;
        let text = "the volume is marked as dirty: chkdsk has not looked at it";
        cx.diagnose(Diagnostic::warning("volume-dirty", text).at(mft.place(number::VOLUME)));
    }
    match log(mft, reader, tolerate) {
        Ok(Log::Clean) => {}
        Ok(Log::Open(major)) => {
            found = true;
            let fast = if major >= 2 {
                "; it was left by a fast start or a hibernation, or pulled out"
            } else {
                ""
            };
            let text = format!(
                "$LogFile holds changes that are not replayed: names and owners may be older than \
                 the guest knew them{fast}"
            );
            let place = mft.place(number::LOG_FILE);
            cx.diagnose(Diagnostic::warning("log-not-replayed", text).at(place));
        }
        Ok(Log::Unknown) => {
            found = true;
            let text = "$LogFile has no restart page that can be read";
            let place = mft.place(number::LOG_FILE);
            cx.diagnose(Diagnostic::warning("log-unreadable", text).at(place));
        }
        Err(error) => {
            found = true;
            tolerate(error.layer("ntfs"))?;
        }
    }
    match hibernated(mft, reader, tolerate) {
        Ok(None) => {}
        Ok(Some(place)) => {
            found = true;
            let text = "Windows is hibernated on this volume (or was shut down for a fast start): \
                        it holds changes in memory that are not on the disk";
            cx.diagnose(Diagnostic::warning("hibernated", text).at(place));
        }
        Err(error) => tolerate(error.layer("ntfs"))?,
    }
    Ok(found)
}

fn log(mft: &Mft, reader: &dyn ReadAt, tolerate: Tolerate<'_>) -> Result<Log> {
    let Some(file) = mft.file(reader, number::LOG_FILE, tolerate)? else {
        return Ok(Log::Unknown);
    };
    let Some(content) = file.content(kind::DATA, b"", &mft.geometry) else {
        return Ok(Log::Unknown);
    };
    let mut pages = Vec::new();
    let first = content.read(reader, 0, 4096)?;
    // mkntfs and ntfsfix leave an empty log: all ones.
    if first.iter().all(|b| *b == 0xFF) {
        return Ok(Log::Clean);
    }
    if first.starts_with(b"CHKD") {
        return Ok(Log::Clean);
    }
    let page_size = le32(&first, 16).filter(|s| s.is_power_of_two() && (512..=65536).contains(s));
    let page_size = page_size
        .filter(|_| first.starts_with(b"RSTR"))
        .unwrap_or(4096);
    for at in [0, u64::from(page_size)] {
        let page = content.read(reader, at, size(page_size))?;
        pages.extend(restart(page));
    }
    pages.sort_by_key(|(lsn, _)| *lsn);
    Ok(pages.pop().map_or(Log::Unknown, |(_, log)| log))
}

/// `current_lsn` of a restart page, and what it says.
fn restart(mut page: Vec<u8>) -> Option<(u64, Log)> {
    if !page.starts_with(b"RSTR") || apply_fixups(&mut page).is_err() {
        return None;
    }
    let major = le16(&page, 28)?;
    let area = page.get(size(le16(&page, 24)?)..)?;
    let (in_use, flags) = (le16(area, 12)?, le16(area, 14)?);
    let clean = in_use == NO_CLIENT || flags & RESTART_CLEAN != 0;
    let log = if clean { Log::Clean } else { Log::Open(major) };
    Some((le64(area, 0)?, log))
}

/// Where `hiberfil.sys` begins, when it holds a system that sleeps.
fn hibernated(mft: &Mft, reader: &dyn ReadAt, tolerate: Tolerate<'_>) -> Result<Option<u64>> {
    let Some(root) = mft.file(reader, number::ROOT, tolerate)? else {
        return Ok(None);
    };
    let mut found = None;
    mft.names_in(&root, reader, tolerate, &mut |child, name| {
        if name.name.eq_ignore_ascii_case(b"hiberfil.sys") {
            found = Some(child.number);
        }
    })?;
    let Some(number) = found else {
        return Ok(None);
    };
    let file = mft.file(reader, number, tolerate)?;
    let content = file.and_then(|file| file.content(kind::DATA, b"", &mft.geometry));
    let Some(content) = content else {
        return Ok(None);
    };
    let head = content.read(reader, 0, 4)?;
    let place = content.pieces.first().map_or(0, |p| p.range.start());
    Ok(head.eq_ignore_ascii_case(b"hibr").then_some(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(in_use: u16, flags: u16, major: u16) -> Vec<u8> {
        let mut page = vec![0; 4096];
        page[..4].copy_from_slice(b"RSTR");
        page[4] = 30;
        page[6] = 9;
        page[24] = 48;
        page[28..30].copy_from_slice(&major.to_le_bytes());
        page[48] = 77;
        page[60..62].copy_from_slice(&in_use.to_le_bytes());
        page[62..64].copy_from_slice(&flags.to_le_bytes());
        page
    }

    #[test]
    fn a_log_is_clean_when_no_client_has_it_open() {
        assert_eq!(restart(page(NO_CLIENT, 0, 1)), Some((77, Log::Clean)));
        assert_eq!(restart(page(0, RESTART_CLEAN, 1)), Some((77, Log::Clean)));
        assert_eq!(restart(page(0, 0, 2)), Some((77, Log::Open(2))));
        let mut torn = page(0, 0, 1);
        torn[510] = 1;
        assert_eq!(restart(torn), None);
    }
}
