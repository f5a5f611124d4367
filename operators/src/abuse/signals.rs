//! The three signals, as a set.

use serde::{Deserialize, Serialize};

/// Which signals fire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signals(u8);

impl Signals {
    /// Inhuman rates, or likes without watching.
    pub const BOT: Self = Self(1);
    /// All likes and no skips, or few distinct engagers.
    pub const FARMING: Self = Self(1 << 1);
    /// The same users at the same time with the same videos.
    pub const COORDINATED: Self = Self(1 << 2);
    /// All, with the names that metrics and tables give them.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::BOT, "bot"), (Self::FARMING, "farming"), (Self::COORDINATED, "coordinated")];

    /// Both sets together where `fires`.
    #[must_use]
    pub fn with(self, other: Self, fires: bool) -> Self {
        if fires { Self(self.0 | other.0) } else { self }
    }

    /// Whether all of `other` fire.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether none fires.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The share that fires, in [0, 1]: n / 3 (seed 004, 8.4).
    #[must_use]
    pub fn score(self) -> f64 {
        f64::from(self.0.count_ones()) / 3.0
    }

    /// The names, with commas between them.
    #[must_use]
    pub fn names(self) -> String {
        let names = Self::ALL.iter().filter(|(signal, _)| self.has(*signal)).map(|(_, name)| *name);
        names.collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_for_each() {
        let none = Signals::default();
        assert!(none.is_empty() && none.score() == 0.0 && none.names().is_empty());
        let two =
            none.with(Signals::BOT, true).with(Signals::FARMING, false).with(Signals::COORDINATED, true);
        assert_eq!((two.score(), two.names().as_str()), (2.0 / 3.0, "bot,coordinated"));
        assert!(two.has(Signals::BOT) && !two.has(Signals::FARMING));
    }
}
