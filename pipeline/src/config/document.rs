//! What a file says, with its lines, before anything is believed: every key optional, unknown ones found.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::experiments::Written;
use super::keys::{KEYS, Key};
use super::mistake::Mistake;
use super::{Config, Override};

/// A value of the file or of the command line.
#[derive(Clone, Debug)]
pub struct Located {
    /// `FILE:LINE`, or the flag.
    pub place: String,
    /// As it was written.
    pub text: String,
    /// As it was understood.
    pub raw: Raw,
}

/// TOML's types, as far as a key may have them.
#[derive(Clone, Debug)]
pub enum Raw {
    /// `true`, `false`
    Flag(bool),
    /// A whole number that fits 128 bits.
    Integer(i128),
    /// A number with a fraction or exponent.
    Float(f64),
    /// A string.
    Text(String),
    /// A date, with or without a time.
    Time(toml::value::Datetime),
    /// A list of numbers.
    Numbers(Vec<f64>),
    /// A table of texts, by dotted name.
    Table(Vec<(String, String)>),
    /// From the command line: what the key wants is read from the text.
    Word(String),
    /// What no key takes.
    Other(&'static str),
}

/// A parsed file with the command line's values over it.
#[derive(Debug, Default)]
pub struct Document {
    values: Vec<(&'static Key, Located)>,
    mistakes: Vec<Mistake>,
    /// The tables `[[experiment]]`.
    pub experiments: Vec<Written>,
}

impl Document {
    /// Parses as much as can be parsed.
    pub fn parse(file: &str, text: &str) -> Self {
        let lines = Lines { file, text };
        let mut document = Self::default();
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            document.mistakes.push(Mistake {
                place: error.span().map_or_else(|| file.to_owned(), |span| lines.place(&span)),
                key: String::new(),
                value: String::new(),
                what: format!("this is no TOML: {}", error.message()),
                remedy: "write [section] lines and key = value lines; strings stand in \"quotes\"".to_owned(),
            });
        }
        for (section, value) in table.get_ref() {
            if section.get_ref() == EXPERIMENT {
                document.experiments(&lines, &section.span(), value.get_ref(), &value.span());
                continue;
            }
            document.section(&lines, section.get_ref(), &section.span(), value.get_ref(), &value.span());
        }
        document
    }

    fn section(
        &mut self,
        lines: &Lines<'_>,
        name: &str,
        at: &Range<usize>,
        value: &DeValue<'_>,
        span: &Range<usize>,
    ) {
        let sections: Vec<&str> = super::keys::sections();
        let known = sections.contains(&name);
        let Some(table) = value.as_table().filter(|_| known) else {
            let is_table = value.is_table();
            let key = KEYS.iter().find(|key| key.bare() == name);
            let remedy = match key {
                Some(key) if !is_table => format!("put it under [{}]", key.section()),
                _ => suggest(name, sections.iter().copied(), "sections"),
            };
            let what = match (known, is_table) {
                (true, _) => "is a section, not a value",
                (false, true) => "there is no such section",
                (false, false) => "no key stands outside of a section",
            };
            let remedy = if known { format!("write [{name}] and its keys below it") } else { remedy };
            self.mistakes.push(Mistake {
                place: lines.place(at),
                key: if is_table { format!("[{name}]") } else { name.to_owned() },
                value: if is_table { String::new() } else { lines.text_of(span) },
                what: what.to_owned(),
                remedy,
            });
            return;
        };
        for (key, value) in table {
            let full = format!("{name}.{}", key.get_ref());
            let located = Located {
                place: lines.place(&key.span()),
                text: lines.text_of(&value.span()),
                raw: Raw::of(value.get_ref()),
            };
            if let Some(key) = KEYS.iter().find(|known| known.name == full) {
                self.values.push((key, located));
            } else {
                let siblings = KEYS.iter().filter(|k| k.section() == name).map(Key::bare);
                let elsewhere = KEYS.iter().find(|k| k.bare() == key.get_ref().as_ref());
                self.mistakes.push(Mistake {
                    place: located.place,
                    value: located.text,
                    what: "there is no such key".to_owned(),
                    remedy: match elsewhere {
                        Some(other) => format!("did you mean {}?", other.name),
                        None => suggest(key.get_ref(), siblings, &format!("keys of [{name}]")),
                    },
                    key: full,
                });
            }
        }
    }

    fn experiments(
        &mut self,
        lines: &Lines<'_>,
        at: &Range<usize>,
        value: &DeValue<'_>,
        span: &Range<usize>,
    ) {
        let tables = value.as_array().map(|items| {
            let table = |item: &toml::Spanned<DeValue<'_>>| {
                item.get_ref().as_table().map(|table| written(lines, &item.span(), table))
            };
            items.iter().map(table).collect::<Option<Vec<Written>>>()
        });
        match tables.flatten() {
            Some(tables) => self.experiments = tables,
            None => self.mistakes.push(Mistake {
                place: lines.place(at),
                key: EXPERIMENT.to_owned(),
                value: if value.is_table() { String::new() } else { lines.text_of(span) },
                what: "is a list of tables".to_owned(),
                remedy: "write [[experiment]] with its keys below it, and [[experiment.arm]] for each arm"
                    .to_owned(),
            }),
        }
    }

