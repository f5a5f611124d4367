//! A mistake in a configuration, told so that it can be mended without looking anything up.

use std::fmt;
use std::path::Path;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// `configs/a.toml:12`, a flag of the command line, or an environment variable.
    pub place: String,
    /// The key, such as `feed.length`; empty where the file as a whole is wrong.
    pub key: String,
    /// The value as it was written; empty where there is none.
    pub value: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Mistake {
    /// The line in the file; what has none comes last.
    #[must_use]
    pub fn line(&self) -> usize {
        self.place.rsplit_once(':').and_then(|(_, line)| line.parse().ok()).unwrap_or(usize::MAX)
    }

    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self {
            place: path.display().to_string(),
            key: String::new(),
            value: String::new(),
            what: format!("cannot be read: {error}"),
            remedy:
                "name an existing file, such as configs/demo.toml, or leave --config out for the defaults"
                    .to_owned(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match (self.key.is_empty(), self.value.is_empty()) {
            (true, _) => {}
            (false, true) => write!(f, "{}: ", self.key)?,
            (false, false) => write!(f, "{} = {}: ", self.key, self.value)?,
        }
        write!(f, "{}\n    remedy: {}", self.what, self.remedy)
    }
}

/// All mistakes of a configuration, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        match self.0.len() {
            1 => write!(f, "1 mistake in the configuration"),
            n => write!(f, "{n} mistakes in the configuration"),
        }
    }
}
