//! One value of a row, however the file writes it: text in CSV, typed in Parquet.

use std::borrow::Cow;
use std::collections::BTreeMap;

use freshet_schema::hash;

/// A raw value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// No such column, no value, or one of the words that stand for none.
    Missing,
    Unsigned(u64),
    Signed(i64),
    Real(f64),
    Text(&'a str),
}

/// A value with the name of its column, which its errors need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub column: &'a str,
    pub cell: Cell<'a>,
}

/// Why a row is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// A label for counting.
    pub reason: &'static str,
    /// The column and the value.
    pub detail: String,
}

impl Refusal {
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// What pandas, Hive and spreadsheets write where they have no value.
const NOTHING: [&str; 8] = ["", "nan", "NaN", "null", "NULL", "None", "NaT", "\\N"];

/// Largest integer below which every integer is a double: beyond it a real number is no identifier.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl<'a> Cell<'a> {
    /// A value of a text file.
    pub fn text(text: &'a str) -> Self {
        let text = text.trim();
        if NOTHING.contains(&text) { Self::Missing } else { Self::Text(text) }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Missing => None,
            Self::Unsigned(n) => Some(n as f64),
            Self::Signed(n) => Some(n as f64),
            Self::Real(x) => Some(x),
            Self::Text(text) => text.parse().ok(),
        }
        .filter(|x: &f64| x.is_finite())
    }
}

impl<'a> Field<'a> {
    /// Why the row is not used: this value where `what` was expected.
    pub fn refuse(&self, reason: &'static str, what: &str) -> Refusal {
        let value = match self.cell {
            Cell::Missing => "nothing".to_owned(),
            Cell::Unsigned(n) => n.to_string(),
            Cell::Signed(n) => n.to_string(),
            Cell::Real(x) => x.to_string(),
            Cell::Text(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        };
        Refusal::new(reason, format!("column {} holds {value}, expected {what}", self.column))
    }

    /// An identifier: whole numbers stay as they are, other text is hashed. `None` where there is none; a negative number
    /// is how these sets write "unknown".
    pub fn id(&self) -> Result<Option<u64>, Refusal> {
        let real = |x: f64| {
            if x < 0.0 {
                Ok(None)
            } else if x.fract() == 0.0 && x < EXACT {
                Ok(Some(x as u64))
            } else {
                Err(self.refuse("not_an_id", "a whole number or a name"))
            }
        };
        match self.cell {
            Cell::Missing => Ok(None),
            Cell::Unsigned(n) => Ok(Some(n)),
            Cell::Signed(n) => Ok(u64::try_from(n).ok()),
            Cell::Real(x) => real(x),
            Cell::Text(text) => match (text.parse::<u64>(), text.parse::<f64>()) {
                (Ok(n), _) => Ok(Some(n)),
                (Err(_), Ok(x)) if x.is_finite() => real(x),
                _ => Ok(Some(hash::text(text))),
            },
        }
    }

    /// An identifier that the row cannot do without.
    pub fn need_id(&self) -> Result<u64, Refusal> {
        if self.cell == Cell::Missing {
            return Err(self.refuse("missing_id", "an identifier"));
        }
        self.id()?.ok_or_else(|| self.refuse("not_an_id", "a whole number from 0 or a name"))
    }

    /// Yes or no: `0`, `1`, `true`, `false` in any case.
    pub fn flag(&self) -> Result<Option<bool>, Refusal> {
        if let Cell::Text(text) = self.cell {
            if text.eq_ignore_ascii_case("true") {
                return Ok(Some(true));
            } else if text.eq_ignore_ascii_case("false") {
                return Ok(Some(false));
            }
        }
        match (self.cell, self.cell.number()) {
            (Cell::Missing, _) => Ok(None),
            (_, Some(0.0)) => Ok(Some(false)),
            (_, Some(1.0)) => Ok(Some(true)),
            _ => Err(self.refuse("not_a_flag", "0, 1, true or false")),
        }
    }

    /// A probability of something that happened: above 0 and up to 1.
    pub fn probability(&self) -> Result<f64, Refusal> {
        let number = self.cell.number().filter(|p| *p > 0.0 && *p <= 1.0);
        number.ok_or_else(|| self.refuse("out_of_range", "a number above 0 and up to 1"))
    }

    /// A number from 0 in units of `1 / scale`, rounded; seconds become milliseconds with a scale of 1,000.
    pub fn scaled(&self, scale: f64) -> Result<Option<u64>, Refusal> {
        match (self.cell, self.cell.number()) {
            (Cell::Missing, _) => Ok(None),
            (Cell::Unsigned(n), _) if scale == 1.0 => Ok(Some(n)),
            (_, Some(x)) if x < 0.0 || x * scale >= EXACT => {
                Err(self.refuse("out_of_range", "a number from 0"))
            }
            (_, Some(x)) => Ok(Some((x * scale).round() as u64)),
            (Cell::Real(_), None) => Ok(None),
            _ => Err(self.refuse("not_a_number", "a number from 0")),
        }
    }

    /// A length of time in milliseconds that fits its place in a sorted run (49 days).
    pub fn span(&self, scale: f64) -> Result<Option<u32>, Refusal> {
        self.scaled(scale)?
            .map(|ms| {
                u32::try_from(ms).map_err(|_| self.refuse("out_of_range", "a length of less than 49 days"))
            })
            .transpose()
    }

    /// The time of an event in milliseconds.
    pub fn need_time(&self, scale: f64) -> Result<u64, Refusal> {
        self.scaled(scale)?.ok_or_else(|| self.refuse("missing_time", "a time"))
    }

    /// Text; numbers are written without a fraction where they have none.
    pub fn words(&self) -> Option<Cow<'a, str>> {
        match self.cell {
            Cell::Missing => None,
            Cell::Unsigned(n) => Some(n.to_string().into()),
            Cell::Signed(n) => Some(n.to_string().into()),
            Cell::Real(x) => Some(x.to_string().into()),
            Cell::Text(text) => Some(text.into()),
        }
    }

