//! `[[experiment]]`: tables in a list, unlike all other keys. What an arm sets are keys of the table ([`super::keys::KEYS`]), read and
//! checked as the file's own, on a copy of the configuration; which of them an arm may set, the graph says.

use std::sync::Arc;

use freshet_operators::experiments::settings::find;
use freshet_operators::experiments::{Arm, Experiment, MAX_ARMS, MAX_EXPERIMENTS, SETTINGS, Setting, Value};
use freshet_operators::params::Explore;
use freshet_schema::Millis;

use super::Config;
use super::document::{Located, Raw};
use super::keys::{KEYS, Key};
use super::mistake::Mistake;
use super::relations;
use super::units::format_time;

/// Fields of an experiment, by name.
const FIELDS: [&str; 7] = ["name", "salt", "share", "since", "alpha", "min_users", "arm"];
/// Fields of an arm.
const ARM_FIELDS: [&str; 3] = ["name", "share", "set"];
/// Longest name: it stands in each page's record.
const NAME: usize = 40;

/// A table as the file has it: its place, its values, and the tables in it.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// `FILE:LINE`
    pub place: String,
    /// Values by name.
    pub values: Vec<(String, Located)>,
    /// What is in `set`, by dotted name.
    pub sets: Vec<(String, Located)>,
    /// The arms of an experiment.
    pub arms: Vec<Written>,
}

impl Written {
    fn value(&self, name: &str) -> Option<&Located> {
        self.values.iter().find(|(other, _)| other == name).map(|(_, located)| located)
    }
}

/// Collects what is wrong.
struct Told<'a> {
    mistakes: &'a mut Vec<Mistake>,
}

