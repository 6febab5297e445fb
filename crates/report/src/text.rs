//! Sizes, counts and values for people.

use hexz_resolve::report::FieldValue;

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

/// What a field of an on-disk record holds: a number, or bytes in hex.
pub(crate) fn field_value(value: &FieldValue) -> String {
    match value {
        FieldValue::Number(number) => number.to_string(),
        FieldValue::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        _ => String::new(),
    }
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

/// `1 block`, `90 blocks`, `1,200 directories`.
pub(crate) fn count(n: u64, one: &str) -> String {
    match (n, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (_, Some(stem)) => format!("{} {stem}ies", number(n)),
        _ => format!("{} {one}s", number(n)),
    }
}

/// `1,234,567`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
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
        assert_eq!(count(1, "directory"), "1 directory");
        assert_eq!(count(21_304, "file"), "21,304 files");
        assert_eq!(count(1200, "directory"), "1,200 directories");
        assert_eq!(number(1_000_000), "1,000,000");
        assert_eq!(number(999), "999");
        assert_eq!(original_size(5120 * 4096), "20.0 MB");
        assert_eq!(original_size(4096), "4.0 KB");
        assert_eq!(original_size(0), "0.0 KB");
    }
}