    /// Values of the command line win over the file's.
    pub fn lay_over(&mut self, overrides: &[Override]) {
        for (name, value, flag) in overrides {
            let key = KEYS.iter().find(|key| key.name == *name).expect("overrides name keys of the table");
            self.values.retain(|(other, _)| other.name != *name);
            self.values.push((
                key,
                Located { place: (*flag).to_owned(), text: value.clone(), raw: Raw::Word(value.clone()) },
            ));
        }
    }

    /// Writes every value into the configuration; returns all mistakes so far.
    pub fn apply(&self, config: &mut Config) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.clone();
        for (key, located) in &self.values {
            match key.set(config, located) {
                Ok(()) => config.origins.push((key.name, located.place.clone())),
                Err((what, remedy)) => mistakes.push(Mistake {
                    place: located.place.clone(),
                    key: key.name.to_owned(),
                    value: if key.is_secret(config) { String::new() } else { located.text.clone() },
                    what,
                    remedy,
                }),
            }
        }
        mistakes
    }

    /// Where a key was set.
    pub fn located(&self, name: &str) -> Option<&Located> {
        self.values.iter().find(|(key, _)| key.name == name).map(|(_, located)| located)
    }
}

impl Raw {
    fn of(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::String(text) => Self::Text(text.clone().into_owned()),
            DeValue::Datetime(at) => Self::Time(*at),
            DeValue::Integer(n) => i128::from_str_radix(n.as_str(), n.radix())
                .map_or(Self::Other("a number that is too large"), Self::Integer),
            DeValue::Float(n) => n.as_str().parse().map_or(Self::Other("no number"), Self::Float),
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::Integer(n) => n.as_str().parse::<f64>().ok(),
                    DeValue::Float(n) => n.as_str().parse::<f64>().ok(),
                    _ => None,
                })
                .collect::<Option<Vec<f64>>>()
                .map_or(Self::Other("a list of other things than numbers"), Self::Numbers),
            DeValue::Table(table) => {
                let mut pairs = Vec::new();
                match flatten("", table, &mut pairs) {
                    true => Self::Table(pairs),
                    false => Self::Other("a table of other things than texts, numbers and flags"),
                }
            }
        }
    }
}

/// The name of the list of experiments.
const EXPERIMENT: &str = "experiment";

/// A table of an experiment or of an arm.
fn written(lines: &Lines<'_>, at: &Range<usize>, table: &DeTable<'_>) -> Written {
    let mut of = Written { place: lines.place(at), ..Written::default() };
    let located = |key: &Range<usize>, value: &toml::Spanned<DeValue<'_>>| Located {
        place: lines.place(key),
        text: lines.text_of(&value.span()),
        raw: Raw::of(value.get_ref()),
    };
    for (key, value) in table {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("arm", DeValue::Array(arms)) if arms.iter().all(|arm| arm.get_ref().is_table()) => {
                let arm = |arm: &toml::Spanned<DeValue<'_>>| {
                    Some(written(lines, &arm.span(), arm.get_ref().as_table()?))
                };
                of.arms = arms.iter().filter_map(arm).collect();
            }
            ("set", DeValue::Table(sets)) => {
                let mut open = vec![(String::new(), sets)];
                while let Some((prefix, table)) = open.pop() {
                    for (key, value) in table {
                        let name = format!("{prefix}{}", key.get_ref());
                        match value.get_ref() {
                            DeValue::Table(inner) => open.push((format!("{name}."), inner)),
                            _ => of.sets.push((name, located(&key.span(), value))),
                        }
                    }
                }
            }
            (name, _) => of.values.push((name.to_owned(), located(&key.span(), value))),
        }
    }
    of
}

/// Writes a table's values as texts under dotted names: `a.b = 1` and `"a.b" = "1"` are the same property.
fn flatten(prefix: &str, table: &DeTable<'_>, pairs: &mut Vec<(String, String)>) -> bool {
    table.iter().all(|(key, value)| {
        let name = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::String(text) => pairs.push((name, text.clone().into_owned())),
            DeValue::Integer(n) => pairs.push((name, n.as_str().to_owned())),
            DeValue::Float(n) => pairs.push((name, n.as_str().to_owned())),
            DeValue::Boolean(flag) => pairs.push((name, flag.to_string())),
            DeValue::Table(inner) => return flatten(&format!("{name}."), inner, pairs),
            DeValue::Datetime(_) | DeValue::Array(_) => return false,
        }
        true
    })
}

/// Byte ranges to lines.
struct Lines<'a> {
    file: &'a str,
    text: &'a str,
}

impl Lines<'_> {
    fn place(&self, span: &Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        format!("{}:{}", self.file, before.matches('\n').count() + 1)
    }

    fn text_of(&self, span: &Range<usize>) -> String {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let mut short: String = text.chars().take(60).collect();
        if short.len() < text.len() {
            short.push_str("...");
        }
        short.replace('\n', " ")
    }
}

/// "did you mean", or the list where nothing is near.
pub fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str>, what: &str) -> String {
    let known: Vec<&str> = known.collect();
    let near = known
        .iter()
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.len() / 4);
    match near {
        Some((_, other)) => format!("did you mean {other}?"),
        None => format!("the {what} are: {}", known.join(", ")),
    }
}