    /// The parts of a list that is written as text: `[27, 9]`, `['a', 'b']`, `a, b` or, where `spaces` divide too,
    /// `27 9`. Empty parts and repetitions fall away.
    pub fn list(&self, spaces: bool) -> Vec<String> {
        let Some(text) = self.words() else { return Vec::new() };
        let inner = text.trim_start_matches('[').trim_end_matches(']');
        let mut parts = Vec::<String>::new();
        for part in inner.split(|c: char| c == ',' || c == '，' || (spaces && c.is_whitespace())) {
            let part = part.trim().trim_matches(['\'', '"', '#']).trim();
            if !part.is_empty() && !NOTHING.contains(&part) && !parts.iter().any(|p| p == part) {
                parts.push(part.to_owned());
            }
        }
        parts
    }

    /// Midnight in China (UTC+8), where these platforms keep their calendar, of a day written `2022-04-09` or `20220409`.
    pub fn china_day(&self) -> Option<u64> {
        let text = self.words()?;
        let digits: String = text.chars().take(10).filter(char::is_ascii_digit).collect();
        if digits.len() != 8 {
            return None;
        }
        let (year, month, day) = (
            digits[..4].parse::<u64>().ok()?,
            digits[4..6].parse::<u64>().ok()?,
            digits[6..].parse::<u64>().ok()?,
        );
        if !(1971..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        Some(days_since_1970(year, month, day) * 86_400_000 - 8 * 3_600_000)
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Hinnant's `days_from_civil`).
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Counts by reason, with the first few examples.
pub(super) type Refused = BTreeMap<&'static str, (u64, Vec<String>)>;

/// How many examples of a reason are kept.
const EXAMPLES: usize = 3;

/// Counts a refusal.
pub(super) fn count(refused: &mut Refused, row: u64, refusal: Refusal) {
    let (n, examples) = refused.entry(refusal.reason).or_default();
    *n += 1;
    if examples.len() < EXAMPLES {
        examples.push(format!("row {row}: {}", refusal.detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> Field<'_> {
        Field { column: "c", cell: Cell::text(text) }
    }

    #[test]
    fn numbers_stay_names_are_hashed_and_negatives_are_unknown() {
        assert_eq!(field("18446744073709551615").id(), Ok(Some(u64::MAX)));
        assert_eq!(field("6618412736.0").id(), Ok(Some(6_618_412_736)));
        assert_eq!(field("-124").id(), Ok(None));
        assert_eq!(field("cat").id(), Ok(Some(hash::text("cat"))));
        assert_eq!(field("1.5").id().map_err(|r| r.reason), Err("not_an_id"));
        assert_eq!(field("-1").need_id().map_err(|r| r.reason), Err("not_an_id"));
        assert_eq!(field(" nan ").need_id().map_err(|r| r.reason), Err("missing_id"));
    }

    #[test]
    fn flags_spans_and_times() {
        assert_eq!(field("True").flag(), Ok(Some(true)));
        assert_eq!(field("0").flag(), Ok(Some(false)));
        assert_eq!(field("2").flag().map_err(|r| r.reason), Err("not_a_flag"));
        assert_eq!(field("263.933").span(1000.0), Ok(Some(263_933)));
        assert_eq!(field("-3").span(1.0).map_err(|r| r.reason), Err("out_of_range"));
        assert_eq!(field("1593878903.438").need_time(1000.0), Ok(1_593_878_903_438));
        assert_eq!(field("soon").need_time(1.0).map_err(|r| r.reason), Err("not_a_number"));
    }

    #[test]
    fn days_are_chinas() {
        // date -u -d '2022-04-09 00:00 +0800' +%s
        assert_eq!(field("2022-04-09").china_day(), Some(1_649_433_600_000));
        assert_eq!(field("20220409").china_day(), Some(1_649_433_600_000));
        assert_eq!(field("2020-02-29").china_day(), Some(1_582_905_600_000));
        assert_eq!(field("yesterday").china_day(), None);
        assert_eq!(field("2022-13-09").china_day(), None);
    }

    #[test]
    fn lists_in_all_their_spellings() {
        assert_eq!(field("[27, 9]").list(true), ["27", "9"]);
        assert_eq!(field("27 9").list(true), ["27", "9"]);
        assert_eq!(field("['搞笑', '搞笑', '影视 解说']").list(false), ["搞笑", "影视 解说"]);
        assert!(field("[]").list(true).is_empty());
    }
}