impl Told<'_> {
    fn at(
        &mut self,
        place: &str,
        key: &str,
        value: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.mistakes.push(Mistake {
            place: place.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    fn of(&mut self, key: &str, located: &Located, what: impl Into<String>, remedy: impl Into<String>) {
        self.at(&located.place, key, &located.text, what, remedy);
    }
}

/// The experiments that are written, as far as they are right.
pub fn resolve(written: &[Written], config: &Config, mistakes: &mut Vec<Mistake>) -> Arc<[Experiment]> {
    let before = mistakes.len();
    let mut told = Told { mistakes };
    let all: Vec<Experiment> = written.iter().map(|table| experiment(table, config, &mut told)).collect();
    if let Some(table) = written.get(MAX_EXPERIMENTS) {
        let what = format!("{} experiments, and at most {MAX_EXPERIMENTS} may run", written.len());
        told.at(&table.place, "[[experiment]]", "", what, "end some: each costs a hash a list");
    }
    if told.mistakes.len() == before {
        apart(written, &all, &mut told);
    }
    if told.mistakes.len() == before {
        together(written, &all, config, &mut told);
    }
    all.into()
}

fn experiment(table: &Written, config: &Config, told: &mut Told<'_>) -> Experiment {
    unknown(table, &FIELDS, "experiment", told);
    if let Some((name, located)) = table.sets.first() {
        told.of(
            &format!("experiment.set.{name}"),
            located,
            "an experiment sets nothing",
            "write set under one of its [[experiment.arm]]",
        );
    }
    for inner in table.arms.iter().flat_map(|arm| &arm.arms) {
        told.at(
            &inner.place,
            "experiment.arm.arm",
            "",
            "an arm has no arms",
            "write each [[experiment.arm]] below its [[experiment]]",
        );
    }
    let name = name(table, "experiment.name", told);
    let salt = match table.value("salt").map(|located| (located, &located.raw)) {
        None => name.clone(),
        Some((_, Raw::Text(salt))) if !salt.is_empty() => salt.clone(),
        Some((located, _)) => {
            told.of(
                "experiment.salt",
                located,
                "no text, or an empty one",
                "write a text, or leave it out: the name stands in",
            );
            String::new()
        }
    };
    let share = real(table, "experiment", "share", None, told);
    let since = match table.value("since") {
        Some(located) => time(&located.raw).unwrap_or_else(|| {
            told.of(
                "experiment.since",
                located,
                "this is no time",
                "write a time such as 2026-01-31T12:00:00Z",
            );
            Millis(0)
        }),
        None => {
            let remedy = "say from when on (event time) what its users do counts, best the moment at which the experiment starts, \
                          such as since = 2026-01-31T12:00:00Z";
            told.at(&table.place, "experiment.since", "", "is missing", remedy);
            Millis(0)
        }
    };
    let alpha = real(table, "experiment", "alpha", Some((0.05, 0.0001, 0.5)), told);
    let min_users = match table.value("min_users").map(|located| (located, &located.raw)) {
        None => 1_000,
        Some((_, Raw::Integer(n))) if (2..=1_000_000_000).contains(n) => *n as u64,
        Some((located, _)) => {
            let remedy =
                "write a whole number from 2 to 1,000,000,000; an interval needs a few hundred users to hold";
            told.of("experiment.min_users", located, "not what belongs here", remedy);
            0
        }
    };
    if !(2..=MAX_ARMS).contains(&table.arms.len()) {
        let what = format!("{} arms", table.arms.len());
        let remedy = format!(
            "write from 2 to {MAX_ARMS} [[experiment.arm]], the control first: an arm is compared with it"
        );
        told.at(&table.place, "experiment.arm", "", what, remedy);
    }
    let shared = table.arms.iter().filter(|arm| arm.value("share").is_some()).count();
    let each = 1.0 / table.arms.len().max(1) as f64;
    let arms: Vec<Arm> = table
        .arms
        .iter()
        .map(|written| {
            unknown(written, &ARM_FIELDS, "experiment.arm", told);
            let share = match shared {
                0 => each,
                _ => real(written, "experiment.arm", "share", None, told),
            };
            Arm {
                name: self::name(written, "experiment.arm.name", told),
                share,
                sets: sets(written, config, told),
            }
        })
        .collect();
    let sum: f64 = arms.iter().map(|arm| arm.share).sum();
    if !arms.is_empty() && (sum - 1.0).abs() > 1e-6 && arms.iter().all(|arm| arm.share > 0.0) {
        let remedy =
            "share the experiment's users out among its arms, or leave all shares out: then they are alike";
        told.at(
            &table.place,
            "experiment.arm.share",
            &format!("{sum}"),
            "the shares of the arms do not add up to 1",
            remedy,
        );
    }
    for (n, arm) in arms.iter().enumerate() {
        if arms[..n].iter().any(|other| other.name == arm.name) && !arm.name.is_empty() {
            let place = &table.arms[n].place;
            told.at(
                place,
                "experiment.arm.name",
                &format!("{:?}", arm.name),
                "another arm has this name",
                "give each arm a name of its own",
            );
        }
    }
    Experiment { name, salt, share, since: since.0, alpha, min_users, arms }
}

fn unknown(table: &Written, fields: &[&str], of: &str, told: &mut Told<'_>) {
    for (name, located) in &table.values {
        if matches!(name.as_str(), "arm" | "set") {
            let remedy = if name == "arm" {
                "write [[experiment.arm]] for each arm, with its keys below it"
            } else {
                "write set = { ranking.watch = 0.5 } with the keys of an arm"
            };
            told.of(&format!("{of}.{name}"), located, "this is not what belongs here", remedy);
        } else if !fields.contains(&name.as_str()) {
            let remedy = super::document::suggest(name, fields.iter().copied(), &format!("keys of [[{of}]]"));
            told.of(&format!("{of}.{name}"), located, "there is no such key", remedy);
        }
    }
}

fn name(table: &Written, key: &str, told: &mut Told<'_>) -> String {
    let remedy = format!(
        "write 1 to {NAME} lower-case letters, digits, - and _: the name stands in records and addresses"
    );
    let fits = |name: &str| {
        let letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        !name.is_empty() && name.len() <= NAME && name.bytes().all(letter)
    };
    match table.value("name").map(|located| (located, &located.raw)) {
        Some((_, Raw::Text(name))) if fits(name) => name.clone(),
        Some((located, _)) => {
            told.of(key, located, "this is no name", remedy);
            String::new()
        }
        None => {
            told.at(&table.place, key, "", "is missing", remedy);
            String::new()
        }
    }
}

/// A number; above 0 and up to 1 where no default and range is given.
fn real(table: &Written, of: &str, name: &str, default: Option<(f64, f64, f64)>, told: &mut Told<'_>) -> f64 {
    let key = format!("{of}.{name}");
    let remedy = match default {
        None => "write a number above 0 and up to 1, such as 0.5".to_owned(),
        Some((_, low, high)) => format!("write a number from {low} to {high}"),
    };
    let Some(located) = table.value(name) else {
        if let Some((default, ..)) = default {
            return default;
        }
        told.at(&table.place, &key, "", "is missing", remedy);
        return 0.0;
    };
    let value = match located.raw {
        Raw::Float(x) => Some(x),
        #[allow(clippy::cast_precision_loss, reason = "a range check follows; the range is small")]
        Raw::Integer(n) => Some(n as f64),
        _ => None,
    };
    let fits = |x: &f64| match default {
        None => *x > 0.0 && *x <= 1.0,
        Some((_, low, high)) => (low..=high).contains(x),
    };
    value.filter(fits).unwrap_or_else(|| {
        told.of(&key, located, "out of range", remedy);
        0.0
    })
}

fn time(raw: &Raw) -> Option<Millis> {
    match raw {
        Raw::Time(at) => super::units::datetime_to_millis(at),
        Raw::Text(text) => super::units::parse_time(text),
        _ => None,
    }
}

/// What an arm sets: each key is read as the file's own would be.
fn sets(arm: &Written, config: &Config, told: &mut Told<'_>) -> Vec<(&'static Setting, Value)> {
    let mut sets = Vec::new();
    for (name, located) in &arm.sets {
        match (find(name), KEYS.iter().find(|key| key.name == name)) {
            (Some(setting), Some(key)) => {
                let mut own = config.clone();
                match key.set(&mut own, located) {
                    Ok(()) if name.starts_with("exploration.") && !explores(config) => told.of(
                        name,
                        located,
                        "exploration.policy is off, so no list reads it",
                        "choose an exploration.policy for all; an arm without such places has exploration.slots = 0",
                    ),
                    Ok(()) => sets.push((setting, setting.get(&own.params))),
                    Err((what, remedy)) => told.of(name, located, what, remedy),
                }
            }
            (None, Some(_)) => told.of(
                name,
                located,
                "no arm may set it: it is not read where a list is made, or it decides what is kept for everybody",
                format!("set keys that rank: {}", settable()),
            ),
            (_, None) => {
                let keys = SETTINGS.iter().map(|setting| setting.key);
                told.of(name, located, "there is no such key", super::document::suggest(name, keys, "keys that an arm may set"));
            }
        }
    }
    sets
}

fn explores(config: &Config) -> bool {
    config.params.exploration.policy != Explore::Off
}

fn settable() -> String {
    SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>().join(", ")
}

/// Experiments that are not independent of each other.
fn apart(written: &[Written], all: &[Experiment], told: &mut Told<'_>) {
    for (n, (table, own)) in written.iter().zip(all).enumerate() {
        for other in &all[..n] {
            let place = &table.place;
            if own.name == other.name {
                let value = format!("{:?}", own.name);
                told.at(
                    place,
                    "experiment.name",
                    &value,
                    "another experiment has this name",
                    "give each a name of its own",
                );
            } else if own.salt == other.salt {
                let what =
                    format!("experiment {} has this salt, too: both would draw the same users", other.name);
                told.at(
                    place,
                    "experiment.salt",
                    &format!("{:?}", own.salt),
                    what,
                    "give each a salt of its own, or leave them out",
                );
            }
            let theirs = || other.arms.iter().flat_map(|arm| &arm.sets);
            for (arm, setting) in written_sets(table, own) {
                if theirs().any(|(set, _)| *set == setting) {
                    let set = arm.sets.iter().find(|(name, _)| name == setting.key);
                    let (_, located) = set.expect("the setting was read from this table");
                    let what = format!("experiment {} sets it, too", other.name);
                    let remedy = "let one experiment have both values as arms: a user may be in both, and only one can hold";
                    told.of(setting.key, located, what, remedy);
                }
            }
        }
    }
}

fn written_sets<'a>(
    table: &'a Written,
    own: &'a Experiment,
) -> impl Iterator<Item = (&'a Written, &'static Setting)> {
    let sets =
        |(written, arm): (&'a Written, &'a Arm)| arm.sets.iter().map(move |(setting, _)| (written, *setting));
    table.arms.iter().zip(&own.arms).flat_map(sets)
}

/// Values that must fit each other have to do so for everybody: for who is in one arm, and in any two of different experiments, as
/// no such relation is between more than two keys.
fn together(written: &[Written], all: &[Experiment], config: &Config, told: &mut Told<'_>) {
    if !relations::lists(&config.params).is_empty() {
        return;
    }
    let arms = || {
        all.iter()
            .enumerate()
            .flat_map(|(n, of)| of.arms.iter().enumerate().map(move |(at, arm)| (n, at, arm)))
    };
    let mut seen = Vec::new();
    for (n, at, arm) in arms() {
        for (_, _, other) in arms().filter(|(m, other, _)| (*m, *other) == (n, at) || *m < n) {
            let mut params = config.params.clone();
            for (setting, value) in arm.sets.iter().chain(&other.sets) {
                setting.set(&mut params, *value);
            }
            for (key, value, what, remedy) in relations::lists(&params) {
                let place = &written[n].arms[at].place;
                if !seen.contains(&(n, at, key)) {
                    seen.push((n, at, key));
                    let of = format!("{what}, for users of the arm {}/{}", all[n].name, arm.name);
                    told.at(place, key, &value, of, remedy);
                }
            }
        }
    }
}

/// The experiments as TOML that reads back.
pub fn to_toml(experiments: &[Experiment]) -> String {
    let mut text = String::new();
    for of in experiments {
        text.push_str(&format!(
            "\n[[experiment]]\nname = {:?}\nsalt = {}\nshare = {:?}\nsince = {}\nalpha = {:?}\nmin_users = {}\n",
            of.name,
            toml::Value::String(of.salt.clone()),
            of.share,
            format_time(Millis(of.since)),
            of.alpha,
            of.min_users
        ));
        for arm in &of.arms {
            text.push_str(&format!("[[experiment.arm]]\nname = {:?}\nshare = {:?}\n", arm.name, arm.share));
            if !arm.sets.is_empty() {
                let sets: Vec<String> =
                    arm.sets.iter().map(|(setting, value)| set(setting, *value)).collect();
                text.push_str(&format!("set = {{ {} }}\n", sets.join(", ")));
            }
        }
    }
    text
}

fn set(setting: &Setting, value: Value) -> String {
    let mut config = Config::default();
    setting.set(&mut config.params, value);
    let key: Option<&Key> = KEYS.iter().find(|key| key.name == setting.key);
    let text = key.and_then(|key| key.get(&mut config)).unwrap_or_else(|| value.to_string());
    format!("{} = {text}", setting.key)
}

/// What `freshet check --keys` says of it.
pub fn describe() -> String {
    format!(
        "[[experiment]]\n  name\n      of records; 1 to {NAME} lower-case letters, digits, - and _\n  salt = the name\n      what users are \
         drawn by; two experiments with different salts are independent\n  share\n      share of all users that are in it, above 0 and \
         up to 1\n  since\n      what users do from here on counts (event time)\n  alpha = 0.05\n      chance that an interval ever \
         misses, over all looks; 0.0001 to 0.5\n  min_users = 1000\n      no verdict before each arm has so many users\n\n\
         [[experiment.arm]], from 2 to {MAX_ARMS}, the control first\n  name\n      as above\n  share = the same for all arms\n      share of \
         the experiment's users\n  set = {{}}\n      what its lists are made with instead, for example {{ ranking.fast_skip = 1.5 }}; \
         any of:\n      {}\n\n",
        settable().replace(", ", "\n      ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Mistakes};
    use super::*;

    fn load(text: &str) -> Result<Config, Mistakes> {
        Config::resolve("f.toml", text, &[], &|_| None)
    }

    const TWO: &str = r#"
[[experiment]]
name = "weights"
share = 0.5
since = 2026-01-31
[[experiment.arm]]
name = "control"
[[experiment.arm]]
name = "calm"
set = { ranking.fast_skip = 1.5, "rerank.fatigue_half_life" = "6h" }

[[experiment]]
name = "caps"
salt = "c2"
share = 1
since = "2026-01-31T12:00:00Z"
alpha = 0.01
min_users = 200
[[experiment.arm]]
name = "control"
share = 0.25
[[experiment.arm]]
name = "wide"
share = 0.75
set = { feed.per_category = 5 }
"#;

    #[test]
    fn experiments_are_read_and_print_as_themselves() {
        let config = load(TWO).expect("valid");
        let [weights, caps] = &config.params.experiments[..] else { panic!("two experiments") };
        assert_eq!(
            (weights.salt.as_str(), weights.share, weights.alpha, weights.min_users),
            ("weights", 0.5, 0.05, 1_000)
        );
        assert_eq!(weights.since, 1_769_817_600_000);
        assert_eq!(caps.since - weights.since, 12 * 3_600_000);
        assert_eq!(weights.arms.iter().map(|arm| arm.share).collect::<Vec<_>>(), [0.5, 0.5]);
        let sets: Vec<(&str, Value)> =
            weights.arms[1].sets.iter().map(|(s, value)| (s.key, *value)).collect();
        let expected =
            [("ranking.fast_skip", Value::Real(1.5)), ("rerank.fatigue_half_life", Value::Ms(6 * 3_600_000))];
        assert_eq!(sets.len(), 2);
        assert!(expected.iter().all(|set| sets.contains(set)), "{sets:?}");
        let again = load(&config.to_toml()).expect("what is printed is valid");
        assert_eq!(again.params, config.params);
    }

    #[test]
    fn every_setting_is_a_key() {
        for setting in SETTINGS {
            assert!(KEYS.iter().any(|key| key.name == setting.key), "{}", setting.key);
        }
    }

    #[track_caller]
    fn refused(old: &str, new: &str, key: &str, what: &str, remedy: &str) {
        assert!(TWO.contains(old), "{old}");
        let found = load(&TWO.replacen(old, new, 1)).expect_err("a mistake").0;
        let it = found.iter().find(|m| m.key == key).unwrap_or_else(|| panic!("{key}: {found:#?}"));
        assert!(it.what.contains(what) && it.remedy.contains(remedy), "{it:#?}");
        assert!(it.place.starts_with("f.toml:"), "{it:#?}");
    }

    #[test]
    fn mistakes_are_told_with_key_value_and_remedy() {
        refused("share = 0.5", "share = 1.5", "experiment.share", "out of range", "up to 1");
        refused("share = 0.5\n", "", "experiment.share", "missing", "0.5");
        refused("since = 2026-01-31\n", "", "experiment.since", "missing", "from when on");
        refused("share = 0.5", "shape = 0.5", "experiment.shape", "no such key", "did you mean share?");
        refused("name = \"weights\"", "name = \"We ights\"", "experiment.name", "no name", "lower-case");
        refused("alpha = 0.01", "alpha = 0.9", "experiment.alpha", "out of range", "0.0001 to 0.5");
        refused("min_users = 200", "min_users = 1", "experiment.min_users", "belongs", "whole number");
        refused(
            "share = 0.25",
            "share = 0.5",
            "experiment.arm.share",
            "do not add up to 1",
            "leave all shares out",
        );
        refused("name = \"wide\"", "name = \"control\"", "experiment.arm.name", "another arm", "of its own");
        refused(
            "name = \"caps\"",
            "name = \"weights\"",
            "experiment.name",
            "another experiment",
            "of its own",
        );
        refused("salt = \"c2\"", "salt = \"weights\"", "experiment.salt", "the same users", "of its own");
        refused(
            "feed.per_category = 5",
            "feed.length = 5",
            "feed.length",
            "no arm may set it",
            "ranking.watch",
        );
        refused(
            "feed.per_category = 5",
            "feed.per_categori = 5",
            "feed.per_categori",
            "no such key",
            "did you mean feed.per_category?",
        );
        refused(
            "feed.per_category = 5",
            "exploration.slots = 1",
            "exploration.slots",
            "exploration.policy is off",
            "exploration.slots = 0",
        );
        refused("feed.per_category = 5", "feed.per_category = 0", "feed.per_category", "out of range", "1");
        refused(
            "feed.per_category = 5",
            "feed.per_category = 50",
            "feed.per_category",
            "caps/wide",
            "category_window",
        );
        refused(
            "feed.per_category = 5",
            "ranking.fast_skip = 5",
            "ranking.fast_skip",
            "weights sets it, too",
            "one experiment",
        );
        let one = "[[experiment.arm]]\nname = \"calm\"\nset = { ranking.fast_skip = 1.5, \"rerank.fatigue_half_life\" = \"6h\" }\n";
        refused(one, "", "experiment.arm", "1 arms", "from 2 to 8");
    }

    #[test]
    fn what_is_in_the_wrong_place_is_told() {
        let arms = "[[experiment.arm]]\nname = \"calm\"\nset = { ranking.fast_skip = 1.5, \"rerank.fatigue_half_life\" = \"6h\" }\n";
        refused(
            arms,
            "[[experiment.arm]]\nname = \"calm\"\nset = 3\n",
            "experiment.arm.set",
            "belongs",
            "ranking.watch",
        );
        let inner = format!("{arms}[[experiment.arm.arm]]\nname = \"x\"\n");
        refused(arms, &inner, "experiment.arm.arm", "no arms", "below its");
        refused("share = 0.5\n", "share = 0.5\narm = [1, 2]\n", "", "no TOML", "section");
        refused(
            "share = 0.5\n",
            "share = 0.5\nset = { ranking.watch = 1 }\n",
            "experiment.set.ranking.watch",
            "sets nothing",
            "under one",
        );
        let found = load("[[experiment]]\nname = \"x\"\nshare = 1\nsince = 2026-01-31\narm = [1, 2]\n")
            .expect_err("wrong")
            .0;
        assert!(
            found.iter().any(|m| m.key == "experiment.arm" && m.remedy.contains("[[experiment.arm]]")),
            "{found:?}"
        );
        let text = TWO.replace("set = { feed.per_category = 5 }", "set = { name = \"x\" }");
        let found = load(&text).expect_err("wrong").0;
        assert!(found.iter().any(|m| m.key == "name" && m.what.contains("no such key")), "{found:?}");
    }

    #[test]
    fn a_single_table_is_no_list() {
        let found = load("[experiment]\nname = \"x\"\n").expect_err("a mistake").0;
        assert!(found[0].remedy.contains("[[experiment]]"), "{found:?}");
        let found = load("experiment = 3\n").expect_err("a mistake").0;
        assert!(found[0].remedy.contains("[[experiment]]"), "{found:?}");
    }

    #[test]
    fn keys_of_two_experiments_must_fit_each_other() {
        let text = TWO
            .replace("ranking.fast_skip = 1.5, ", "rerank.novelty_share = 0.25, ")
            .replace("feed.per_category = 5", "rerank.novelty_max_share = 0.2");
        let found = load(&text).expect_err("a mistake").0;
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].what.contains("caps/wide"), "{found:#?}");
    }
}
