//! The names of the rules, for the account of what happened to a candidate.

/// A rule of re-ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// It was among the videos last watched.
    Watched,
    /// A near-duplicate of it, or the same video, has a place.
    Twin,
    /// Its category had its share of the window.
    Category,
    /// It was too much like its neighbour.
    Similarity,
    /// Its creator has places already.
    Creator,
    /// The user has tired of its creator, its category or a hashtag of it.
    Fatigue,
    /// It shares something with a new user's first positives; or others do, and passed it.
    Taste,
    /// It is flagged for abuse.
    Abuse,
    /// Too many users' lists hold it already.
    Spread,
    /// A place that was drawn or claimed went to another.
    Slot,
    /// It ranked below the end of the list.
    Length,
}

impl Rule {
    /// All rules, in the order in which they are told.
    pub const ALL: [Self; 11] = [
        Self::Watched,
        Self::Twin,
        Self::Category,
        Self::Similarity,
        Self::Creator,
        Self::Fatigue,
        Self::Taste,
        Self::Abuse,
        Self::Spread,
        Self::Slot,
        Self::Length,
    ];

    /// The name in a list's account.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watched => "watched",
            Self::Twin => "twin",
            Self::Category => "category",
            Self::Similarity => "similarity",
            Self::Creator => "creator",
            Self::Fatigue => "fatigue",
            Self::Taste => "taste",
            Self::Abuse => "abuse",
            Self::Spread => "spread",
            Self::Slot => "slot",
            Self::Length => "length",
        }
    }
}

/// A set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules(u16);

impl Rules {
    /// Adds a rule.
    pub fn insert(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u16;
    }

    /// Whether the rule is in the set.
    #[must_use]
    pub fn contains(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u16) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rules in the order of [`Rule::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Rule> {
        Rule::ALL.into_iter().filter(move |rule| self.contains(*rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_tells_its_rules_in_one_order() {
        let mut rules = Rules::default();
        assert!(rules.is_empty());
        for rule in Rule::ALL.into_iter().rev() {
            assert!(!rules.contains(rule));
            rules.insert(rule);
        }
        assert!(rules.iter().eq(Rule::ALL));
    }
}
