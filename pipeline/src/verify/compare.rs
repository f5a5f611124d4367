//! Two maps, and where they differ.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::report::{SHOWN, ViewReport};

/// A row that differs, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its key.
    pub key: String,
    /// What the state holds; none: no such row.
    pub kept: Option<String>,
    /// What follows from the events; none: no such row.
    pub expected: Option<String>,
}

/// Compares what is kept with what is expected.
pub fn maps<K: Ord + Debug, V: PartialEq + Debug>(
    kept: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
) -> ViewReport {
    with(kept, expected, |key| format!("{key:?}"), |value| format!("{value:?}"))
}

/// As [`maps`], with words for keys and values.
pub fn with<K: Ord, V: PartialEq>(
    kept: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
    name: impl Fn(&K) -> String,
    show: impl Fn(&V) -> String,
) -> ViewReport {
    let mut report =
        ViewReport { kept: kept.len() as u64, expected: expected.len() as u64, ..ViewReport::default() };
    let mut differs = |key: &K, here: Option<&V>, there: Option<&V>| {
        report.different += 1;
        if report.differences.len() < SHOWN {
            report.differences.push(Difference {
                key: name(key),
                kept: here.map(&show),
                expected: there.map(&show),
            });
        }
    };
    for (key, here) in kept {
        let there = expected.get(key);
        if there != Some(here) {
            differs(key, Some(here), there);
        }
    }
    for (key, there) in expected.iter().filter(|(key, _)| !kept.contains_key(key)) {
        differs(key, None, Some(there));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_difference_is_told() {
        let of = |pairs: &[(u8, u8)]| pairs.iter().copied().collect::<BTreeMap<_, _>>();
        let report = maps(&of(&[(1, 1), (2, 2), (3, 3)]), &of(&[(1, 1), (2, 5), (4, 4)]));
        assert_eq!((report.kept, report.expected, report.different), (3, 3, 3));
        let said: Vec<_> = report
            .differences
            .iter()
            .map(|d| (d.key.as_str(), d.kept.as_deref(), d.expected.as_deref()))
            .collect();
        assert_eq!(said, [("2", Some("2"), Some("5")), ("3", Some("3"), None), ("4", None, Some("4"))]);
    }
}
