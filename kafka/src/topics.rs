//! Which topic carries which stream.

use std::collections::BTreeMap;

use freshet_schema::EventKind;

/// The topic of each stream; a stream without one is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics(BTreeMap<EventKind, String>);

impl Topics {
    /// Of these streams.
    #[must_use]
    pub fn new(topics: impl IntoIterator<Item = (EventKind, String)>) -> Self {
        Self(topics.into_iter().collect())
    }

    /// The topic of a stream.
    #[must_use]
    pub fn of(&self, kind: EventKind) -> Option<&str> {
        self.0.get(&kind).map(String::as_str)
    }

    /// The stream that a topic carries.
    #[must_use]
    pub fn kind(&self, topic: &str) -> Option<EventKind> {
        self.iter().find(|(_, name)| *name == topic).map(|(kind, _)| kind)
    }

    /// All, in the order of [`EventKind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (EventKind, &str)> {
        self.0.iter().map(|(kind, name)| (*kind, name.as_str()))
    }
}

/// What Kafka would not take as a topic's name; `None` where it would.
#[must_use]
pub fn topic_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 249 {
        Some("a topic's name has 1 to 249 characters")
    } else if name == "." || name == ".." {
        Some("a topic cannot have this name")
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        Some("a topic's name has letters, digits, '.', '_' and '-' only")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_kafka_does() {
        for good in ["a", "freshet.users", "A_b-9", &"x".repeat(249)] {
            assert_eq!(topic_fault(good), None, "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "é", &"x".repeat(250)] {
            assert!(topic_fault(bad).is_some(), "{bad}");
        }
    }
}
