//! The four file formats of a log, known by the extension.

use std::fmt;
use std::str::FromStr;

/// How a part file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// One JSON object a line. The only format that may grow while it is read.
    #[default]
    Jsonl,
    /// JSON lines in gzip.
    JsonlGz,
    /// JSON lines in Zstandard.
    JsonlZst,
    /// Parquet; the columns are the JSON fields.
    Parquet,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Jsonl, Self::JsonlGz, Self::JsonlZst, Self::Parquet];

    /// The extension of its files, without the leading dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::JsonlGz => "jsonl.gz",
            Self::JsonlZst => "jsonl.zst",
            Self::Parquet => "parquet",
        }
    }

    /// The format of a file by its name; `None` where the extension is none of ours.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| {
            name.strip_suffix(format.extension()).is_some_and(|stem| stem.len() > 1 && stem.ends_with('.'))
        })
    }

    /// Whether a file may grow while it is read.
    #[must_use]
    pub fn may_grow(self) -> bool {
        self == Self::Jsonl
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// A name that is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no log format; use jsonl, jsonl.gz, jsonl.zst or parquet")]
pub struct UnknownFormat(
    /// The name as given.
    pub String,
);

impl FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|f| f.extension() == text).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_round() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(Format::of_file(&format!("part-00000.{format}")), Some(format));
        }
        assert!("csv".parse::<Format>().unwrap_err().to_string().contains("`csv`"));
        assert_eq!(Format::of_file("part-0.csv"), None);
        assert_eq!(Format::of_file("part-0.xjsonl"), None);
        assert_eq!(Format::of_file(".jsonl"), None);
    }
}
