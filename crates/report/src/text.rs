//! Sizes and counts for people.

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `360 KiB`, `1.2 MiB`, `17 B`: three digits at most before the point, one behind it below ten.
#[must_use]
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// The sizes of the original modes: binary units, one decimal, written `KB MB GB`.
pub(crate) fn original_size(bytes: u64) -> String {
    let mut value = bytes as f64 / 1024.0;
    for unit in ["KB", "MB", "GB"] {
        if value < 1024.0 {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TB")
}

/// `1 block`, `90 blocks`.
pub(crate) fn count(n: u64, one: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {one}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(4096), "4.0 KiB");
        assert_eq!(size(184 * 1024), "184 KiB");
        assert_eq!(size(u64::MAX), "16 EiB");
        assert_eq!(original_size(5120 * 4096), "20.0 MB");
        assert_eq!(original_size(4096), "4.0 KB");
        assert_eq!(original_size(0), "0.0 KB");
    }
}
