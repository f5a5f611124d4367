//! Days of UTC, for the names of folders.

const DAY_MS: u64 = 86_400_000;

/// The day of a time in milliseconds since 1970.
#[must_use]
pub fn of(time_ms: u64) -> u64 {
    time_ms / DAY_MS
}

/// A day since 1970 as `YYYY-MM-DD` (Hinnant, "chrono-compatible low-level date algorithms").
#[must_use]
pub fn name(day: u64) -> String {
    let z = u128::from(day) + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u128::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_names() {
        let at = |ms: u64| name(of(ms));
        assert_eq!(at(0), "1970-01-01");
        assert_eq!(at(951_782_399_999), "2000-02-28");
        assert_eq!(at(951_782_400_000), "2000-02-29");
        assert_eq!(at(1_709_251_199_999), "2024-02-29");
        assert_eq!(at(1_709_251_200_000), "2024-03-01");
        assert_eq!(at(4_102_444_800_000), "2100-01-01");
    }
}
