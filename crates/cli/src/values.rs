//! Values of arguments, as they are written.

use std::num::IntErrorKind;

use hexz_resolve::engine::Forced;

/// Reads `VOLUME=FORMAT`.
pub(crate) fn forced(text: &str) -> Result<(String, Forced), String> {
    let (volume, format) = text
        .rsplit_once('=')
        .filter(|(volume, format)| !volume.is_empty() && !format.is_empty())
        .ok_or_else(|| format!("{} is not VOLUME=FORMAT, such as p2=ext4", quoted(text)))?;
    let forced = match format {
        "none" => Forced::Nothing,
        "raw" => Forced::Raw,
        format => Forced::Format(format.to_owned()),
    };
    Ok((volume.to_owned(), forced))
}

/// Reads the size of a sector.
pub(crate) fn sector_size(text: &str) -> Result<u64, String> {
    let sizes = [512, 1024, 2048, 4096];
    let size = text.parse().ok().filter(|size| sizes.contains(size));
    size.ok_or_else(|| format!("{} is none of 512, 1024, 2048, 4096", quoted(text)))
}

/// Reads `4096`, `64K`, `20G`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|e| format!("{text:?}: {e}"))?;
    let unit = text.get(digits.len()..).unwrap_or_default();
    let shift = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        _ => return Err(format!("{text:?}: {unit} is no unit; use K, M, G or T")),
    };
    let bytes = number.checked_mul(1 << shift);
    bytes.ok_or_else(|| format!("{text:?} is beyond 64 bits"))
}

/// Bytes from the first to one past the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Which of several disks, from 1 on.
    pub(crate) disk: Option<u32>,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// What of `text` is worth repeating: a list may be one line of a hundred megabytes.
fn quoted(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{start:?}{more}")
}

/// Reads `N`, `A-B` or `A+LENGTH`, in units of `UNIT` bytes, of the first disk, or with `DISK:`
/// before it of another one.
pub(crate) fn range_of<const UNIT: u64>(text: &str) -> Result<Span, String> {
    let (disk, text) = match text.split_once(':') {
        Some((disk, rest)) => {
            let number = disk.trim().parse::<u32>();
            let number = number.ok().filter(|number| *number > 0);
            let wrong = || format!("{} is no number of a disk", quoted(disk));
            (Some(number.ok_or_else(wrong)?), rest.trim())
        }
        None => (None, text),
    };
    let number = |text: &str| {
        let text = text.trim();
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        parsed.map_err(|e| match e.kind() {
            IntErrorKind::PosOverflow => format!("{} lies beyond 64 bits", quoted(text)),
            _ => format!("{} is no number; say N, 0xN or A-B", quoted(text)),
        })
    };
    let too_far = || format!("{} lies beyond 64 bits", quoted(text));
    let (first, end) = if let Ok(first) = text.parse::<u64>() {
        (first, first.checked_add(1).ok_or_else(too_far)?)
    } else if let Some((from, to)) = text.split_once('-') {
        (
            number(from)?,
            number(to)?.checked_add(1).ok_or_else(too_far)?,
        )
    } else if let Some((from, length)) = text.split_once('+') {
        let from = number(from)?;
        (from, from.checked_add(number(length)?).ok_or_else(too_far)?)
    } else {
        let first = number(text)?;
        (first, first.checked_add(1).ok_or_else(too_far)?)
    };
    if end <= first {
        return Err(format!("{} holds nothing", quoted(text)));
    }
    let bytes = |n: u64| n.checked_mul(UNIT).ok_or_else(too_far);
    Ok(Span {
        disk,
        start: bytes(first)?,
        end: bytes(end)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let span = |disk, start, end| Ok(Span { disk, start, end });
        assert_eq!(range_of::<512>("3"), span(None, 1536, 2048));
        assert_eq!(range_of::<1>("0x10-0x1f"), span(None, 16, 32));
        assert_eq!(range_of::<4096>("2+3"), span(None, 8192, 20480));
        assert_eq!(range_of::<1>("2: 7"), span(Some(2), 7, 8));
        for bad in [
            "",
            "x",
            "5-3",
            "3+0",
            "18446744073709551615",
            "0:1",
            "x:1",
            "1:",
            "1:2:3",
        ] {
            assert!(range_of::<4096>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64K"), Ok(65536));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        for bad in ["", "K", "5X", "99999999999P"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
