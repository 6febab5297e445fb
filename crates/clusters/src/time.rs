//! Dates and times as DOS wrote them.

use hexz_resolve::Timestamp;

/// The local time that a date and a time of day stand for, in seconds from 1970 as if it were UTC:
/// years from 1980 in 7 bits, month in 4, day in 5; hour in 5 bits, minute in 6, every other second
/// in 5. `hundredths` are added, up to 199. `None` for a date that does not exist, such as 0.
#[must_use]
pub fn date_and_time(date: u16, time: u16, hundredths: u8) -> Option<Timestamp> {
    let (year, month, day) = (
        i64::from(date >> 9),
        i64::from(date >> 5 & 15),
        i64::from(date & 31),
    );
    let (hour, minute, half) = (
        i64::from(time >> 11),
        i64::from(time >> 5 & 63),
        i64::from(time & 31),
    );
    let second = half
        .checked_mul(2)?
        .checked_add(i64::from(hundredths / 100))?;
    let days = days(year.checked_add(1980)?, month, day)?;
    let of_day = hour
        .checked_mul(3600)?
        .checked_add(minute.checked_mul(60)?)?;
    let seconds = days
        .checked_mul(86_400)?
        .checked_add(of_day)?
        .checked_add(second)?;
    (hour < 24 && minute < 60 && half < 30 && hundredths < 200).then_some(Timestamp {
        seconds,
        nanoseconds: u32::from(hundredths % 100).checked_mul(10_000_000)?,
    })
}

/// `time` moved to UTC from a zone `quarters` of an hour ahead of it.
#[must_use]
pub fn local(time: Timestamp, quarters: i8) -> Option<Timestamp> {
    let ahead = i64::from(quarters).checked_mul(900)?;
    Some(Timestamp {
        seconds: time.seconds.checked_sub(ahead)?,
        ..time
    })
}

/// Days from 1970 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [
        31,
        if is_leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    let length = lengths.get(before)?;
    if day < 1 || day > *length {
        return None;
    }
    let months: i64 = lengths.iter().take(before).sum();
    let years: i64 = (1970..year)
        .map(|year| if is_leap(year) { 366 } else { 365 })
        .sum();
    years.checked_add(months)?.checked_add(day.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let seconds = |date, time| date_and_time(date, time, 0).map(|t| t.seconds);
        // 1980-01-01, 2000-02-29 12:34:56, 2107-12-31 23:59:58, by `date -u`.
        assert_eq!(seconds(0x0021, 0), Some(315_532_800));
        assert_eq!(
            seconds(20 << 9 | 2 << 5 | 29, 12 << 11 | 34 << 5 | 28),
            Some(951_827_696)
        );
        assert_eq!(
            seconds(127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29),
            Some(4_354_819_198)
        );
        assert_eq!(seconds(0, 0), None);
        assert_eq!(seconds(19 << 9 | 2 << 5 | 29, 0), None);
        assert_eq!(seconds(0x0021, 24 << 11), None);
        let odd = date_and_time(0x0021, 0, 150).unwrap();
        assert_eq!((odd.seconds, odd.nanoseconds), (315_532_801, 500_000_000));
    }
}
