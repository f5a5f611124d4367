//! Durations, points in time and sizes, as people write them.

use freshet_schema::Millis;
use toml::value::{Datetime, Offset};

const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads `7d`, `90m`, `1h30m`, `50ms` into milliseconds.
pub fn parse_duration(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == &rest[..end])?;
        total = total.checked_add(number.checked_mul(*scale)?)?;
        rest = &rest[end..];
    }
    Some(total)
}

/// Writes milliseconds in the greatest unit that divides them: `90m`, `7d`, `50ms`. Weeks are written as days.
pub fn format_duration(ms: u64) -> String {
    match UNITS[1..].iter().find(|(_, scale)| ms >= *scale && ms.is_multiple_of(*scale)) {
        Some((name, scale)) => format!("{}{name}", ms / scale),
        None => format!("{ms}ms"),
    }
}

/// Reads `64MiB`, `1GiB`, `512KiB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let shift = match text[digits..].trim() {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// Writes bytes in the greatest unit that divides them.
pub fn format_size(bytes: u64) -> String {
    match [("GiB", 30), ("MiB", 20)]
        .into_iter()
        .find(|(_, s)| bytes >= 1 << s && bytes.is_multiple_of(1 << s))
    {
        Some((name, shift)) => format!("{}{name}", bytes >> shift),
        None => format!("{}KiB", bytes >> 10),
    }
}

/// A date, or a date with time in UTC or with an offset, as milliseconds since 1970; `None` before that.
pub fn datetime_to_millis(at: &Datetime) -> Option<Millis> {
    let date = at.date?;
    let days = days_from_civil(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let (clock, nanos) = at.time.map_or((0, 0), |t| {
        let seconds =
            i64::from(t.hour) * 3600 + i64::from(t.minute) * 60 + i64::from(t.second.unwrap_or_default());
        (seconds, t.nanosecond.unwrap_or_default())
    });
    let offset = match at.offset {
        Some(Offset::Custom { minutes }) => i64::from(minutes) * 60,
        _ => 0,
    };
    let millis = (days * 86_400 + clock - offset) * 1_000 + i64::from(nanos / 1_000_000);
    u64::try_from(millis).ok().map(Millis)
}

/// Reads what [`format_time`] writes, or a date alone.
pub fn parse_time(text: &str) -> Option<Millis> {
    text.parse::<Datetime>().ok().and_then(|at| datetime_to_millis(&at))
}

/// Writes a time as `2026-01-31T12:00:00Z`, with milliseconds where there are any.
pub fn format_time(at: Millis) -> String {
    let days = i64::try_from(at.0 / 86_400_000).unwrap_or(i64::MAX / 4);
    let (year, month, day) = civil_from_days(days);
    let ms = at.0 % 86_400_000;
    let (hour, minute, second, fraction) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    let tail = if fraction == 0 { String::new() } else { format!(".{fraction:03}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{tail}Z")
}

/// Days since 1970-01-01 of a Gregorian date (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back() {
        for ms in [1, 50, 1_000, 90_000, 60_000, 3_600_000, 5_400_000, 604_800_000, 86_400_001] {
            assert_eq!(parse_duration(&format_duration(ms)), Some(ms), "{ms}");
        }
        assert_eq!(parse_duration("1h30m"), Some(5_400_000));
        assert_eq!(parse_duration("8w"), Some(56 * 86_400_000));
        for wrong in ["", "7", "d", "7x", "-1d", "1.5h", "7 d", "99999999999999999999d", "300000000000000d"] {
            assert_eq!(parse_duration(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn times_read_back() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (946_684_800_000, "2000-01-01T00:00:00Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (4_102_444_799_000, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(format_time(Millis(ms)), text);
            let parsed: Datetime = text.parse().expect("a time");
            assert_eq!(datetime_to_millis(&parsed), Some(Millis(ms)), "{text}");
            assert_eq!(parse_time(text), Some(Millis(ms)), "{text}");
        }
        let offset: Datetime = "2000-01-01T02:00:00+02:00".parse().expect("a time");
        assert_eq!(datetime_to_millis(&offset), Some(Millis(946_684_800_000)));
        let early: Datetime = "1969-12-31".parse().expect("a date");
        assert_eq!(datetime_to_millis(&early), None);
    }

    #[test]
    fn sizes_read_back() {
        for bytes in [512 << 10, 64 << 20, 1 << 30, 1536 << 20] {
            assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }
        for wrong in ["64", "64MB", "MiB", "-1MiB", ""] {
            assert_eq!(parse_size(wrong), None, "{wrong:?}");
        }
    }
}
