//! Timestamps as the schema writes them.

use hexz_resolve::Timestamp;

/// `2026-01-02T03:04:05.000000006Z`, for any number of seconds; a `local` time of unknown zone is
/// without the `Z`.
pub(crate) fn rfc3339(time: Timestamp, local: bool) -> String {
    let (days, second) = (
        time.seconds.div_euclid(86_400),
        time.seconds.rem_euclid(86_400),
    );
    let (year, month, day) = civil(days);
    let sign = if year < 0 { "-" } else { "" };
    let zone = if local { "" } else { "Z" };
    if let (Ok(year), true) = (u64::try_from(year), (0..10_000).contains(&year)) {
        // By hand: a report has millions of them.
        let mut text = String::with_capacity(30);
        let fields = [
            (year, 4, "-"),
            (month.unsigned_abs(), 2, "-"),
            (day.unsigned_abs(), 2, "T"),
            (second.unsigned_abs() / 3600, 2, ":"),
            (second.unsigned_abs() / 60 % 60, 2, ":"),
            (second.unsigned_abs() % 60, 2, "."),
            (u64::from(time.nanoseconds), 9, zone),
        ];
        if time.nanoseconds < 1_000_000_000 {
            for (number, width, behind) in fields {
                for place in (0..width).rev() {
                    let digit = number / 10u64.pow(place) % 10;
                    text.extend(char::from_digit(digit as u32, 10));
                }
                text.push_str(behind);
            }
            return text;
        }
    }
    format!(
        "{sign}{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}{zone}",
        year.unsigned_abs(),
        second / 3600,
        second / 60 % 60,
        second % 60,
        time.nanoseconds
    )
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Eras of 400 years, years that start in March: leap days then come last.
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: i64, nanoseconds: u32) -> String {
        let time = Timestamp {
            seconds,
            nanoseconds,
        };
        let text = rfc3339(time, false);
        assert_eq!(format!("{}Z", rfc3339(time, true)), text);
        text
    }

    #[test]
    fn known_moments() {
        // date -u -d @SECONDS
        assert_eq!(text(1_767_323_045, 6), "2026-01-02T03:04:05.000000006Z");
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(text(-1, 999_999_999), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(text(951_782_400, 0), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(text(-11_644_473_600, 0), "1601-01-01T00:00:00.000000000Z");
    }

    #[test]
    fn no_moment_is_too_far() {
        for seconds in [i64::MIN, i64::MAX] {
            assert!(text(seconds, u32::MAX).ends_with('Z'));
        }
    }
}
